import Testing

/// Each rule is shown a violation, so that none is dead, and something near it that is right.
@Suite struct PlantedViolationTests {
    private func count(_ rule: some HouseRule, _ path: String, _ text: String) -> Int {
        rule.violations(in: [SourceFile(path: path, text: text)]).count
    }

    @Test(arguments: [
        ("Sources/Timebase/X.swift", "import Foundation"),
        ("Sources/Transport/Wire/X.swift", "import NIOCore"),
        ("Sources/Transport/Wire/X.swift", "import MastRPC"),
        ("Sources/RPC/CallCore/X.swift", "import Logging"),
        ("Sources/RPC/X.swift", "public import GRDB"),
        ("Sources/RPC/X.swift", "import class NIOPosix.Thing"),
        ("Sources/CloudClient/X.swift", "import MastWasmRuntime"),
        ("Sources/CloudCore/Methods/X.swift", "import Foundation"),
        ("Sources/Simulator/X.swift", "@_exported import MastUDPDriver"),
        ("Sources/Capture/LinkLayer.swift", "import CPcap"),
        ("Sources/LinkInference/LinkFit.swift", "import Foundation"),
        ("Sources/Nowhere/X.swift", "import Swift"),
        ("Tests/RPCTests/X.swift", "@testable import MastRPC"),
        ("Tests/RPCTests/X.swift", "import XCTest"),
    ])
    func aForeignImportIsFound(path: String, text: String) { #expect(count(ImportRule(), path, text) == 1) }

    @Test(arguments: [
        ("Sources/Transport/Wire/X.swift", "import Collections\nimport Crypto\nimport MastTimebase"),
        ("Sources/RPC/X.swift", "import Logging\n// import NIOCore\nlet text = \"import GRDB\""),
        ("Sources/Capture/CaptureFile.swift", "import CPcap\nimport Glibc"),
        ("Sources/CommandLine/X.swift", "import Foundation\nimport NIOPosix"),
    ])
    func aRightImportIsNot(path: String, text: String) { #expect(count(ImportRule(), path, text) == 0) }

    @Test(arguments: [
        "func f() async {}", "let x = await y", "Task { }", "actor Node {}", "let m = Mutex(0)", "let t = ContinuousClock.now",
        "let d = Date()",
        "var g = SystemRandomNumberGenerator()", "let n = Int.random(in: 0..<9)", "list.shuffled()", "let h = x.hashValue",
        "var h = Hasher()",
        "print(x)", "let f = FileManager.default", "let p = getenv(name)", "Thread.sleep(1)",
    ])
    func aBannedWordInPureCodeIsFound(line: String) {
        #expect(count(PureCodeRule(), "Sources/Transport/Streams/X.swift", line) == 1)
        #expect(count(PureCodeRule(), "Sources/UDPDriver/X.swift", line) == 0)
        #expect(count(PureCodeRule(), "Sources/Transport/Streams/X.swift", "/* \(line) */ // \(line)") == 0)
    }

    @Test(arguments: [
        "case .print(x)", "func hash(into hasher: inout Hasher)", "let taskCount = 1", "let a = \"async Date()\"", "case task, date",
        "generator.next()",
    ])
    func aWordThatOnlyLooksBannedIsNot(line: String) { #expect(count(PureCodeRule(), "Sources/Transport/Streams/X.swift", line) == 0) }

    @Test(arguments: [
        "var a: [String: Int] = [:]", "var a = Set<Int>()", "var a: Dictionary<Int, Int>", "let a = Set(b)",
        "func f(_ a: [Key<Int>: [Int]])", "let a = [ID: (Int, Int)]()",
    ])
    func anUnmarkedDictionaryInPureCodeIsFound(line: String) {
        #expect(count(HashOrderRule(), "Sources/LinkModel/X.swift", line) == 1)
        #expect(count(HashOrderRule(), "Sources/LinkModel/X.swift", line + "  // lookup only") == 0)
        #expect(count(HashOrderRule(), "Sources/LinkEmulator/X.swift", line) == 0)
    }

    @Test(arguments: ["for x in a {", "for x in self.a where x > 1 {", "let b = a.map { $0 }", "a.values.max()", "let c = a.first"])
    func aWalkInHashOrderIsFound(line: String) {
        let declaration = "var a: [Int: Int] = [:]  // lookup only\n"
        #expect(count(HashOrderRule(), "Sources/LinkModel/X.swift", declaration + line) == 1)
        #expect(count(HashOrderRule(), "Sources/LinkModel/X.swift", declaration + line + "  // any order: a sum") == 0)
        // The declaration may stand in the type's main file.
        let files = [
            SourceFile(path: "Sources/LinkModel/X.swift", text: declaration), SourceFile(path: "Sources/LinkModel/X+Y.swift", text: line),
        ]
        #expect(HashOrderRule().violations(in: files).map(\.path) == ["Sources/LinkModel/X+Y.swift"])
    }

    @Test(arguments: [
        "let x = a[1]", "for x in a.keys.sorted() {", "a[1]?.map { $0 }", "let n = a.count", "for x in b {", "let a = [x: y]",
        "f(a: a, b: 1)",
    ])
    func aLookupIsNoWalk(line: String) {
        #expect(count(HashOrderRule(), "Sources/LinkModel/X.swift", "var a: [Int: Int] = [:]  // lookup only\n" + line) == 0)
    }

    @Test(arguments: [
        "let x = try! f()", "let x = y as! Int", "fatalError()", "preconditionFailure(message)", "let x = a.first!", "f(x)!.g()",
        "a[1]! + 2", "var x: Int!",
    ])
    func aTrapInPureCodeIsFound(line: String) {
        #expect(count(TrapRule(), "Sources/CloudCore/Trust/X.swift", line) == 1)
        #expect(count(TrapRule(), "Sources/CloudCore/Trust/X.swift", "// cannot fail: a constant\n" + line) == 0)
    }

    @Test(arguments: [
        "guard !done, x != y else { return }", "let text = \"Stop!\"", "let b = c // d!", "if a.isEmpty || !b {", "func f() throws {",
    ])
    func aNegationIsNoTrap(line: String) { #expect(count(TrapRule(), "Sources/CloudCore/Trust/X.swift", line) == 0) }

    @Test(arguments: [
        "Task { await f() }", "let t = Task<Void, Never> { }", "Task(priority: .high) {", "Task.detached { }", "Task.immediate { }",
        "DispatchQueue.main.async { }",
        "try await Task.sleep(for: .seconds(1))", "let now = ContinuousClock.now", "let now = Date()",
    ])
    func leavingTheExecutorIsFound(line: String) {
        #expect(count(ConcurrencyRule(), "Sources/CloudServer/X.swift", line) == 1)
        #expect(count(ConcurrencyRule(), "Sources/RPC/X.swift", line) == 1)
        #expect(count(ConcurrencyRule(), "Sources/UDPDriver/X.swift", line) == 0)
    }

    @Test(arguments: [
        "await withTaskGroup(of: Int.self) { group in", "try Task.checkCancellation()", "async let x = f()", "group.addTask { 1 }",
    ])
    func structuredConcurrencyStays(line: String) { #expect(count(ConcurrencyRule(), "Sources/CloudServer/X.swift", line) == 0) }

    @Test func onlyTheSimulatorStartsARootTask() {
        let line = "let root = Task(executorPreference: executor) {"
        #expect(count(ConcurrencyRule(), "Sources/Simulator/X.swift", line) == 0)
        #expect(count(ConcurrencyRule(), "Sources/Simulator/X.swift", "Task {") == 1)
        #expect(count(ConcurrencyRule(), "Sources/CloudServer/X.swift", line) == 1)
    }

    @Test(arguments: ["final class X: @unchecked Sendable {}", "nonisolated(unsafe) var x = 0"])
    func aPromiseToTheCompilerNeedsItsProof(line: String) {
        #expect(count(ConcurrencyRule(), "Sources/UDPDriver/X.swift", line) == 1)
        #expect(count(ConcurrencyRule(), "Sources/UDPDriver/X.swift", "// Only the event loop touches it.\n" + line) == 0)
    }

    @Test func aFloorThatNamesALaterFloorIsFound() {
        let later = SourceFile(path: "Sources/Transport/Connection/Connection.swift", text: "struct Connection: ~Copyable {}")
        let sibling = SourceFile(path: "Sources/Transport/Security/Handshake.swift", text: "package enum Handshake {}")
        let stream = SourceFile(
            path: "Sources/Transport/Streams/S.swift", text: "func f(_ c: Connection, _ h: Handshake) {}\n// Connection")
        let recovery = SourceFile(path: "Sources/Transport/Recovery/R.swift", text: "let h: Handshake")
        let endpoint = SourceFile(path: "Sources/Transport/Endpoint/E.swift", text: "let c: Connection, h: Handshake")
        let misplaced = SourceFile(path: "Sources/Transport/Stray.swift", text: "struct Stray {}")
        let found = FloorRule().violations(in: [later, sibling, stream, recovery, endpoint, misplaced])
        #expect(found.map(\.path) == [stream.path, recovery.path, misplaced.path])
        #expect(found.first?.line == 1)
    }

    @Test func aFileBeyondTheWallIsFound() {
        let line = "let x = 0\n"
        #expect(count(FileShapeRule(), "Sources/RPC/X.swift", String(repeating: line, count: 701)) == 1)
        #expect(count(FileShapeRule(), "Sources/RPC/X.swift", String(repeating: line, count: 700)) == 0)
        let long = SourceFile(path: "Sources/RPC/X.swift", text: String(repeating: line, count: 401))
        #expect(FileShapeRule.long([long]) == ["Sources/RPC/X.swift: 401 lines"])
        #expect(count(FileShapeRule(), "Sources/RPC/StreamManager.swift", line) == 1)
    }

    @Test func aStrangerAtTheDoorIsFound() {
        #expect(RepositoryRule.strangers(among: ["Sources", ".git", ".build-x", "notes.txt"]).map(\.path) == ["notes.txt"])
    }

    @Test func aPathOfOneMachineIsFound() {
        for word in RepositoryRule.foreign {
            #expect(RepositoryRule.foreignWords(path: "X.md", text: "fine\nsee \(word)x").map(\.line) == [2])
        }
        #expect(RepositoryRule.foreignWords(path: "X.md", text: "Sources/RPC and ./bench").isEmpty)
        let text = "url: \"https://github.com/apple/swift-nio\"\nurl: \"https://registry.example/x\""
        #expect(RepositoryRule.foreignHosts(path: "Package.swift", text: text).map(\.line) == [2])
    }

    @Test func aMessageSaysWhereWhatAndWhatInstead() {
        let violation = PureCodeRule().violations(in: [SourceFile(path: "Sources/Timebase/X.swift", text: "\nlet d = Date()")]).first
        #expect(
            violation?.description
                == "Sources/Timebase/X.swift:2: pure code reads a clock (`Date`). Instead: take `at now: Instant` as the last parameter")
    }

    @Test(arguments: ["package func unused() {}", "    let nowhere = 1", "struct Ghost {}", "private static var spare: Int { 1 }"])
    func aDeadDeclarationIsFound(line: String) { #expect(count(DeadDeclarationRule(), "Sources/RPC/X.swift", line) == 1) }

    @Test(arguments: [
        "public func unused() {}", "let used = 1\nprint(used)", "let told = 1\nlet text = \"\\(told)\"\nprint(text)", "override func unused() {}",
        "func unused() {}  // called from outside: by the loop", "if let value = f() { g(value) }\nfunc f() {}\nfunc g() {}\ng(f)",
    ])
    func aDeclarationInUseIsNotDead(text: String) { #expect(count(DeadDeclarationRule(), "Sources/RPC/X.swift", text) == 0) }
}
