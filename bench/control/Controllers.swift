import ArgumentParser
import Foundation
import MastTransport

/// Where recordings are.
struct Folder {
    var url: URL
    func read(_ path: String) -> [UInt8]? { (try? Data(contentsOf: url.appending(path: path))).map { [UInt8]($0) } }
}

/// Every controller on every road, in virtual time.
@main
struct Controllers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-controllers", abstract: "Congestion controllers side by side, in virtual time.",
        discussion: """
            The very transport runs over the link's model, with no machine in between: the same seed gives the same figures everywhere.
            Delays are of packets, less the link's own; calls are 20 a second beside the download, on its connection; "limit" is what an
            omniscient sender would have needed for those calls. Utilisation is of what the link could carry from second 1 on.
            """)

    @Option(help: "A folder with `links` and `rates` (bench/README.md); without it the synthetic roads alone.") var traces: String?
    @Option(help: "Controllers, by name; all unless told.") var controllers = CongestionControl.allCases.map(\.rawValue).joined(separator: ",")
    @Option(help: "Only roads whose name or group has one of these in it.") var on: String?
    @Flag(help: "Only roads that constants were chosen on.") var tuned = false
    @Flag(help: "A line for each road, not for each group.") var each = false
    @Option(help: "Where the figures go as JSON.") var json: String?
    @Option(help: "How many at once.") var jobs = ProcessInfo.processInfo.activeProcessorCount

    func run() async throws {
        let chosen = try controllers.split(separator: ",").map { name in
            guard let control = CongestionControl(rawValue: String(name)) else {
                throw ValidationError("no controller \(name): there are \(CongestionControl.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            return control
        }
        var roads = Road.synthetic
        if let traces {
            let (recorded, missing) = try Road.recorded(Folder(url: URL(filePath: traces)))
            for file in missing { FileHandle.standardError.write(Data("not there, left out: \(file)\n".utf8)) }
            roads = recorded + roads
        }
        if tuned { roads.removeAll { !$0.isTuned } }
        if let on {
            let words = on.split(separator: ",").map(String.init)
            roads.removeAll { road in !words.contains { road.name.contains($0) || road.group.contains($0) } }
        }
        let work = roads.flatMap { road in chosen.map { (road, $0) } }
        var outcomes = [Outcome?](repeating: nil, count: work.count)
        await withTaskGroup(of: (Int, Outcome).self) { group in
            var next = 0
            func add() {
                guard next < work.count else { return }
                let (index, item) = (next, work[next])
                next += 1
                group.addTask { (index, Outcome.of(item.0, item.1)) }
            }
            for _ in 0..<max(1, jobs) { add() }
            var done = 0
            for await (index, outcome) in group {
                outcomes[index] = outcome
                done += 1
                if isatty(2) != 0 { FileHandle.standardError.write(Data("\r\(done)/\(work.count) ".utf8)) }
                add()
            }
            if isatty(2) != 0 { FileHandle.standardError.write(Data("\r".utf8)) }
        }
        let all = outcomes.compactMap { $0 }
        print(Table.text(all, each: each))
        if let json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(all).write(to: URL(filePath: json))
        }
    }
}
