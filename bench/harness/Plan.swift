import Foundation

/// Links × workloads × contenders × repetitions: what `bench/run` measures. A JSON file, so that one's own is easily written.
struct Plan: Codable {
    /// One link of the plan: the options of `mast link shell`. Without any it is the loopback.
    struct Link: Codable {
        var name: String
        var options: [String]
        var about: String?
        /// How much further on in the link's time each repetition begins, in seconds: another part of the trace.
        var phaseS: Double?

        var isLoopback: Bool { options.isEmpty }
    }

    /// Which of the plan's links, workloads and contenders belong together; all of a kind where it names none.
    struct Part: Codable {
        var links: [String]?
        var workloads: [String]?
        var contenders: [String]?
    }

    var about: String
    var repetitions: Int
    var contenders: [String]
    var links: [Link]
    var workloads: [Workload]
    var parts: [Part]?

    /// Leaves out every other link.
    mutating func keep(links names: [String]) throws {
        for name in names where !links.contains(where: { $0.name == name }) { throw BenchError("the plan has no link \(name)") }
        links.removeAll { !names.contains($0.name) }
        parts = parts?.map { part in Part(links: part.links?.filter(names.contains), workloads: part.workloads, contenders: part.contenders) }
    }

    /// Every link with one of its workloads and the contenders there, in the plan's order.
    func cells() throws -> [(link: Link, workload: Workload, contenders: [String])] {
        let parts = parts ?? [Part()]
        return try parts.flatMap { part in
            let chosen = try part.links?.map { name in try Self.find(name, links, \.name, "link") } ?? links
            let done = try part.workloads?.map { name in try Self.find(name, workloads, \.name, "workload") } ?? workloads
            return chosen.flatMap { link in done.map { (link, $0, part.contenders ?? contenders) } }
        }
    }

    private static func find<T>(_ name: String, _ all: [T], _ key: (T) -> String, _ kind: String) throws -> T {
        guard let found = all.first(where: { key($0) == name }) else { throw BenchError("a part of the plan names the \(kind) \(name), which the plan does not have") }
        return found
    }
}

/// What a client is asked to do; `contenders/README.md` says what each kind is.
struct Workload: Codable {
    var name: String
    var kind: String
    var payload: Int?
    var inFlight: Int?
    var rate: Double?
    var bytes: Int?
    var seconds: Double?
    var seed: UInt64?
    var resumed: Bool?
    var connections: Int?
    /// A second client that runs at the same time on the same link: a contender's name, or `self`.
    var beside: String?

    var isBulk: Bool { ["bulk-up", "bulk-down", "share"].contains(kind) }
    var hasCalls: Bool { !isBulk }
}

/// One line of `contenders.json`: a program that keeps the contract in the README beside it.
struct Contender: Codable {
    var name: String
    var command: [String]
    var options: [String]
    /// Whether, and whom it proves; the cipher is for the program to name.
    var encrypted: String
    /// Its allocations can be counted: what it does is no interpreter's work.
    var counted: Bool?
    var transport: String
    /// What becomes of a connection when the client's address changes.
    var migration: String
    /// What the set-up installs or builds for it.
    var needs: String?
}

struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
