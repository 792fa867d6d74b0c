import MastCapture

extension CaptureSummary {
    /// How far the TCP connections came, by `TCPConnectionState`, and what concerns all of them. Counts of connections, segments
    /// and bytes.
    package struct Connections: Codable, Sendable, Hashable {
        package var neverOpened = 0
        package var refused = 0
        package var halfOpen = 0
        package var open = 0
        package var midway = 0
        package var closing = 0
        package var closed = 0
        package var reset = 0
        /// SYN and SYN-ACK sent again.
        package var synRetransmissions = 0
        /// Acknowledged, and not in the capture: the recorder's loss.
        package var unrecordedBytes = 0

        /// nil: no TCP.
        init?(_ flows: [FlowState]) {
            var isAny = false
            for index in flows.indices {
                guard let tcp = flows[index].tcp, !flows[index].isCut else { continue }
                isAny = true
                switch tcp.state {
                case .neverOpened: neverOpened += 1
                case .refused: refused += 1
                case .halfOpen: halfOpen += 1
                case .open: open += 1
                case .midway: midway += 1
                case .closing: closing += 1
                case .closed: closed += 1
                case .reset: reset += 1
                }
                synRetransmissions += tcp.up.synAgain + tcp.down.synAgain
                unrecordedBytes += tcp.up.unrecordedBytes + tcp.down.unrecordedBytes
            }
            guard isAny else { return nil }
        }

        var lines: [String] {
            let counts = [
                (neverOpened, TCPConnectionState.neverOpened), (refused, .refused), (halfOpen, .halfOpen), (reset, .reset), (closed, .closed),
                (closing, .closing), (open, .open), (midway, .midway),
            ].filter { $0.0 > 0 }
            var lines = ["connections   " + counts.map { "\($0.0) \($0.1.text)" }.joined(separator: ", ")]
            if synRetransmissions > 0 { lines[0] += "; \(synRetransmissions) SYN sent again" }
            if unrecordedBytes > 0 { lines.append("recorder      missed \(TextLayout.bytes(unrecordedBytes)) that were acknowledged: no loss of the link") }
            return lines
        }
    }
}
