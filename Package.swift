// swift-tools-version: 6.2
import PackageDescription

// Peers that only measuring needs are no dependency of the product: bench/run asks for them.
let measuresPeers = Context.environment["MAST_BENCH_PEERS"] != nil

// Target names carry a prefix because they are global in a package graph; folders do not.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableExperimentalFeature("Lifetimes"),
]

func module(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
    .target(
        name: "Mast\(name)", dependencies: dependencies, path: "Sources/\(name)", resources: resources,
        swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)Tests", exclude: exclude,
        swiftSettings: settings)
}

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
/// Its raw block of AES, which QUIC hides packet numbers with.
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let collections: Target.Dependency = .product(name: "Collections", package: "swift-collections")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "mast",
    platforms: [.macOS(.v26), .iOS(.v26)],
    products: [
        .library(name: "MastCalls", targets: ["MastCalls"]),
        .library(name: "MastCloud", targets: ["MastCloudClient"]),
        // Captures and links, without transport, cloud, simulator or WebAssembly.
        .library(name: "MastLinks", targets: ["MastLinks"]),
        .executable(name: "mast", targets: ["mast"]),
        .executable(name: "bench", targets: ["bench"]),
        .executable(name: "bench-ours", targets: ["bench-ours"]),
        .executable(name: "bench-attack", targets: ["bench-attack"]),
        .executable(name: "bench-controllers", targets: ["bench-controllers"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        module("Timebase", []),
        .target(name: "CSpawn", path: "Sources/CSpawn"),
        module("Processes", ["CSpawn"]),
        .target(name: "CPacketCipher", path: "Sources/CPacketCipher", linkerSettings: [.linkedLibrary("crypto", .when(platforms: [.linux]))]),
        module("Transport", ["MastTimebase", .target(name: "CPacketCipher", condition: .when(platforms: [.linux])), crypto, collections]),
        module("RPC", ["MastTransport", "MastTimebase", collections, log]),
        .target(name: "CDatagrams", path: "Sources/CDatagrams"),
        module("Datagrams", ["MastTimebase", "CDatagrams", nioCore, nioPosix, log]),
        module("UDPDriver", ["MastDatagrams", "MastTransport", "MastRPC", "MastTimebase", log]),
        module("Calls", ["MastRPC", "MastUDPDriver", "MastTransport", "MastTimebase"]),
        .target(name: "CWasmtime", path: "Sources/CWasmtime", linkerSettings: [.linkedLibrary("dl")]),
        module("WasmRuntime", ["CWasmtime", crypto]),
        module("CloudCore", ["MastTimebase", "MastTransport", "MastRPC", crypto]),
        module("CloudClient", ["MastCloudCore", "MastRPC", "MastTransport", "MastTimebase", grdb, log]),
        module(
            "CloudServer",
            ["MastCloudCore", "MastRPC", "MastTransport", "MastTimebase", "MastWasmRuntime", "MastProcesses", grdb, crypto, log]),
        module("LinkModel", ["MastTimebase", collections]),
        .target(name: "CTunnel", path: "Sources/CTunnel"),
        module("Files", []),
        module("LinkEmulator", ["MastDatagrams", "MastFiles", "MastLinkModel", "MastTimebase", "CTunnel", log]),
        .systemLibrary(
            name: "CPcap", path: "Sources/CPcap", pkgConfig: "libpcap", providers: [.apt(["libpcap-dev"])]),
        .systemLibrary(name: "CZlib", path: "Sources/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        module("Capture", ["MastTimebase", "CPcap", "CZlib"]),
        module("LinkInference", ["MastCapture", "MastLinkModel", "MastTimebase"]),
        module("Links", ["MastCapture", "MastLinkInference", "MastLinkModel", "MastTimebase"]),
        module("ServerNames", ["MastCapture", "MastLinkInference", "MastTimebase", crypto, cryptoExtras]),
        module(
            "Reporting", ["MastCapture", "MastLinkInference", "MastLinkModel", "MastTransport", "MastTimebase"],
            // Into the program itself, which stays one file.
            resources: ["report.css", "view.js", "plot.js", "table.js", "sequence.js", "report.js"].map { .embedInCode($0) }),
        module(
            "PacketTools",
            ["MastCapture", "MastLinkInference", "MastReporting", "MastLinkModel", "MastLinkEmulator", "MastDatagrams", "MastTransport",
             "MastRPC", "MastFiles", "MastTimebase", collections]),
        module(
            "Simulator",
            ["MastCloudServer", "MastCloudClient", "MastCloudCore", "MastRPC", "MastTransport", "MastLinkModel",
             "MastTimebase", "MastWasmRuntime", collections, log]),
        module(
            "Replay",
            ["MastCapture", "MastLinkInference", "MastReporting", "MastLinkModel", "MastSimulator", "MastRPC", "MastTransport", "MastTimebase"]),
        module("LoadGenerator", ["MastCapture", "MastLinkModel", "MastTimebase", histogram, collections]),
        .executableTarget(
            name: "mast",
            dependencies: [
                "MastCalls", "MastTimebase", "MastTransport", "MastRPC", "MastDatagrams", "MastUDPDriver", "MastWasmRuntime",
                "MastCloudCore", "MastCloudClient", "MastCloudServer", "MastLinkModel", "MastLinkEmulator",
                "MastCapture", "MastLinkInference", "MastServerNames", "MastReporting", "MastPacketTools", "MastFiles", "MastReplay", "MastSimulator", "MastProcesses", "MastLoadGenerator", arguments, log, crypto,
            ],
            path: "Sources/CommandLine", resources: [.embedInCode("Links/links.schema.json")], swiftSettings: settings),

        // Knows contenders only as programs.
        .executableTarget(name: "bench", dependencies: ["MastProcesses", arguments, histogram], path: "bench/harness", swiftSettings: settings),
        .target(name: "BenchContender", path: "bench/contenders/swift", swiftSettings: settings),
        .executableTarget(
            name: "bench-ours", dependencies: ["BenchContender", "MastCalls", "MastTransport", arguments],
            path: "bench/contenders/ours", swiftSettings: settings),
        // Without a host: transport and link alone.
        .executableTarget(
            name: "bench-controllers", dependencies: ["MastTransport", "MastLinkModel", "MastTimebase", collections, arguments],
            path: "bench/control", swiftSettings: settings),
        // Knows servers only by the wire.
        .executableTarget(
            name: "bench-attack",
            dependencies: ["MastCalls", "MastDatagrams", "MastProcesses", "MastTransport", "MastRPC", "MastTimebase", arguments, crypto],
            path: "bench/attack", swiftSettings: settings),

        .target(
            name: "TestKit", dependencies: ["MastTransport", "MastLinkModel", "MastTimebase", "MastRPC"],
            path: "Tests/TestKit", swiftSettings: settings),
        tests("HouseRules", []),
        tests("Timebase", ["MastTimebase"]),
        .target(name: "CAllocations", path: "Tests/CAllocations"),
        tests("Transport", ["MastTransport", "MastTimebase", "TestKit", "CAllocations", crypto]),
        tests("RPC", ["MastRPC", "MastSimulator", "MastTransport", "MastTimebase", "CAllocations"]),
        tests("Datagrams", ["MastDatagrams", "MastTimebase"]),
        tests("UDPDriver", ["MastUDPDriver", "MastDatagrams", "MastRPC", "MastTransport", "MastTimebase"]),
        tests("WasmRuntime", ["MastWasmRuntime", "MastTimebase"]),
        tests("CloudCore", ["MastCloudCore", "MastRPC", "MastTransport", "MastTimebase", crypto]),
        tests("CloudClient", ["MastCloudClient", "MastCloudCore", "MastSimulator", "MastRPC", "MastTransport", "MastTimebase", grdb, crypto]),
        tests(
            "CloudServer",
            ["MastCloudServer", "MastCloudClient", "MastCloudCore", "MastSimulator", "MastRPC", "MastTransport",
             "MastLinkModel", "MastWasmRuntime", "MastTimebase", "MastProcesses", grdb, crypto, log]),
        tests("LinkModel", ["MastLinkModel", "MastTimebase"]),
        tests("LinkEmulator", ["MastLinkEmulator", "MastDatagrams", "MastLinkModel", "MastTimebase", nioCore, nioPosix]),
        .target(
            name: "CaptureKit", dependencies: ["MastCapture", "MastLinkInference", "MastLinkModel", "MastTimebase"],
            path: "Tests/CaptureKit", swiftSettings: settings),
        tests("Capture", ["MastCapture", "MastLinkInference", "MastTimebase", "CaptureKit"]),
        tests("LinkInference", ["MastLinkInference", "MastCapture", "MastLinkModel", "MastTimebase", "CaptureKit", crypto]),
        tests("ServerNames", ["MastServerNames", "MastLinkInference", "MastCapture", "MastTimebase", "CaptureKit", crypto, cryptoExtras]),
        tests("Links", ["MastLinks"]),
        tests(
            "Reporting",
            ["MastReporting", "MastLinkInference", "MastCapture", "MastLinkModel", "MastProcesses", "MastTransport", "MastTimebase", "CaptureKit"]),
        tests(
            "PacketTools",
            ["MastPacketTools", "MastLinkInference", "MastCapture", "MastLinkModel", "MastTimebase", "MastTransport", "MastRPC", "MastSimulator"]),
        tests("Fuzz", ["MastCapture", "MastLinkInference", "MastLinkModel", "MastPacketTools", "MastTransport", "MastTimebase"]),
        tests(
            "Simulator",
            ["MastSimulator", "MastCloudClient", "MastCloudCore", "MastRPC", "MastTransport", "MastLinkModel", "MastTimebase",
             "MastWasmRuntime"]),
        tests(
            "Replay",
            ["MastReplay", "MastReporting", "MastLinkInference", "MastCapture", "MastLinkModel", "MastSimulator", "MastTimebase", "MastWasmRuntime",
             "CaptureKit"]),
        tests("LoadGenerator", ["MastLoadGenerator", "MastTimebase"]),
        tests(
            "CommandLine",
            ["MastCalls", "MastCapture", "MastCloudCore", "MastCloudServer", "MastProcesses", "MastRPC", "MastTimebase", "MastTransport",
             "MastWasmRuntime", "TestKit"],
            // A client in another language, which a test runs.
            exclude: ["mast_client.py"]),
    ]
)

if measuresPeers {
    package.dependencies += [
        .package(url: "https://github.com/grpc/grpc-swift-2", from: "2.4.3"),
        .package(url: "https://github.com/grpc/grpc-swift-nio-transport", from: "2.9.2"),
    ]
    package.products.append(.executable(name: "bench-grpc", targets: ["bench-grpc"]))
    package.targets.append(
        .executableTarget(
            name: "bench-grpc",
            dependencies: [
                "BenchContender", arguments, nioCore, nioPosix, .product(name: "GRPCCore", package: "grpc-swift-2"),
                .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
            ],
            path: "bench/contenders/grpc", swiftSettings: settings))
}
