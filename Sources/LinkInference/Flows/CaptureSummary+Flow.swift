import MastCapture
import MastTimebase

extension CaptureSummary.Flow {
    init(_ state: FlowState) {
        let hasPorts = state.key.protocolNumber == 6 || state.key.protocolNumber == 17
        self.init(
            protocolName: state.key.protocolName,
            client: hasPorts ? state.client.description : state.client.host,
            server: hasPorts ? state.server.description : state.server.host, clientKnownBy: state.clientKnownBy,
            firstS: rounded(state.first.sinceStart.inSeconds, 6), lastS: rounded(state.last.sinceStart.inSeconds, 6),
            up: Self.side(state, .up), down: Self.side(state, .down), rttMs: Self.rtt(state), state: state.isCut ? nil : state.tcp?.state.rawValue)
    }

    private static func side(_ state: FlowState, _ direction: FlowDirection) -> CaptureSummary.FlowSide {
        let side = state[direction]
        var result = CaptureSummary.FlowSide(
            packets: side.packets, bytes: side.bytes, ipBytes: side.ipBytes, payloadBytes: side.cut > 0 ? nil : side.payloadBytes)
        result.throughputMbps = CaptureSummary.Throughput(
            per10ms: quantiles(side.throughput.fine), per100ms: quantiles(side.throughput.middle),
            per1s: quantiles(side.throughput.coarse))
        if state.isCut { return result }
        result.goodputMbps = quantiles(side.goodput)
        if let tcp = state.tcp?[direction] {
            result.retransmissions = tcp.sentAgain
            result.fastRetransmissions = tcp.causes.fast
            result.timeoutRetransmissions = tcp.causes.timeout
            result.tailRetransmissions = tcp.causes.tail
            result.unexplainedRetransmissions = tcp.unexplained
            result.spuriousRetransmissions = tcp.causes.spurious
            (result.synRetransmissions, result.finRetransmissions) = (tcp.synAgain, tcp.finAgain)
            (result.keepAlives, result.windowProbes) = (tcp.keepAlives, tcp.windowProbes)
            result.outOfOrder = tcp.reordered
            result.lost = tcp.lost
            if let lost = tcp.lost, tcp.lossBursts > 0 { result.meanBurst = rounded(Double(lost) / Double(tcp.lossBursts), 3) }
            result.unrecordedBytes = tcp.unrecordedBytes
            result.duplicateAcks = tcp.duplicateAcknowledgements
            result.zeroWindows = tcp.zeroWindows
            result.inFlightBytesMax = tcp.inFlight.largest
            result.inFlightBytesP50 = tcp.inFlight.quantile(0.5)
        } else if let rtp = side.rtp, rtp.isRTP {
            result.outOfOrder = rtp.late
            result.lost = rtp.missing
            if rtp.bursts > 0 { result.meanBurst = rounded(Double(rtp.missing) / Double(rtp.bursts), 3) }
            result.jitterMs = rtp.jitter.map { rounded($0.inMilliseconds, 3) }
        }
        return result
    }

    private static func quantiles(_ bins: ThroughputBins) -> CaptureSummary.Quantiles? {
        bins.report.map { CaptureSummary.Quantiles(max: $0.max, p50: $0.p50, p95: $0.p95) }
    }

    private static func rtt(_ state: FlowState) -> CaptureSummary.RTT {
        let milliseconds = { (nanoseconds: Int64?) in nanoseconds.map { rounded(Double($0) / 1e6, 3) } }
        var rtt = CaptureSummary.RTT()
        func take(_ sketch: SampleSketch, _ basis: String) {
            rtt.min = milliseconds(sketch.smallest)
            let quantiles = sketch.quantiles(0.5, 0.95)
            (rtt.p50, rtt.p95) = (milliseconds(quantiles?.0), milliseconds(quantiles?.1))
            rtt.basis = basis
        }
        if let tcp = state.tcp {
            rtt.handshake = milliseconds(tcp.handshake?.nanoseconds)
            // A sample of up data comes back from the server, one of down data from the client.
            rtt.toServerMin = milliseconds(tcp.up.minimumRTT?.nanoseconds)
            rtt.toClientMin = milliseconds(tcp.down.minimumRTT?.nanoseconds)
            // The longer half is the path; the shorter one is the host beside the capture.
            let toServer = (tcp.up.minimumRTT ?? .zero) >= (tcp.down.minimumRTT ?? .zero)
            let far = toServer ? tcp.up : tcp.down
            if far.roundTrips.count >= 8 || far.roundTrips.count * 4 > far.stampRoundTrips.count, far.roundTrips.count > 0 {
                take(far.roundTrips, "dataAck")
            } else if far.stampRoundTrips.count > 0 {
                take(far.stampRoundTrips, "timestamps")
            }
            // A handful of samples may have missed the smallest.
            if let handshake = rtt.handshake, rtt.min.map({ handshake < $0 }) ?? true {
                rtt.min = handshake
                if rtt.p50 == nil { (rtt.p50, rtt.p95, rtt.basis) = (handshake, handshake, "handshake") }
            }
        } else if let rtcp = state.rtcp, rtcp.toServer.count + rtcp.toClient.count > 0 {
            rtt.toServerMin = milliseconds(rtcp.toServer.smallest)
            rtt.toClientMin = milliseconds(rtcp.toClient.smallest)
            // The longer half is the path; the shorter one is the host beside the capture.
            take((rtcp.toServer.smallest ?? 0) >= (rtcp.toClient.smallest ?? 0) ? rtcp.toServer : rtcp.toClient, "rtcp")
        } else {
            let spins = [state.up.spin, state.down.spin].compactMap { $0 }.filter(\.isPlausible)
            if let spin = spins.max(by: { $0.roundTrips.count < $1.roundTrips.count }) { take(spin.roundTrips, "spinBit") }
        }
        if let low = rtt.min, let high = rtt.p95 { rtt.queueDelayP95 = rounded(max(0, high - low), 3) }
        return rtt
    }
}
