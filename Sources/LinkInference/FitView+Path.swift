import MastCapture
import MastTimebase

extension FitView {
    /// Where the capture was made, from which side of it the round trips are short.
    func vantage() -> (value: LinkFit.Vantage, basis: String) {
        if let cooked = cookedVantage() { return cooked }
        var toClient = Interval.zero
        var toServer = Interval.zero
        var weight = -1
        for number in weightyFlows where flowBytes[number] > weight {
            guard let tcp = flows[number].tcp, let client = tcp.clientSideHandshake, let server = tcp.serverSideHandshake
            else { continue }
            (toClient, toServer, weight) = (client, server, flowBytes[number])
        }
        if weight >= 0 { return split(toClient, toServer, "by the two halves of a TCP handshake") }
        for number in weightyFlows where flowBytes[number] > weight {
            guard let tcp = flows[number].tcp, let client = tcp.down.minimumRTT, let server = tcp.up.minimumRTT
            else { continue }
            (toClient, toServer, weight) = (client, server, flowBytes[number])
        }
        if weight >= 0 { return split(toClient, toServer, "by the data-to-ACK times of either side") }
        if let quic = paddedHandshake() { return split(quic.toClient, quic.toServer, "by the two halves of a datagram handshake") }
        // A session's control connection goes the same way as its media.
        for number in flowBytes.indices where flowBytes[number] > weight {
            guard let tcp = flows[number].tcp, let client = tcp.clientSideHandshake, let server = tcp.serverSideHandshake
            else { continue }
            (toClient, toServer, weight) = (client, server, flowBytes[number])
        }
        if weight >= 0 { return split(toClient, toServer, "by the two halves of a TCP handshake beside the traffic") }
        let missing = rtpMissing()
        if missing.down > 0, missing.up == 0 { return (.client, "only RTP towards the client has sequence gaps") }
        if missing.up > 0, missing.down == 0 { return (.server, "only RTP towards the server has sequence gaps") }
        return (.unknown, "nothing in the capture tells")
    }

    /// By which packets the recording host sent: those had not crossed the link yet.
    private func cookedVantage() -> (LinkFit.Vantage, String)? {
        var counts = (sentUp: 0, cameUp: 0, sentDown: 0, cameDown: 0)
        for event in events where !event.marks.isDisjoint(with: [.outgoing, .incoming]) {
            switch (event.direction, event.marks.contains(.outgoing)) {
            case (.up, true): counts.sentUp += 1
            case (.up, false): counts.cameUp += 1
            case (.down, true): counts.sentDown += 1
            case (.down, false): counts.cameDown += 1
            }
        }
        let isClient = counts.sentUp + counts.cameDown
        let isServer = counts.sentDown + counts.cameUp
        guard isClient + isServer > 0, isClient + isServer == events.count || isClient + isServer >= 20 else { return nil }
        // A few of another conversation may go the other way.
        if isServer * 50 <= isClient { return (.client, "by the packet type: the recording host sent what goes up") }
        if isClient * 50 <= isServer { return (.server, "by the packet type: the recording host sent what goes down") }
        if (counts.cameUp + counts.cameDown) * 50 <= counts.sentUp + counts.sentDown { return (.between, "by the packet type: both ends are on the recording host") }
        if (counts.sentUp + counts.sentDown) * 50 <= counts.cameUp + counts.cameDown { return (.between, "by the packet type: the recording host is neither end") }
        return nil
    }

    private func split(_ toClient: Interval, _ toServer: Interval, _ basis: String) -> (LinkFit.Vantage, String) {
        let total = toClient + toServer
        if toClient * 4 <= total { return (.client, basis) }
        if toServer * 4 <= total { return (.server, basis) }
        return (.between, basis)
    }

    private func rtpMissing() -> (up: Int, down: Int) {
        var missing = (up: 0, down: 0)
        for number in weightyFlows {
            if let rtp = flows[number].up.rtp, rtp.isRTP { missing.up += rtp.missing }
            if let rtp = flows[number].down.rtp, rtp.isRTP { missing.down += rtp.missing }
        }
        return missing
    }

    /// The smallest sum of client's first packet to server's first and that to the client's next, over flows that
    /// begin as QUIC does: with a long header, or with a datagram padded to what an
    /// unvalidated server may answer (RFC 9000 section 8.1).
    func paddedHandshake() -> (toServer: Interval, toClient: Interval)? {
        struct Progress {
            var hello: Instant?
            var answer: Instant?
            var done = false
        }
        var progress = Array(repeating: Progress(), count: flows.count)
        var best: (toServer: Interval, toClient: Interval)?
        for event in allEvents {
            let number = Int(event.flow)
            guard !progress[number].done, !event.marks.contains(.tcp) else { continue }
            let isHello = event.marks.contains(.quicHandshake) || event.payloadBytes >= 1_100
            if progress[number].hello == nil, event.direction == .down || !isHello {
                progress[number].done = true
                continue
            }
            switch (event.direction, progress[number].hello, progress[number].answer) {
            case (.up, nil, _): progress[number].hello = event.time
            case (.down, .some, nil): progress[number].answer = event.time
            case (.up, .some(let hello), .some(let answer)):
                progress[number].done = true
                let candidate = (toServer: answer - hello, toClient: event.time - answer)
                let sum = candidate.toServer + candidate.toClient
                if sum > .zero, best.map({ sum < $0.toServer + $0.toClient }) ?? true { best = candidate }
            default: break
            }
        }
        return best
    }

    /// The round trip of the whole path without queues and without the time to send the packets.
    func baseRTT(
        up: CapacityEstimate, down: CapacityEstimate, vantage: LinkFit.Vantage
    ) -> (value: Interval, basis: String, isAssumed: Bool) {
        var best: (rtt: Interval, basis: String)?
        func offer(_ rtt: Interval, bytesUp: Int64, bytesDown: Int64, _ basis: String) {
            let sending = up.serialisation(bytesUp) + down.serialisation(bytesDown)
            let net = max(rtt - sending, .microseconds(10))
            if best.map({ net < $0.rtt }) ?? true { best = (net, basis) }
        }
        let candidates = weightyFlows.contains(where: { flows[$0].tcp != nil })
            ? weightyFlows : flowBytes.indices.filter { flowBytes[$0] > 0 }
        for number in candidates {
            guard let tcp = flows[number].tcp else { continue }
            if let handshake = tcp.handshake {
                offer(handshake, bytesUp: 60, bytesDown: 60, "TCP handshake, less the time to send its packets")
            }
            if let server = tcp.up.minimumRTT, let client = tcp.down.minimumRTT {
                offer(server + client, bytesUp: 0, bytesDown: 0, "smallest data-to-ACK times of both sides, added")
            }
        }
        for number in flowBytes.indices where best == nil && flowBytes[number] > 0 {
            guard let rtcp = flows[number].rtcp else { continue }
            let halves = [rtcp.toServer.smallest, rtcp.toClient.smallest].compactMap { $0 }
            guard !halves.isEmpty else { continue }
            offer(Interval(nanoseconds: halves.reduce(0, +)), bytesUp: 80, bytesDown: 80, "RTCP reports, less the time to send them")
        }
        if best == nil, let spin = spinRTT(vantage, of: spinTurns()) {
            // A sender's own capture shows how fast it sent, if not how fast the link is.
            let (out, back) = vantage == .server ? (down, up) : (up, down)
            let sending = (spin.bytesOut >= 1_000 ? out.sending(spin.bytesOut) : out.serialisation(spin.bytesOut)) + back.serialisation(spin.bytesBack)
            offer(spin.rtt - sending, bytesUp: 0, bytesDown: 0, "QUIC spin bit (smallest that recurs), less the time to send its packets")
        }
        if best == nil, let quic = paddedHandshake() {
            offer(
                quic.toServer + quic.toClient, bytesUp: 1200, bytesDown: 1200,
                "datagram handshake, less the time to send its packets; the peers' own work is in it")
        }
        if let best { return (best.rtt, best.basis, false) }
        return (LinkFit.assumedRTT, "assumed: the capture shows no round trip", true)
    }
}
