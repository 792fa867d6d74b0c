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
            (toClient, toServer, weight) = (least(client, tcp.down), least(server, tcp.up), flowBytes[number])
        }
        if weight >= 0 { return split(toClient, toServer, beside: Self.beside, "by the two halves of a TCP handshake") }
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

    /// - Parameter beside: within so much a host answers its own capture; what takes it longer may be its keys, where it has to make some.
    private func split(_ toClient: Interval, _ toServer: Interval, beside: Interval = .max, _ basis: String) -> (LinkFit.Vantage, String) {
        let total = toClient + toServer
        let beside = max(beside, total / 40)
        if toClient <= beside, toClient * 4 <= total { return (.client, basis) }
        if toServer <= beside, toServer * 4 <= total { return (.server, basis) }
        return (.between, basis)
    }

    /// A kernel's answer; a tap that is further off has some of the path behind it.
    private static let beside = Interval.milliseconds(2)

    private func least(_ handshake: Interval, _ side: TCPTracker.Side) -> Interval { min(handshake, side.minimumRTT ?? handshake) }

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
            var destination: UInt32?
            var answer: Instant?
            var isRepeated = false
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
            case (.up, nil, _):
                progress[number].hello = event.time
                if event.marks.contains(.quicHandshake) { progress[number].destination = event.sequence }
            // Sent again: which of them is answered is not told. (A hello in two datagrams comes at once.)
            case (.up, .some(let hello), nil): if event.time - hello >= Self.together { progress[number].done = true }
            // The second answer is that to a hello that was sent again.
            case (.down, .some, .some(let answer)): if event.time - answer >= Self.together, !progress[number].isRepeated { progress[number].done = true }
            case (.down, .some, nil): progress[number].answer = event.time
            case (.up, .some, .some) where event.isHello(for: progress[number].destination): progress[number].isRepeated = true
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

    /// Datagrams of one flight come so close to each other; what a timer sends again does not.
    private static let together = Interval.milliseconds(20)

    /// The path beyond the capture point and back, without the end's own: by the turns of flows that begin as QUIC does. Each
    /// has in it what the peer took to answer, so the smallest that recurs is the path at most.
    private func handshakeTurn(_ vantage: LinkFit.Vantage) -> (rtt: Interval, bytesUp: Int64, bytesDown: Int64)? {
        struct Turn {
            var rtt: Interval
            var bytes: (out: Int32, back: Int32)
        }
        struct Progress {
            var packets = 0
            var destination: UInt32?
            /// Of the run of packets in one direction that goes on.
            var begin: (time: Instant, direction: FlowDirection, bytes: Int32)?
            var first: (toServer: Interval?, toClient: Interval?)
            var isOver = false
        }
        var progress = Array(repeating: Progress(), count: flows.count)
        var (toServer, toClient): ([Turn], [Turn]) = ([], [])
        // Turns that are much shorter than a flow's first.
        var short = (toServer: 0, toClient: 0)
        for event in allEvents {
            let number = Int(event.flow)
            guard !progress[number].isOver, !event.marks.contains(.tcp) else { continue }
            progress[number].packets += 1
            guard let begin = progress[number].begin else {
                progress[number].isOver = event.direction == .down || !(event.marks.contains(.quicHandshake) || event.payloadBytes >= 1_100)
                progress[number].begin = (event.time, event.direction, event.ipBytes)
                if event.marks.contains(.quicHandshake) { progress[number].destination = event.sequence }
                continue
            }
            // A timer sent it, whatever came before it.
            if event.direction == .up, begin.direction == .down, event.isHello(for: progress[number].destination) { progress[number].isOver = true; continue }
            // Then data flows, and nobody waits for an answer.
            if progress[number].packets > Self.mostOfHandshake { progress[number].isOver = true }
            guard begin.direction != event.direction else {
                if event.time - begin.time >= Self.together { progress[number].isOver = true }
                continue
            }
            let turn = Turn(rtt: event.time - begin.time, bytes: (begin.bytes, event.ipBytes))
            progress[number].begin = (event.time, event.direction, event.ipBytes)
            // What was under way already is no answer.
            if event.direction == .down {
                let first = progress[number].first.toServer ?? turn.rtt
                progress[number].first.toServer = first
                if turn.rtt * 2 >= first { toServer.append(turn) } else if turn.rtt <= Self.ownWork { short.toServer += 1 }
            } else {
                let first = progress[number].first.toClient ?? turn.rtt
                progress[number].first.toClient = first
                if turn.rtt * 2 >= first { toClient.append(turn) } else if turn.rtt <= Self.ownWork { short.toClient += 1 }
            }
        }
        func low(_ turns: [Turn]) -> Turn? {
            let sorted = turns.sorted { ($0.rtt, $0.bytes.out) < ($1.rtt, $1.bytes.out) }
            return zip(sorted, sorted.dropFirst()).first { $1.rtt - $0.rtt <= max(.milliseconds(1), $0.rtt / 30) }?.0 ?? sorted.last
        }
        guard let server = low(toServer), let client = low(toClient) else { return nil }
        // Beside the capture point there is no path, only the end's own work.
        func isOwnWork(_ rtt: Interval, _ short: Int) -> Bool { rtt <= Self.ownWork || rtt <= Self.slowOwnWork && short >= 2 }
        switch vantage {
        case .client where isOwnWork(client.rtt, short.toClient): return (server.rtt, Int64(server.bytes.out), Int64(server.bytes.back))
        case .server where isOwnWork(server.rtt, short.toServer): return (client.rtt, Int64(client.bytes.back), Int64(client.bytes.out))
        case .client: return (server.rtt + client.rtt, Int64(server.bytes.out), Int64(server.bytes.back))
        case .server: return (server.rtt + client.rtt, Int64(client.bytes.back), Int64(client.bytes.out))
        case .between, .unknown: return (server.rtt + client.rtt, 0, 0)
        }
    }

    private static let mostOfHandshake = 8
    private static let ownWork = Interval.milliseconds(2)
    /// What keys take that are made in a handshake, where the same end answers sooner later on.
    private static let slowOwnWork = Interval.milliseconds(5)

    /// TCP flows of weight, and those between the same hosts, which go the same way; without the former all.
    private var besideWeighty: [Int] {
        let weighty = weightyFlows.filter { flows[$0].tcp != nil }
        let active = flowBytes.indices.filter { flowBytes[$0] > 0 }
        guard !weighty.isEmpty else { return active }
        struct Hosts: Hashable { var (client, server): (NetworkAddress, NetworkAddress) }
        func hosts(_ number: Int) -> Hosts { Hosts(client: flows[number].client.with(port: 0), server: flows[number].server.with(port: 0)) }
        let known = Set(weighty.map(hosts)) // lookup only
        return active.filter { flows[$0].tcp != nil && known.contains(hosts($0)) }
    }

    /// Whether the shortest round trip was seen more than once: where each packet waits for something of its own, as on a radio, the shortest of a
    /// few had waited as well.
    private func recurs(_ candidates: [Int], _ vantage: LinkFit.Vantage) -> Bool {
        var isCandidate = Array(repeating: false, count: flows.count)
        for number in candidates { isCandidate[number] = true }
        let far: [FlowDirection] = vantage == .client ? [.up] : vantage == .server ? [.down] : [.up, .down]
        return far.allSatisfy { direction in
            // A handshake's packets are small, and mostly find the queue empty.
            let half = { (number: Int) in direction == .up ? flows[number].tcp?.serverSideHandshake : flows[number].tcp?.clientSideHandshake }
            let handshakes = candidates.compactMap(half)
            let trips = handshakes + roundTrips.lazy.filter { isCandidate[Int($0.flow)] && $0.dataDirection == direction && $0.rtt != half(Int($0.flow)) }.map(\.rtt)
            guard let least = trips.min() else { return false }
            let near = least + max(.milliseconds(1), least / 50)
            let count = trips.count { $0 <= near }
            return count >= Self.surelyRecurring || count >= 2 && handshakes.allSatisfy { $0 <= near }
        }
    }

    private static let surelyRecurring = 5

    /// The round trip of the whole path without queues and without the time to send the packets.
    func baseRTT(
        up: CapacityEstimate, down: CapacityEstimate, vantage: LinkFit.Vantage
    ) -> (value: Interval, basis: String, isAssumed: Bool, isBound: Bool) {
        var best: (rtt: Interval, basis: String, isBound: Bool)?
        // What a varying rate took of a packet's time is known only at its least.
        let isVarying = !up.isConstant && !up.isLowerBound || !down.isConstant && !down.isLowerBound
        func offer(_ rtt: Interval, bytesUp: Int64, bytesDown: Int64, _ basis: String, isBound: Bool = false) {
            let sending = up.serialisation(bytesUp) + down.serialisation(bytesDown)
            // Equal times measure nothing: a recorder may give one to several packets.
            guard rtt > .zero else { return }
            // What takes no longer than its packets would was sent faster than that.
            let net = rtt > sending ? rtt - sending : rtt
            if best.map({ net < $0.rtt }) ?? true { best = (net, basis, isBound || isVarying || rtt <= sending) }
        }
        let candidates = besideWeighty
        let recurs = recurs(candidates, vantage)
        for number in candidates {
            guard let tcp = flows[number].tcp else { continue }
            if let handshake = tcp.handshake {
                offer(handshake, bytesUp: 60, bytesDown: 60, "TCP handshake, less the time to send its packets", isBound: !recurs)
            }
            if let server = tcp.up.minimumRTT, let client = tcp.down.minimumRTT {
                // Only the half beyond the capture point crossed the link.
                let (out, back) = vantage == .client ? tcp.up.minimumRTTBytes : vantage == .server ? tcp.down.minimumRTTBytes : (0, 0)
                let (bytesUp, bytesDown) = vantage == .client ? (out, back) : (back, out)
                let isUnknown = bytesUp >= 500 && up.isLowerBound || bytesDown >= 500 && down.isLowerBound
                offer(
                    server + client, bytesUp: Int64(bytesUp), bytesDown: Int64(bytesDown),
                    "smallest data-to-ACK times of both sides, added\(out > 0 && !isUnknown ? ", less the time to send the packets" : "")",
                    // Without the connection's beginning a queue may have stood all along.
                    isBound: isUnknown || tcp.handshake == nil || !recurs)
            }
        }
        for number in flowBytes.indices where best == nil && flowBytes[number] > 0 {
            guard let rtcp = flows[number].rtcp else { continue }
            let halves = [rtcp.toServer.smallest, rtcp.toClient.smallest].compactMap { $0 }
            guard !halves.isEmpty else { continue }
            offer(Interval(nanoseconds: halves.reduce(0, +)), bytesUp: 80, bytesDown: 80, "RTCP reports, less the time to send them")
        }
        if best == nil {
            if let spin = spinRTT(vantage, of: spinTurns()) {
                let (bytesUp, bytesDown) = vantage == .server ? (spin.bytesBack, spin.bytesOut) : (spin.bytesOut, spin.bytesBack)
                offer(
                    spin.rtt, bytesUp: bytesUp, bytesDown: bytesDown,
                    "QUIC spin bit (smallest that recurs), less the time to send its packets; what the peer takes to answer is in it", isBound: true)
            }
            if let turn = handshakeTurn(vantage) {
                offer(
                    turn.rtt, bytesUp: turn.bytesUp, bytesDown: turn.bytesDown,
                    "turns of a datagram handshake, less the time to send its packets; what the peer takes to answer is in it", isBound: true)
            }
        }
        if let best { return (best.rtt, best.basis, false, best.isBound) }
        return (LinkFit.assumedRTT, "assumed: the capture shows no round trip", true, false)
    }
}

extension Timeline.Event {
    /// Whether its sender had not heard the server yet: it goes to the ID that the client chose for its first (RFC 9000 section 7.2).
    fileprivate func isHello(for destination: UInt32?) -> Bool { marks.contains(.quicHandshake) && sequence == destination }
}
