import MastTimebase

/// What of a capture is taken.
package struct CapturePart: Sendable {
    /// In libpcap's language.
    package var filter: String?
    /// Since the first packet.
    package var from: Interval?
    package var to: Interval?
    /// One flow's conversations, of those that are left; the link is still fitted to all.
    package var flow: FlowChoice?
    package init() {}

    /// Nil: all of it.
    package var times: ClosedRange<Instant>? {
        guard from != nil || to != nil else { return nil }
        let from = from ?? .zero
        return .zero + from ... .zero + max(from, to ?? .max / 4)
    }
}

/// One flow of a capture, as somebody names it.
package enum FlowChoice: Sendable, Hashable {
    /// From 1, in the order of `mast inspect`.
    case number(Int)
    /// The busiest that has this end, an address with or without a port.
    case end(String)
    /// The busiest between these two, in either order.
    case ends(String, String)

    package init?(_ text: String) {
        guard !text.isEmpty else { return nil }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false)
        if ends.count == 2 {
            guard !ends[0].isEmpty, !ends[1].isEmpty else { return nil }
            self = .ends(String(ends[0]), String(ends[1]))
            return
        }
        if text.allSatisfy(\.isNumber) {
            guard let number = Int(text) else { return nil }
            self = .number(number)
        } else {
            self = .end(text)
        }
    }

    private static func names(_ text: String, _ address: NetworkAddress) -> Bool { address.description == text || address.host == text }

    /// - Returns: its place in the table's flows.
    package func find(in table: FlowTable) throws(NoSuchFlow) -> Int {
        let order = table.busiestFirst
        switch self {
        case .number(let number):
            guard number >= 1, number <= order.count else { throw NoSuchFlow(name: "\(number)", count: order.count) }
            return order[number - 1]
        case .end(let text):
            guard let found = order.first(where: { Self.names(text, table.flows[$0].client) || Self.names(text, table.flows[$0].server) }) else {
                throw NoSuchFlow(name: text, count: order.count)
            }
            return found
        case .ends(let one, let other):
            let found = order.first { index in
                let (client, server) = (table.flows[index].client, table.flows[index].server)
                return Self.names(one, client) && Self.names(other, server) || Self.names(other, client) && Self.names(one, server)
            }
            guard let found else { throw NoSuchFlow(name: "\(one)-\(other)", count: order.count) }
            return found
        }
    }
}

package struct NoSuchFlow: Error, Sendable, Hashable, CustomStringConvertible {
    package var name: String
    /// How many there are.
    package var count: Int

    package init(name: String, count: Int) { (self.name, self.count) = (name, count) }

    package var description: String {
        "there is no flow \(name): mast inspect lists \(count == 1 ? "the only one" : "the \(count) of them")"
    }
}

/// How quickly, how often and how much of what was recorded is played again.
package struct ReplayPace: Sendable {
    /// Thousandths: times and pauses are divided by it.
    package var speed: Int64 = 1_000
    package var rounds = 1
    /// Exchanges or packets to take, in order of their recorded time.
    package var limit: Int?
    package init() {}

    package static let mostRounds = 10_000
}
