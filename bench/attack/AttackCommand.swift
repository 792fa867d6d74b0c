import ArgumentParser
import Foundation

@main
struct AttackCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-attack", abstract: "Attack Mast servers on this machine, and see what becomes of those who only use them.",
        discussion: """
            For each attack a fresh server, eight bystanders, 3 s of calm, the attack, 3 s after it. A server stands when no \
            bystander lost a call or a first contact, and when its memory stayed under the attack's bound. Ends with 0 only if \
            it stood every time. Nothing leaves the loopback range. Needs root, for forged sources.
            """)

    @Option(help: ArgumentHelp("The program under attack.", valueName: "path"))
    var mast: String

    @Option(name: .long, parsing: .upToNextOption, help: ArgumentHelp("Which attacks; all when none is named. See --list.", valueName: "name"))
    var attack: [String] = []

    @Option(help: ArgumentHelp("How long each attack lasts.", valueName: "n"))
    var seconds: Int64 = 10

    @Option(help: ArgumentHelp("Decides forged sources, noise and mutations.", valueName: "n"))
    var seed: UInt64 = 1

    @Flag(help: "Print one object instead of the table.")
    var json = false

    @Flag(help: "Print the attacks' names, and end.")
    var list = false

    func validate() throws {
        guard (1...600).contains(seconds) else { throw ValidationError("--seconds must be 1 to 600") }
        for name in attack where !AttackCatalog.names.contains(name) {
            throw ValidationError("there is no attack \(name); choose of \(AttackCatalog.names.joined(separator: ", "))")
        }
    }

    private struct Report: Encodable {
        var program: String
        var seconds: Int64
        var seed: UInt64
        var stands: Bool
        var attacks: [AttackResult]
    }

    func run() async throws {
        if list { return print(AttackCatalog.names.joined(separator: "\n")) }
        guard FileManager.default.isExecutableFile(atPath: mast) else { throw ValidationError("\(mast) is no program") }
        signal(SIGPIPE, SIG_IGN)
        var results: [AttackResult] = []
        for attack in AttackCatalog.all where self.attack.isEmpty || self.attack.contains(attack.name) {
            let result = await AttackRun(attack: attack, program: mast, seconds: seconds, seed: seed).result()
            results.append(result)
            FileHandle.standardError.write(Data((result.remarks + "\n").utf8))
        }
        let stands = results.allSatisfy(\.stands)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
            print(String(decoding: try encoder.encode(Report(program: mast, seconds: seconds, seed: seed, stands: stands, attacks: results)), as: UTF8.self))
        } else {
            print(AttackResult.table(results))
            print("")
            print(results.map(\.remarks).joined(separator: "\n"))
            print("")
            print(stands ? "\(mast) stands." : "\(mast) FALLS to \(results.count { !$0.stands }) of \(results.count).")
        }
        if !stands { throw ExitCode(1) }
    }
}
