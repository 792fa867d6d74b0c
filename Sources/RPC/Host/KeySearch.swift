import Collections
import MastTimebase
import MastTransport

/// The question for a server's key, put to its addresses one after the other as a dialling does. A key belongs to the name that
/// was typed: where one is expected, an address that shows another loses.
struct KeySearch: Sendable {
    let host: HostPort
    let expected: PublicKey?
    private var waiting: Deque<NetworkAddress> = []
    /// Asked, and silent so far.
    private(set) var asked: [NetworkAddress] = []
    private(set) var isLookingUp = false
    /// The first answer that was not the expected one.
    private(set) var other: PublicKey?
    /// What the system or the network last said about asking.
    var hint: PathHint?
    var timer: TimerQueue<HostCore.Timer>.Token?

    init(_ host: HostPort, expected: PublicKey?) {
        (self.host, self.expected) = (host, expected)
        if let address = host.address { waiting = [address] } else { isLookingUp = true }
    }

    mutating func lookedUp(_ addresses: [NetworkAddress]) {
        isLookingUp = false
        waiting = Deque(Dialing.interleaved(addresses))
    }

    var hasMore: Bool { !waiting.isEmpty }
    var isOver: Bool { !isLookingUp && waiting.isEmpty && asked.isEmpty }

    mutating func next() -> NetworkAddress? {
        guard let address = waiting.popFirst() else { return nil }
        asked.append(address)
        return address
    }

    /// The end of a search that found nothing, or only another key.
    var outcome: WaitOutcome {
        if let other { return .key(other) }
        let reason = hint.map { " (\($0))" } ?? ""
        return .failed(RPCError(.unavailable, "nobody at \(host) told its key\(reason)", effect: .none, cause: .unreachable))
    }

    /// - Returns: the key that ends the search; nil when it goes on.
    mutating func answered(_ address: NetworkAddress, _ key: PublicKey?) -> PublicKey? {
        guard let index = asked.firstIndex(of: address) else { return nil }
        asked.remove(at: index)
        guard let key else { return nil }
        if expected == nil || key == expected { return key }
        other = other ?? key
        return nil
    }
}
