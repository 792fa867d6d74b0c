import Foundation

/// Where things are, and which of them are pure.
enum House {
    static let root: URL = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Pure code: bytes, time and chance come in as arguments, so that it can be tested and simulated exactly.
    static let pureFolders = [
        "Sources/Timebase", "Sources/Transport", "Sources/Datagrams/Network", "Sources/LinkModel", "Sources/RPC/CallCore", "Sources/CloudCore/Trust",
        "Sources/CloudCore/Runs",
        "Sources/Capture", "Sources/LinkInference", "Sources/ServerNames", "Sources/Reporting", "Sources/Replay", "Sources/LoadGenerator",
    ]

    /// Files in pure folders that are not pure. Files are matched by the beginning of their path.
    static let impure: [(prefix: String, reason: String)] = [
        ("Sources/Capture/CaptureFile.swift", "reads files through libpcap"),
        ("Sources/Capture/CaptureFileStream.swift", "reads files through zlib"),
        ("Sources/Capture/CaptureFileWriter.swift", "writes files"),
        ("Sources/Capture/CaptureRingWriter.swift", "writes files"),
        ("Sources/Capture/PacketFilter.swift", "compiles filters through libpcap"),
        ("Sources/Capture/PcapNGFile.swift", "reads files"),
        ("Sources/Capture/LiveCapture", "reads network interfaces"),
        ("Sources/Capture/PacketInjector.swift", "sends on network interfaces"),
        ("Sources/Replay/Replay", "runs the simulator on what was fitted, and reports"),
    ]

    static func isPure(_ file: SourceFile) -> Bool {
        pureFolders.contains { file.isUnder($0) } && !impure.contains { file.path.hasPrefix($0.prefix) }
    }

    /// Every Swift file of the package, read once.
    static func files() throws -> [SourceFile] { try read.get() }

    private static let read = Result { try readFiles() }

    private static func readFiles() throws -> [SourceFile] {
        var files: [SourceFile] = []
        for folder in ["Sources", "Tests", "bench"] {
            for path in try paths(under: folder) where path.hasSuffix(".swift") {
                files.append(SourceFile(path: path, text: try text(path)))
            }
        }
        files.append(SourceFile(path: "Package.swift", text: try text("Package.swift")))
        return files
    }

    static func text(_ path: String) throws -> String { try String(contentsOf: root.appending(path: path), encoding: .utf8) }

    /// Regular files below `folder`, sorted; build products left out.
    static func paths(under folder: String) throws -> [String] {
        let manager = FileManager.default
        guard manager.fileExists(atPath: root.appending(path: folder).path) else { return [] }
        return try manager.subpathsOfDirectory(atPath: root.appending(path: folder).path)
            .filter { !$0.split(separator: "/").contains { $0.hasPrefix(".build") || $0 == ".peers" } }
            .map { folder + "/" + $0 }
            .filter { path in
                var isFolder: ObjCBool = false
                return manager.fileExists(atPath: root.appending(path: path).path, isDirectory: &isFolder) && !isFolder.boolValue
            }
            .sorted()
    }
}
