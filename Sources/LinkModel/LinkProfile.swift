import MastTimebase

/// What one direction of a link does to packets. A packet passes the stages in this order:
///
/// 0. `mtu`
/// 1. `preQueueLoss`, then `drop` outages, then `trains`
/// 2. `queue`
/// 3. `service`, which `hold` outages pause
/// 4. `air` outages, then `radioLoss`, `corruption`, `duplication`
/// 5. `delay` and `jitter`; packets keep their order, but for the share `reordering`
///
/// As JSON, every key optional (`service` is spelled `rate` or `trace`; with neither, the link is unlimited):
///
///     {
///       "preQueueLoss": "1%",
///       "queue": "droptail:100p",
///       "rate": "12mbit",
///       "trace": "drive.down",
///       "opportunityBytes": 1500,
///       "outages": ["hold:12s+300ms", "drop:40s+2s", "air:60s+1s"],
///       "radioLoss": {"share": "2%", "meanBurst": "5p"},
///       "delay": "40ms",
///       "jitter": "5ms",
///       "delays": {"step": "10ms", "file": "starlink.delay"}, "delaySpread": "0ms/1ms/2ms/8ms",
///       "trains": {"file": "down-delay-light-pdo", "offsets": "latency-offset-down", "opportunityBytes": 1400, "rest": "0ms"},
///       "randomOutages": ["hold:30s~20ms/34ms/62ms", "drop:10m~1s"],
///       "mtu": 1400, "ecn": true, "corrupt": "0.1%", "duplicate": "0.1%", "reorder": "1%",
///       "idleAfter": "5s", "promotion": "1s",
///       "changes": ["12s:rate=5mbit", "20s:delay=30ms", "30s:mtu=1280", "40s:flush", "50s:rebind=port"]
///     }
///
/// * A loss is a share (`"2%"` or the number 0.02), or bursts: `{"share", "meanBurst"}` with a burst in packets
///   (`"5p"`) or in time (`"30ms"`), or `{"enterBad", "leaveBad", "lossInGood", "lossInBad", "step"}`, of
///   which the last three may be left out (0, 1, one step a packet).
/// * A trace is the name of a Mahimahi file, which the reader of the scenario opens (`LinkProfile.traceLoader`),
///   or the trace itself: `{"stamps": [...], "tick": "1ms", "period": 1000}` (`tick` and `period` optional).
/// * `delays` adds a delay that changes from step to step and begins again after the last: a file with a line of
///   milliseconds for each, or the lines themselves, `{"step", "ms": [...]}`. `delaySpread` adds one drawn for each
///   packet, between equally spaced quantiles.
/// * `trains` are CellReplay's base delays and light opportunities: its file, or the lines of it, `{"lines": [...]}`; `offsets`
///   is its file of offsets by packet size, or the milliseconds for 100, 200, … bytes. The heavy trace is the `trace`.
/// * A random outage names the mean time between two, and the quantiles of its length. A direction that dies for
///   good has an outage that outlasts the run.
/// * Instead of a rate or trace, `"series": {"steps": ["0s=5mbit", "1.5s=2mbit"], "period": "10s"}` (without a
///   period the last rate stays), or `"tokenBucket": {"rate": "5mbit", "burstBytes": 15000}`.
/// * A handover is a hold with changes at its ends: `"handovers": ["30s+80ms", "60s+80ms,flush,rate=5mbit,delay=30ms"]`.
/// * Queues, outages and times are written as `QueueDiscipline`, `Outage` and `Interval` parse them.
package struct LinkProfile: Hashable, Sendable {
    package var preQueueLoss: LossModel
    package var queue: QueueDiscipline
    package var service: LinkService
    package var outages: [Outage]
    package var radioLoss: LossModel
    /// One way; the order is kept.
    package var delay: Interval
    /// Adds 0 to this much to each packet's delay, evenly distributed; no packet overtakes another.
    package var jitter: Interval
    /// Added to `delay`: over time, and by chance for each packet; no packet overtakes another.
    package var delaySeries: DelaySeries?
    package var delaySpread: IntervalDistribution?
    /// What the first packets after a rest meet before the queue.
    package var trains: PacketTrains?
    /// Outages whose times the seed chooses; both directions of a link that ask for the same get them together.
    package var randomOutages: [RandomOutages] = []
    /// Larger packets are dropped; nil takes all.
    package var mtu: Int?
    /// Active queues mark packets that carry ECT rather than drop them.
    package var ecn = false
    /// Shares of packets that get a bit turned over, come twice, or skip the delay and so overtake.
    package var corruption = Probability.never
    package var duplication = Probability.never
    package var reordering = Probability.never
    /// After a silence of this long, the next packet waits for the radio: `promotion`.
    package var idleAfter: Interval?
    package var promotion = Interval.zero
    /// What changes, and when; in order of time.
    package var changes: [LinkChange] = []

    package init(
        service: LinkService = .unlimited, delay: Interval = .zero, jitter: Interval = .zero,
        queue: QueueDiscipline = .infinite, preQueueLoss: LossModel = .none, radioLoss: LossModel = .none,
        outages: [Outage] = []
    ) {
        self.preQueueLoss = preQueueLoss
        self.queue = queue
        self.service = service
        self.outages = outages
        self.radioLoss = radioLoss
        self.delay = delay
        self.jitter = jitter
    }

    /// A link that changes nothing.
    package static let ideal = LinkProfile()
}

/// The server: how fast the queue drains.
package enum LinkService: Hashable, Sendable {
    /// A packet leaves as it comes.
    case unlimited
    /// A wire: bytes leave at a constant rate. A rate of zero never serves.
    case constant(Rate)
    case trace(DeliveryTrace)
    /// A wire whose rate changes.
    case series(RateSeries)
    /// A packet leaves once the bucket, which fills at the rate up to the burst, holds its bytes.
    case tokenBucket(Rate, burstBytes: Int)
}

/// A whole link: both directions, and the seed of all its chance.
///
/// As JSON: `{"name": "lte-drive", "seed": 7, "up": {…}, "down": {…}}`, the directions as `LinkProfile` says,
/// every key optional.
package struct LinkScenario: Hashable, Sendable {
    package var name: String
    package var seed: UInt64
    package var up: LinkProfile
    package var down: LinkProfile

    package init(name: String = "link", up: LinkProfile = .ideal, down: LinkProfile = .ideal, seed: UInt64 = 1) {
        (self.name, self.up, self.down, self.seed) = (name, up, down, seed)
    }

    package subscript(direction: LinkDirection) -> LinkProfile {
        get { direction == .up ? up : down }
        set { if direction == .up { up = newValue } else { down = newValue } }
    }

    /// The link of one direction, at the beginning of its run. Links that differ in `instance` differ in
    /// their chance.
    package func link(_ direction: LinkDirection, instance: UInt64 = 0) -> Link {
        Link(self[direction], seed: seed, direction: direction, instance: instance)
    }
}
