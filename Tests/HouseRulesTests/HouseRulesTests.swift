import Foundation
import Testing

/// The house plan, read from the sources themselves.
@Suite struct HouseRulesTests {
    private func expectKept(_ rule: some HouseRule) throws {
        for violation in rule.violations(in: try House.files()) { Issue.record("\(violation)") }
    }

    @Test func everyModuleImportsOnlyWhatTheHousePlanAllows() throws { try expectKept(ImportRule()) }
    @Test func pureCodeHasNoTimeChanceOrThreadsOfItsOwn() throws { try expectKept(PureCodeRule()) }
    @Test func pureCodeNeverWalksInHashOrder() throws { try expectKept(HashOrderRule()) }
    @Test func nothingThatAPeerSendsReachesATrap() throws { try expectKept(TrapRule()) }
    @Test func callsAndNodesStayOnTheirExecutor() throws { try expectKept(ConcurrencyRule()) }
    @Test func nothingIsDeclaredThatNothingNames() throws { try expectKept(DeadDeclarationRule()) }
    @Test func transportIsBuiltFloorOnFloor() throws { try expectKept(FloorRule()) }

    @Test func filesAreShortAndNamedAfterWhatTheyHold() throws {
        try expectKept(FileShapeRule())
        for line in FileShapeRule.long(try House.files()) { print("longer than \(FileShapeRule.habit) lines by habit: \(line)") }
    }

    @Test func theTopOfThePackageIsTidy() throws {
        let entries = try FileManager.default.contentsOfDirectory(atPath: House.root.path)
        for violation in RepositoryRule.strangers(among: entries) { Issue.record("\(violation)") }
        for needed in ["README.md", "Package.swift", ".ci/run", ".ci/setup"] {
            #expect(FileManager.default.fileExists(atPath: House.root.appending(path: needed).path), "\(needed) is missing")
        }
    }

    @Test func theReadmeHasTwoCommandsAndTheCheckRunsThem() throws {
        let readme = try House.text("README.md"), check = try House.text(".ci/run")
        let commands = readme.matches(of: #/```sh\n([^`]*)\n```/#).map { String($0.1) }
        #expect(
            commands.count == 2 && commands.allSatisfy { !$0.contains("\n") }, "the README shows two commands: the main job, and the tests")
        let last = try #require(commands.last)
        let parts = last.split(separator: " && ", maxSplits: 1).map(String.init)
        #expect(commands.allSatisfy { $0.hasPrefix(".ci/setup ") } && parts.count == 2, "each of the README's commands sets up first")
        #expect(check.contains(" \(parts[0])\n"), ".ci/run does not set up by `\(parts[0])` as the README does")
        let tests = parts[parts.count - 1]
        #expect(check.contains(" \(tests)\n"), ".ci/run does not run `\(tests)` as the README does")
    }

    @Test func thePackageSpeaksOnlyOfItself() throws {
        let folders = ["Sources", "Tests", "bench", "captures", ".ci"]
        let endings = [".swift", ".md", ".json", ".sh", ".py", ".c", ".h", ".txt", ".yml", ".modulemap", "/run", "/setup"]
        let paths = try folders.flatMap { try House.paths(under: $0) } + ["Package.swift", "README.md", ".gitignore"]
        for path in paths where endings.contains(where: { path.hasSuffix($0) }) || path == ".gitignore" {
            guard let text = try? House.text(path) else { continue }
            for violation in RepositoryRule.foreignWords(path: path, text: text) { Issue.record("\(violation)") }
            let builds = path.hasPrefix(".ci/") || path.hasSuffix("Package.swift")
            for violation in builds ? RepositoryRule.foreignHosts(path: path, text: text) : [] { Issue.record("\(violation)") }
        }
    }

    @Test func everyRoomAndEveryPureFolderExists() throws {
        for folder in ImportRule.rooms.map({ "Sources/" + $0.folder }) + House.pureFolders + ConcurrencyRule.folders {
            #expect(
                FileManager.default.fileExists(atPath: House.root.appending(path: folder).path),
                "\(folder) is named by a rule but is not there")
        }
    }
}
