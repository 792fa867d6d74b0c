import MastCapture
import MastTimebase

/// When one direction's bytes came out of the link, as well as the capture point can tell.
struct DeliveryCurve: Sendable {
    enum Source: Sendable {
        /// Packets seen after the link.
        case arrivals
        /// Packets seen before the link; the other side's acknowledgements tell when they came through.
        case acknowledgements
        /// Packets seen before the link, and nothing tells what became of them.
        case offered
        /// It is not known on which side of the link the packets were seen.
        case unplaced
    }

    struct Point: Sendable {
        /// Since the window's start.
        var time: Interval
        /// Of IP.
        var bytes: Int
        /// In the view's events.
        var event: Int
    }

    let direction: FlowDirection
    let source: Source
    let points: [Point]
    /// Whether it carries more than acknowledgements.
    let carriesData: Bool
    let isMostlyTCP: Bool

    init(_ view: FitView, _ direction: FlowDirection, vantage: LinkFit.Vantage) {
        self.direction = direction
        var tcpPayload = 0
        var payload = 0
        var bytes = 0
        var carrying = 0
        for event in view.events where event.direction == direction {
            bytes += Int(event.ipBytes)
            if event.payloadBytes > 0 { carrying += Int(event.ipBytes) }
            payload += Int(event.payloadBytes)
            if event.marks.contains(.tcp) { tcpPayload += Int(event.payloadBytes) }
        }
        // QUIC's acknowledgements are payload of UDP's: a fifth of what goes the other way is all that they ever are.
        let isAcknowledging = view.isMostlyQUIC(direction)
            && view.weightyFlows.reduce(0) { $0 + view.ipBytes(of: $1, direction) } * 5 < view.weightyFlows.reduce(0) { $0 + view.ipBytes(of: $1, direction.other) }
        carriesData = payload > 0 && payload * 4 >= bytes && !isAcknowledging
        isMostlyTCP = payload > 0 && tcpPayload * 2 > payload
        let isBeforeLink = vantage == (direction == .up ? .client : .server)
        if vantage == .unknown || vantage == .between {
            source = .unplaced
        } else if !isBeforeLink {
            source = .arrivals
        } else {
            source = isMostlyTCP && carriesData ? .acknowledgements : .offered
        }
        // Acknowledgements of another transfer's data may be lost unseen.
        let wireBytes = view.isBulkBothWays ? carrying : bytes
        var points: [Point] = []
        for index in view.events.indices {
            let event = view.events[index]
            if source == .acknowledgements {
                guard event.direction != direction, event.newlyAcknowledged > 0 else { continue }
                // Acknowledged payload, with the share of headers that the direction's packets carry.
                let wire = payload > 0 ? Int(event.newlyAcknowledged) * wireBytes / payload : 0
                points.append(Point(time: view.time(event), bytes: wire, event: index))
            } else if event.direction == direction {
                points.append(Point(time: view.time(event), bytes: Int(event.ipBytes), event: index))
            }
        }
        self.points = points
    }

    /// IP bytes in each `step` of the window.
    func bins(_ step: Interval, length: Interval) -> [Int] {
        let count = Int(length.nanoseconds / step.nanoseconds) + 1
        var bins = Array(repeating: 0, count: count)
        for point in points {
            let index = Int(max(0, point.time.nanoseconds) / step.nanoseconds)
            if index < count { bins[index] += point.bytes }
        }
        return bins
    }

    /// Bits per second. No link is faster, and what is worked out from rates stays far from overflow; times of a nanosecond, and what
    /// one acknowledgement says of gigabytes, show more.
    static let fastest: Int64 = 1_000_000_000_000_000

    /// Whether what was sent at once came out at `rate`, and nothing faster: a sender's own pace has no such trains, or goes on at
    /// another one after a pause.
    func hasTrains(at rate: Rate) -> Bool {
        guard let typical = Quantile.of(points.map(\.bytes), 0.9), points.count > Self.train else { return false }
        let pause = max(rate.time(forBytes: Int64(typical) * 4), .milliseconds(10))
        var (begun, faster) = (0, 0)
        var bytes = points[1...Self.train].reduce(0) { $0 + $1.bytes }
        for last in Self.train..<points.count {
            if last > Self.train { bytes += points[last].bytes - points[last - Self.train].bytes }
            let first = last - Self.train
            let span = points[last].time - points[first].time
            guard span > .zero, bytes * 10 >= typical * Self.train * 8 else { continue }
            let own = min(Rate(bytes: Int64(bytes), in: span).bitsPerSecond, Self.fastest)
            if own * 5 > rate.bitsPerSecond * 6 { faster += 1 }
            if first > 0, points[first].time - points[first - 1].time >= pause, (own - rate.bitsPerSecond).magnitude * 16 <= rate.bitsPerSecond.magnitude { begun += 1 }
        }
        // A pace begins but once.
        return begun >= 2 && faster * 200 <= points.count
    }

    /// Packets after the first.
    private static let train = 7
}
