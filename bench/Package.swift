// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that what only measuring needs is no dependency of the product.
let package = Package(
    name: "mast-bench",
    platforms: [.macOS(.v26)],
    dependencies: [
        .package(name: "mast", path: ".."),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .executableTarget(
            name: "callbench",
            dependencies: [
                .product(name: "MastCalls", package: "mast"),
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/CallBench", swiftSettings: [.swiftLanguageMode(.v6)]),
        // Knows contenders only as programs, so that it builds in seconds.
        .executableTarget(
            name: "harness", dependencies: [.product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Sources/Harness", swiftSettings: [.swiftLanguageMode(.v6)]),
        .executableTarget(
            name: "ours",
            dependencies: [
                .product(name: "MastCalls", package: "mast"), .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "contenders/ours", swiftSettings: [.swiftLanguageMode(.v6)]),
    ]
)
