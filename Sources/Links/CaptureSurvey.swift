import MastCapture
import MastLinkInference
import MastTimebase

/// What a capture shows: its flows, and the link behind them.
public struct CaptureSurvey: Sendable {
    public let packets: Int
    /// Of whole frames, as they were on the wire.
    public let bytes: Int
    /// From the earliest to the latest packet.
    public let duration: Interval
    /// When times begin, in nanoseconds since 1970: at the capture's first packet. nil: no packet has a time.
    public let startEpochNanoseconds: Int64?
    /// Why reading stopped before the file's end; nil after a clean end.
    public let truncation: String?
    /// Those with most bytes first.
    public let flows: [Flow]
    /// Of all flows.
    public let flowCount: Int
    /// nil where the packets tell nothing of a link: `linkReason` says why.
    public let link: MeasuredLink?
    public let linkReason: String?

    init(_ summary: CaptureSummary, _ fit: Result<LinkFit, FitFailure>, start: Int64?) {
        (packets, bytes, truncation, startEpochNanoseconds) = (summary.packets, summary.bytes, summary.truncationReason, start)
        duration = Interval(seconds: summary.durationS)
        (flows, flowCount) = (summary.flows.map(Flow.init), summary.flowCount)
        switch fit {
        case .success(let fit): (link, linkReason) = (MeasuredLink(fit), nil)
        case .failure(let failure): (link, linkReason) = (nil, failure.description)
        }
    }

    /// One conversation; of TCP one connection, even where a later one has the same ports.
    public struct Flow: Sendable, Hashable {
        /// `tcp`, `udp`, `icmp` …
        public let protocolName: String
        /// With the port, where the protocol has one.
        public let client: String
        public let server: String
        /// How the client was told from the server: a SYN, port numbers, a private address …
        public let clientKnownBy: String
        /// Since the capture's first packet.
        public let first: Interval
        public let last: Interval
        public let up: Side
        public let down: Side
        public let roundTrips: RoundTrips
        /// Of TCP: `neverOpened`, `refused`, `halfOpen`, `open`, `midway`, `closing`, `closed` or `reset`; nil: no TCP.
        public let state: String?

        init(_ flow: CaptureSummary.Flow) {
            (protocolName, client, server, clientKnownBy) = (flow.protocolName, flow.client, flow.server, flow.clientKnownBy)
            (first, last, state) = (Interval(seconds: flow.firstS), Interval(seconds: flow.lastS), flow.state)
            (up, down, roundTrips) = (Side(flow.up), Side(flow.down), RoundTrips(flow.rttMs))
        }
    }

    /// One direction of a flow.
    public struct Side: Sendable, Hashable {
        public let packets: Int
        /// Of whole frames, as they were on the wire.
        public let bytes: Int
        /// nil: the capture cuts headers, so that it is not known.
        public let payloadBytes: Int?
        /// TCP segments that were sent again; nil: no TCP.
        public let retransmissions: Int?
        /// Of these, those whose original is proved to have arrived; nil: no TCP.
        public let spuriousRetransmissions: Int?
        /// TCP segments, or RTP packets, that were lost somewhere; nil: nothing here tells.
        public let lost: Int?

        init(_ side: CaptureSummary.FlowSide) {
            (packets, bytes, payloadBytes) = (side.packets, side.bytes, side.payloadBytes)
            (retransmissions, spuriousRetransmissions, lost) = (side.retransmissions, side.spuriousRetransmissions, side.lost)
        }
    }

    /// Round trips of a flow; nil where the packets show none.
    public struct RoundTrips: Sendable, Hashable {
        public let smallest: Interval?
        public let median: Interval?
        public let p95: Interval?
        /// `dataAck`, `timestamps`, `handshake`, `spinBit` or `rtcp`; nil with them.
        public let basis: String?

        init(_ rtt: CaptureSummary.RTT) {
            let interval = { (ms: Double?) in ms.map { Interval(seconds: $0 / 1_000) } }
            (smallest, median, p95, basis) = (interval(rtt.min), interval(rtt.p50), interval(rtt.p95), rtt.basis)
        }
    }
}

extension Interval {
    /// Rounded to nanoseconds; what no interval holds becomes its nearest end.
    init(seconds: Double) {
        let nanoseconds = (seconds * 1e9).rounded()
        self.init(nanoseconds: nanoseconds.isNaN ? 0 : nanoseconds >= 9.2e18 ? .max : nanoseconds <= -9.2e18 ? .min : Int64(nanoseconds))
    }
}
