import MastCapture

extension CaptureSummary {
    package struct FlowSide: Codable, Sendable, Hashable {
        package var packets: Int
        package var bytes: Int
        package var ipBytes: Int
        /// nil: the capture cuts headers, so that it is not known.
        package var payloadBytes: Int?
        /// TCP segments that were sent again: they passed here twice, or filled a hole late. nil: no TCP.
        package var retransmissions: Int?
        /// By duplicate acknowledgements or SACK, by timer, by tail loss probe: told where the sender was seen.
        package var fastRetransmissions: Int?
        package var timeoutRetransmissions: Int?
        package var tailRetransmissions: Int?
        /// Too soon for a timer, and nothing here asked for them: why they were sent again is not told.
        package var unexplainedRetransmissions: Int?
        /// Of all of these, those whose original had arrived.
        package var spuriousRetransmissions: Int?
        /// Of all of these, SYN or SYN-ACK, and FIN without data: what was lost, they or their answers, is not seen.
        package var synRetransmissions: Int?
        package var finRetransmissions: Int?
        /// Neither sent again nor lost: they ask whether the peer, or its window, is still there.
        package var keepAlives: Int?
        package var windowProbes: Int?
        package var outOfOrder: Int?
        /// TCP: segments with data that were sent again and whose original had not arrived; nil also where of one sent again nothing
        /// tells why. RTP: missing in sequence. nil: nothing here tells.
        package var lost: Int?
        /// Packets lost in a row, mean; nil without a loss.
        package var meanBurst: Double?
        /// TCP bytes that were acknowledged and that the capture does not hold: the recorder's loss.
        package var unrecordedBytes: Int?
        package var duplicateAcks: Int?
        package var zeroWindows: Int?
        /// TCP bytes sent and not acknowledged; of use where the sender was seen.
        package var inFlightBytesMax: Int64?
        package var inFlightBytesP50: Int64?
        /// RFC 3550's interarrival jitter.
        package var jitterMs: Double?
        /// IP bytes, in bins in which something passed.
        package var throughputMbps: Throughput?
        /// Payload that passed for the first time, in bins of a second.
        package var goodputMbps: Quantiles?
    }

    package struct Throughput: Codable, Sendable, Hashable {
        package var per10ms: Quantiles?
        package var per100ms: Quantiles?
        package var per1s: Quantiles?
    }

    package struct Quantiles: Codable, Sendable, Hashable {
        package var max: Double
        package var p50: Double
        package var p95: Double
    }

    package struct RTT: Codable, Sendable, Hashable {
        /// Of the samples that `basis` names.
        package var min: Double?
        package var p50: Double?
        package var p95: Double?
        /// `dataAck`, `timestamps`, `handshake`, `spinBit`, `rtcp`.
        package var basis: String?
        /// SYN to the ACK that ends the handshake: the whole path, wherever the capture was made.
        package var handshake: Double?
        /// From here to the server and back, smallest.
        package var toServerMin: Double?
        /// From here to the client and back, smallest.
        package var toClientMin: Double?
        /// p95 above the smallest: what queues and radio added.
        package var queueDelayP95: Double?
    }
}
