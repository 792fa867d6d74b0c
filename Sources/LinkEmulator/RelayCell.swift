import MastDatagrams
import MastLinkModel
import MastTimebase

/// A client of the relay: an address, and the socket through which its datagrams go on.
final class RelayClient {
    let address: NetworkAddress
    let cell: RelayCell
    var upstream: (any DatagramSocket)?
    var lastActive: Instant { share.last }
    var share: UDPRelayStatistics.ClientShare
    /// Datagrams of this client that are in the link.
    var held = 0
    /// How often it got another address.
    var bindings: UInt32 = 0

    init(address: NetworkAddress, cell: RelayCell, now: Instant) {
        (self.address, self.cell) = (address, cell)
        share = UDPRelayStatistics.ClientShare(client: address, first: now, last: now)
    }
}

/// A pair of links with the payloads that are in them.
final class RelayCell {
    struct Held {
        var client: RelayClient
        var payload: [UInt8]
    }

    private(set) var up: Link
    private(set) var down: Link
    /// Payloads by packet id. An id is free again after its one outcome, so the table stays as small as what
    /// was ever in the link at one time.
    private var held: [Held?] = []
    private var free: [Int] = []
    private var outcomes: [LinkOutcome] = []
    private var events: [LinkEvent] = []

    init(_ scenario: LinkScenario, instance: UInt64, isRecording: Bool) {
        up = scenario.link(.up, instance: instance)
        down = scenario.link(.down, instance: instance)
        (up.isRecording, down.isRecording) = (isRecording, isRecording)
    }

    /// Hands out what happened since the last call, if it is recorded.
    func takeEvents(_ body: (LinkDirection, [LinkEvent]) -> Void) {
        for direction in LinkDirection.allCases {
            if direction == .up { up.takeEvents(&events) } else { down.takeEvents(&events) }
            if !events.isEmpty { body(direction, events) }
            events.removeAll(keepingCapacity: true)
        }
    }

    var nextEventTime: Instant? {
        guard let up = up.nextEventTime else { return down.nextEventTime }
        guard let down = down.nextEventTime else { return up }
        return min(up, down)
    }

    func offer(_ payload: [UInt8], of client: RelayClient, _ direction: LinkDirection, at now: Instant) {
        let index = free.popLast() ?? held.count
        if index == held.count { held.append(nil) }
        held[index] = Held(client: client, payload: payload)
        client.held += 1
        let packet = LinkPacket(id: UInt64(index), bytes: payload.count + client.address.headerBytes)
        if direction == .up { up.offer(packet, at: now) } else { down.offer(packet, at: now) }
    }

    /// Carries both links to `now`, and hands out what has come out of them.
    func advance(to now: Instant, _ body: (LinkDirection, LinkOutcome, Held) -> Void) {
        for direction in LinkDirection.allCases {
            if direction == .up { up.advance(to: now, &outcomes) } else { down.advance(to: now, &outcomes) }
            for outcome in outcomes {
                let index = Int(outcome.id)
                guard let packet = held[index] else { continue }
                // A relay sees no IP header, and so offers nothing that may be marked.
                if case .marked = outcome { continue }
                if case .copied = outcome { body(direction, outcome, packet); continue }
                held[index] = nil
                free.append(index)
                packet.client.held -= 1
                body(direction, outcome, packet)
            }
            outcomes.removeAll(keepingCapacity: true)
        }
    }

    func add(_ outage: Outage, _ direction: LinkDirection, at now: Instant) {
        if direction == .up { up.add(outage, at: now) } else { down.add(outage, at: now) }
    }

    func clearOutages(_ direction: LinkDirection, at now: Instant) {
        if direction == .up { up.clearOutages(at: now) } else { down.clearOutages(at: now) }
    }
}
