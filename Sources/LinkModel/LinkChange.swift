import MastTimebase

/// A step in what a link direction is like.
package struct LinkChange: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// The server becomes a wire of this rate; the packet in service ends at the old one.
        case rate(Rate)
        case delay(Interval)
        case mtu(Int)
        /// Everything that waits in the queue is dropped: a handover without forwarding.
        case flush
        /// The way's address translator forgets the client, and gives it another port or address. No packet is lost on
        /// the link; whoever carries the packets does it (a relay, the simulated network).
        case rebind(Rebinding)
    }

    package enum Rebinding: String, Hashable, Sendable { case port, address }

    /// From the beginning of the run.
    package var at: Interval
    package var kind: Kind

    package init(at: Interval, _ kind: Kind) { (self.at, self.kind) = (at, kind) }

    /// Parses `rate=5mbit`, `delay=30ms`, `mtu=1400`, `flush`, `rebind=port`, `rebind=address`.
    private static func kind(_ text: Substring) -> Kind? {
        if text == "flush" { return .flush }
        guard let sign = text.firstIndex(of: "=") else { return nil }
        let value = text[text.index(after: sign)...]
        switch text[..<sign] {
        case "rate": return Rate(text: value).map { .rate($0) }
        case "delay": return Interval(text: value).map { .delay($0) }
        case "mtu":
            guard let bytes = Int(value), LinkPacket.sizes.contains(bytes) else { return nil }
            return .mtu(bytes)
        case "rebind": return Rebinding(rawValue: String(value)).map { .rebind($0) }
        default: return nil
        }
    }

    /// Parses `30s+80ms` with any of `,forward`, `,flush`, `,rate=5mbit`, `,delay=30ms`: service stops at 30 s for
    /// 80 ms, what waits is forwarded or flushed, and the new cell's rate and delay hold from the end.
    package static func handover(text: String) -> (hold: Outage, changes: [LinkChange])? {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard let first = parts.first, let hold = Outage(text: String(first)), hold.mode == .hold else { return nil }
        var changes: [LinkChange] = []
        for part in parts.dropFirst() where part != "forward" {
            guard let kind = kind(part) else { return nil }
            changes.append(LinkChange(at: kind == .flush ? hold.start : hold.end, kind))
        }
        return (hold, changes)
    }
}

extension LinkChange: CustomStringConvertible {
    /// Parses `12s:rate=5mbit`.
    package init?(text: String) {
        guard let colon = text.firstIndex(of: ":"), let at = Interval(text: text[..<colon]),
            let kind = Self.kind(text[text.index(after: colon)...]) else { return nil }
        self.init(at: at, kind)
    }

    package var description: String { "\(at.text):\(what)" }

    var what: String {
        switch kind {
        case .rate(let rate): "rate=\(rate.text)"
        case .delay(let delay): "delay=\(delay.text)"
        case .mtu(let bytes): "mtu=\(bytes)"
        case .flush: "flush"
        case .rebind(let what): "rebind=\(what.rawValue)"
        }
    }
}

extension LinkScenario {
    /// When the client gets another port or address, in order of time; of either direction's changes.
    package var rebindings: [(at: Interval, what: LinkChange.Rebinding)] {
        (up.changes + down.changes).compactMap { change in
            if case .rebind(let what) = change.kind { (change.at, what) } else { nil }
        }.sorted { $0.at < $1.at }
    }
}
