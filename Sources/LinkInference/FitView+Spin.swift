import MastCapture
import MastTimebase

extension FitView {
    /// A turn of the spin bit (RFC 9312 section 3.8.2) that went from here to an end and came back: the way beyond the capture
    /// point, without what the near end takes to answer.
    struct SpinTurn: Sendable {
        /// When it came back.
        var time: Instant
        var flow: Int32
        var rtt: Interval
        /// IP bytes of the packet that took it there, and of the one that brought it back.
        var bytesOut: Int64
        var bytesBack: Int64
    }

    /// In order of time. Endpoints may spin at random instead: `isSpun` tells.
    func spinTurns() -> (toServer: [SpinTurn], toClient: [SpinTurn]) {
        struct Turns {
            var up: (value: Bool, at: Instant, bytes: Int32)?
            var down: (value: Bool, at: Instant, bytes: Int32)?
        }
        var turns = Array(repeating: Turns(), count: flows.count)
        var began = Array(repeating: false, count: flows.count)
        var toServer: [SpinTurn] = []
        var toClient: [SpinTurn] = []
        for event in events {
            let number = Int(event.flow)
            if event.marks.contains(.quicHandshake) { began[number] = true }
            guard began[number], event.marks.contains(.quicShort) else { continue }
            let spin = event.marks.contains(.spin)
            func turn(since out: (value: Bool, at: Instant, bytes: Int32)) -> SpinTurn {
                SpinTurn(time: event.time, flow: event.flow, rtt: event.time - out.at, bytesOut: Int64(out.bytes), bytesBack: Int64(event.ipBytes))
            }
            // The server sends back what it saw, the client the opposite.
            switch event.direction {
            case .up where turns[number].up?.value != spin:
                if let down = turns[number].down, down.value != spin, turns[number].up != nil { toClient.append(turn(since: down)) }
                turns[number].up = (spin, event.time, event.ipBytes)
            case .down where turns[number].down?.value != spin:
                if let up = turns[number].up, up.value == spin, turns[number].down != nil { toServer.append(turn(since: up)) }
                turns[number].down = (spin, event.time, event.ipBytes)
            default: break
            }
        }
        return (toServer, toClient)
    }

    /// The smallest turn beyond the capture point that another one comes near to; nil where few were seen, or they do not fit
    /// the handshake.
    func spinRTT(_ vantage: LinkFit.Vantage, of turns: (toServer: [SpinTurn], toClient: [SpinTurn])) -> SpinTurn? {
        guard let handshake = paddedHandshake() else { return nil }
        func low(_ samples: [SpinTurn]) -> SpinTurn? {
            guard samples.count >= 8 else { return nil }
            let sorted = samples.sorted { ($0.rtt, $0.bytesBack) < ($1.rtt, $1.bytesBack) }
            return zip(sorted, sorted.dropFirst()).first { $1.rtt - $0.rtt <= .milliseconds(1) }?.0 ?? sorted[0]
        }
        var best: SpinTurn?
        switch vantage {
        case .client: best = low(turns.toServer)
        case .server: best = low(turns.toClient)
        case .between, .unknown:
            if var far = low(turns.toServer), let near = low(turns.toClient) {
                far.rtt = far.rtt + near.rtt
                best = far
            }
        }
        guard let best else { return nil }
        let whole = handshake.toServer + handshake.toClient
        return best.rtt * 3 >= whole && best.rtt <= whole * 3 ? best : nil
    }
}
