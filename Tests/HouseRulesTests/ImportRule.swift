/// Who may import whom. The package's walls: an import that is not in this table does not belong there.
struct ImportRule: FileRule {
    struct Room {
        let folder: String
        let imports: Set<String>
    }

    /// The standard library's own modules, which are chance-free and clock-free: everywhere.
    static let everywhere: Set<String> = ["Swift"]
    static let collections: Set<String> = ["Collections", "DequeModule", "HeapModule", "OrderedCollections", "BasicContainers"]
    /// The operating system, for code that is not pure.
    static let system: Set<String> = ["Foundation", "Synchronization", "Dispatch", "Glibc", "Musl", "Darwin"]
    static let nio: Set<String> = ["NIO", "NIOCore", "NIOPosix", "NIOConcurrencyHelpers"]
    static let observability: Set<String> = ["Logging", "Metrics", "Tracing"]

    /// The first room that holds a file counts, so a part with stricter rules stands before the whole.
    static let rooms: [Room] = [
        Room("Timebase", []),
        Room("Processes", ["CSpawn"], system),
        Room("Transport", ["MastTimebase", "CPacketCipher", "Crypto"]),
        Room("RPC/CallCore", ["MastTimebase", "MastTransport"]),
        Room("RPC", ["MastTimebase", "MastTransport", "Foundation", "Synchronization"], observability),
        Room("Datagrams/Network", ["MastTimebase"]),
        Room("Datagrams", ["MastTimebase", "CDatagrams", "Network"], nio, system, observability),
        Room("UDPDriver", ["MastTimebase", "MastTransport", "MastRPC", "MastDatagrams"], system, observability),
        Room("Calls", ["MastTimebase", "MastTransport", "MastRPC", "MastUDPDriver"]),
        Room("WasmRuntime", ["CWasmtime", "Crypto"], system),
        Room("CloudCore", ["MastTimebase", "MastTransport", "MastRPC", "Crypto"]),
        Room("CloudClient", ["MastTimebase", "MastTransport", "MastRPC", "MastCloudCore", "GRDB", "Crypto"], system, observability),
        Room(
            "CloudServer", ["MastTimebase", "MastTransport", "MastRPC", "MastCloudCore", "MastWasmRuntime", "MastProcesses", "GRDB", "Crypto"],
            system, observability),
        Room("LinkModel", ["MastTimebase"]),
        Room("Files", [], system),
        Room("LinkEmulator", ["MastTimebase", "MastLinkModel", "MastDatagrams", "MastFiles", "CTunnel"], system, observability),
        Room("Capture", ["MastTimebase", "CPcap", "CZlib", "Foundation", "Glibc", "Musl", "Darwin"]),
        Room("LinkInference", ["MastTimebase", "MastCapture", "MastLinkModel"]),
        // The only one that opens what is sealed: QUIC's first packets, with keys that they name themselves.
        Room("ServerNames", ["MastTimebase", "MastCapture", "MastLinkInference", "Crypto", "CryptoExtras"]),
        Room("Links", ["MastTimebase", "MastCapture", "MastLinkInference", "MastLinkModel", "Foundation"]),
        Room("Reporting", ["MastTimebase", "MastTransport", "MastCapture", "MastLinkInference", "MastLinkModel"]),
        Room(
            "PacketTools",
            ["MastTimebase", "MastTransport", "MastRPC", "MastCapture", "MastLinkInference", "MastReporting", "MastLinkModel",
             "MastLinkEmulator", "MastDatagrams", "MastFiles"], system),
        Room(
            "Replay",
            [
                "MastTimebase", "MastTransport", "MastRPC", "MastCapture", "MastLinkInference", "MastReporting", "MastLinkModel", "MastSimulator",
                "Foundation", "Synchronization",
            ]),
        Room("LoadGenerator", ["MastTimebase", "MastCapture", "MastLinkModel", "Histogram"]),
        Room(
            "Simulator",
            [
                "MastTimebase", "MastTransport", "MastRPC", "MastCloudCore", "MastCloudClient", "MastCloudServer", "MastWasmRuntime",
                "MastLinkModel", "Foundation", "Synchronization",
            ], observability),
    ]

    /// The command line and the tests see everything that is ours.
    static let unwalled = ["Sources/CommandLine", "Tests", "bench", "Package.swift"]

    static func imported(by line: String) -> String? {
        guard line.contains("import"),
            let match = line.firstMatch(
                of:
                    #/^\s*(?:(?:@\w+|public|package|internal|private|fileprivate)\s+)*import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)/#
            )
        else { return nil }
        return String(match.1)
    }

    func violations(in file: SourceFile) -> [Violation] {
        if Self.unwalled.contains(where: { file.isUnder($0) }) { return testRules(file) }
        // A sample application's sources belong to no module.
        guard file.isUnder("Sources"), !file.isUnder("Sources/Applications") else { return [] }
        guard let room = Self.rooms.first(where: { file.isUnder("Sources/" + $0.folder) }) else {
            return [
                Violation(
                    path: file.path, rule: "this folder is not in the import table",
                    advice: "put the file into a room of the house, or give the new room a row in ImportRule.rooms")
            ]
        }
        return file.code.indices.compactMap { index in
            guard file.tokens[index].contains(where: { $0.text == "import" }), let name = Self.imported(by: file.code[index]) else {
                return nil
            }
            if room.imports.contains(name) || Self.everywhere.contains(name) || Self.collections.contains(name) {
                guard House.isPure(file), Self.system.contains(name) || name == "CPcap" || name == "CZlib" else { return nil }
                return Violation(
                    file, index, "pure code imports \(name)",
                    "take time, chance and bytes as arguments; code that needs the system goes behind a driver")
            }
            return Violation(
                file, index, "\(room.folder) may not import \(name)",
                "hand what you need in as a value or a protocol; \(room.folder) may import \(room.imports.sorted().joined(separator: ", "))"
            )
        }
    }

    private func testRules(_ file: SourceFile) -> [Violation] {
        guard file.isUnder("Tests") else { return [] }
        return file.code.indices.compactMap { index in
            guard file.tokens[index].contains(where: { $0.text == "import" }) else { return nil }
            let line = file.code[index]
            if line.contains("@testable") {
                return Violation(
                    file, index, "@testable would keep the tests from sharing the optimised build", "give the declaration `package` access")
            }
            guard Self.imported(by: line) == "XCTest" else { return nil }
            return Violation(file, index, "tests are written with Swift Testing", "import Testing, @Test and #expect")
        }
    }
}

extension ImportRule.Room {
    init(_ folder: String, _ imports: Set<String>, _ more: Set<String>...) {
        self.init(folder: folder, imports: more.reduce(imports) { $0.union($1) })
    }
}
