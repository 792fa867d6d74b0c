import Collections
import MastTimebase

/// One direction of a link, as a value: packets and times go in, outcomes and the next time come out.
///
/// **Catch up, then act**: every call first carries the link to its own time, so the result depends only on
/// what was offered when, never on how often or when `advance` was called. Times must not decrease; an
/// earlier one counts as the latest seen. At one time departures come before arrivals. Drive it so:
///
///     link.offer(packet, at: now)
///     while let next = link.nextEventTime, next <= end {
///         link.advance(to: next, &outcomes)
///     }
///
/// The same profile, seed and offers give the same outcomes on every machine. Each stage of each direction
/// draws from a random stream of its own, so a stage added or removed does not shift the others' chance.
package struct Link: Sendable {
    private struct Waiting {
        var id: UInt64
        var bytes: Int
        var arrival: Int64
        var isECT = false
    }

    private struct Approaching {
        var packet: LinkPacket
        var bytes: Int
        var at: Int64
        var isLight: Bool
    }

    private struct Leaving {
        var id: UInt64
        var bytes: Int
        var at: Int64
        var isCopy = false
        var flippedBit: UInt64?
    }

    private struct Dropped {
        var id: UInt64
        var at: Int64
        /// Nil: it was marked only.
        var reason: LinkDropReason?
    }

    package private(set) var statistics = LinkStatistics()
    /// What waits for its first byte to be served.
    package private(set) var queuedPackets = 0
    package private(set) var queuedBytes = 0

    private var now: Int64 = 0
    private var preQueueLoss: LossProcess
    private var radioLoss: LossProcess
    private var ingressOutages: OutageTimeline
    private var holds: OutageTimeline
    private var airOutages: OutageTimeline
    private let limitPackets: Int
    private let limitBytes: Int
    private let dropsHead: Bool
    private var server: LinkServer
    private var delay: DelayStage
    private var trains: TrainStage?
    /// What its train has not yet let into the queue, in order of time.
    private var approach = Deque<Approaching>()

    /// The queue and, at its front, the packet in service.
    private var queue = Deque<Waiting>()
    /// The front of `queue` has left the queue for the server.
    private var isServing = false
    /// The delay stage.
    private var line = Deque<Leaving>()
    private var lastDelivery: Int64 = 0
    /// Drops and marks that `advance` has not yet reported.
    private var drops = Deque<Dropped>()
    private var recorder: LinkRecorder?

    private var mtu: Int
    private let ecn: Bool
    private var coDel: CoDel?
    private var pie: PIE?
    private let corruption: Probability
    private let duplication: Probability
    private let reordering: Probability
    private var corruptionChance: SeededGenerator
    private var duplicationChance: SeededGenerator
    private var reorderingChance: SeededGenerator
    private let idleAfter: Int64
    private let promotion: Int64
    private var lastOffer: Int64 = 0
    private var changes: Deque<LinkChange>

    /// Later instants (a century on) count as this one, so that no sum of times overflows.
    private static let lastInstant = Interval.seconds(100 * 366 * 86_400).nanoseconds

    package init(_ profile: LinkProfile, seed: UInt64, direction: LinkDirection, instance: UInt64 = 0) {
        func stream(_ stage: String) -> SeededGenerator {
            var name = FNV1a64()
            name.combine("link.\(direction.rawValue).\(stage)")
            name.combine(instance)
            return SeededGenerator(seed: seed, stream: name.value)
        }
        mtu = profile.mtu ?? .max
        ecn = profile.ecn
        (corruption, duplication, reordering) = (profile.corruption, profile.duplication, profile.reordering)
        corruptionChance = stream("corruption")
        duplicationChance = stream("duplication")
        reorderingChance = stream("reordering")
        idleAfter = profile.idleAfter?.nanoseconds ?? .max
        promotion = DelayStage.bounded(profile.promotion)
        changes = Deque(profile.changes.sorted { $0.at < $1.at })
        preQueueLoss = LossProcess(profile.preQueueLoss, chance: stream("preQueueLoss"))
        radioLoss = LossProcess(profile.radioLoss, chance: stream("radioLoss"))
        let outages = profile.outages + profile.randomOutages.enumerated().flatMap {
            $0.element.outages(seed: seed, number: $0.offset, instance: instance)
        }
        ingressOutages = OutageTimeline(outages, mode: .drop)
        holds = OutageTimeline(outages, mode: .hold)
        airOutages = OutageTimeline(outages, mode: .air)
        let limit: QueueLimit
        switch profile.queue {
        case .infinite: (limit, dropsHead) = (QueueLimit(), false)
        case .dropTail(let given): (limit, dropsHead) = (given, false)
        case .dropHead(let given): (limit, dropsHead) = (given, true)
        case .coDel(let given):
            (limit, dropsHead) = (given.limit, false)
            coDel = CoDel(given)
        case .pie(let given):
            (limit, dropsHead) = (given, false)
            pie = PIE(chance: stream("pie"))
        }
        limitPackets = limit.packets ?? .max
        limitBytes = limit.bytes ?? .max
        server = LinkServer(profile.service)
        delay = DelayStage(profile, stream)
        trains = profile.trains.map { TrainStage($0) }
    }

    /// Whether every offered packet has had its outcome.
    package var isDrained: Bool { queue.isEmpty && line.isEmpty && drops.isEmpty && approach.isEmpty }

    /// A packet arrives at the link.
    package mutating func offer(_ packet: LinkPacket, at instant: Instant) {
        let bytes = min(max(packet.bytes, LinkPacket.sizes.lowerBound), LinkPacket.sizes.upperBound)
        catchUp(to: instant.nanoseconds)
        statistics.offeredPackets += 1
        statistics.offeredBytes += bytes
        recorder?.append(.arrival, at: now, id: packet.id, bytes: bytes)
        if now - lastOffer >= idleAfter, queue.isEmpty { holds.insert(from: now, to: now + promotion) }
        lastOffer = now
        if bytes > mtu { drop(packet.id, bytes, .tooBig, at: now); return }
        if preQueueLoss.loses(at: now) { drop(packet.id, bytes, .preQueueLoss, at: now); return }
        if ingressOutages.covers(now) { drop(packet.id, bytes, .outage, at: now); return }
        if let (at, isLight) = trains?.release(bytes: bytes, at: now), at > now || isLight {
            approach.append(Approaching(packet: packet, bytes: bytes, at: at, isLight: isLight))
            serve(until: now)
        } else {
            enter(packet, bytes)
        }
    }

    /// A packet reaches the queue.
    @inline(__always)
    private mutating func enter(_ packet: LinkPacket, _ bytes: Int) {
        if !dropsHead, queuedPackets >= limitPackets || bytes > limitBytes - queuedBytes {
            drop(packet.id, bytes, .queueFull, at: now)
            return
        }
        if pie != nil {
            pie?.advance(to: now, oldest: queue.first?.arrival)
            switch pie?.verdict(queuedBytes: queuedBytes, canMark: ecn && packet.isECT) {
            case .drop: drop(packet.id, bytes, .activeQueue, at: now); return
            case .mark: mark(packet.id, bytes, at: now)
            default: break
            }
        }
        queue.append(Waiting(id: packet.id, bytes: bytes, arrival: now, isECT: packet.isECT))
        queuedPackets += 1
        queuedBytes += bytes
        if queue.count == 1 { planHead() }
        if dropsHead { dropOldest() }
        statistics.maxQueuePackets = max(statistics.maxQueuePackets, queuedPackets)
        statistics.maxQueueBytes = max(statistics.maxQueueBytes, queuedBytes)
    }

    /// When `advance` next has something to report, or may have: never later than the next outcome. Nil when
    /// nothing is on its way, or only what comes out in more than a century.
    package var nextEventTime: Instant? {
        var next = server.finish
        if next != .max, !radioLoss.canLose, airOutages.isEmpty { next = saturatingSum(next, delay.delay) }
        if reordering > .never { next = min(next, server.finish) }
        if coDel != nil, !isServing { next = min(next, server.begin) }
        if let change = changes.first, !queue.isEmpty { next = min(next, change.at.nanoseconds) }
        if let first = line.first { next = min(next, first.at) }
        if let first = drops.first { next = min(next, first.at) }
        if let first = approach.first { next = min(next, first.at) }
        return next > Self.lastInstant ? nil : Instant(nanoseconds: next)
    }

    /// Carries the link to `instant` and appends what has come out since, in order of time.
    package mutating func advance(to instant: Instant, _ outcomes: inout [LinkOutcome]) {
        catchUp(to: instant.nanoseconds)
        while true {
            let delivery = line.first?.at ?? .max
            let loss = drops.first?.at ?? .max
            guard min(delivery, loss) <= now else { return }
            if loss <= delivery {
                let packet = drops.removeFirst()
                let at = Instant(nanoseconds: packet.at)
                outcomes.append(packet.reason.map { .dropped(id: packet.id, at: at, reason: $0) } ?? .marked(id: packet.id, at: at))
            } else {
                let packet = line.removeFirst()
                let at = Instant(nanoseconds: packet.at)
                if packet.isCopy {
                    statistics.duplicates += 1
                    outcomes.append(.copied(id: packet.id, at: at))
                    continue
                }
                statistics.deliveredPackets += 1
                statistics.deliveredBytes += packet.bytes
                if let bit = packet.flippedBit {
                    statistics.corrupted += 1
                    outcomes.append(.corrupted(id: packet.id, at: at, bit: bit))
                } else {
                    outcomes.append(.delivered(id: packet.id, at: at))
                }
            }
        }
    }

    /// Whether events are made for `takeEvents`. Off at first, and then without cost.
    package var isRecording: Bool {
        get { recorder != nil }
        set { if newValue != isRecording { recorder = newValue ? LinkRecorder(from: now) : nil } }
    }

    /// Appends what has happened since the last call up to the latest time seen, in order of time.
    package mutating func takeEvents(_ events: inout [LinkEvent]) {
        recorder?.take(upTo: now, into: &events)
    }

    /// Adds an outage by hand. What of it lies before `instant` has no effect.
    package mutating func add(_ outage: Outage, at instant: Instant) {
        catchUp(to: instant.nanoseconds)
        let start = max(now, outage.start.nanoseconds)
        switch outage.mode {
        case .hold:
            holds.insert(from: start, to: outage.end.nanoseconds)
            if !queue.isEmpty { planHead() }
        case .drop: ingressOutages.insert(from: start, to: outage.end.nanoseconds)
        case .air: airOutages.insert(from: start, to: outage.end.nanoseconds)
        }
    }

    /// Ends the outage that is going on, if one is, and cancels the coming ones, of all modes.
    package mutating func clearOutages(at instant: Instant) {
        catchUp(to: instant.nanoseconds)
        holds.clear(from: now)
        ingressOutages.clear(from: now)
        airOutages.clear(from: now)
        if !queue.isEmpty { planHead() }
    }

    // MARK: Stages

    @inline(__always)
    private mutating func catchUp(to time: Int64) {
        let target = min(time, Self.lastInstant)
        while let change = changes.first, change.at.nanoseconds <= target {
            changes.removeFirst()
            // What begins at this very time begins under the new conditions.
            serve(until: change.at.nanoseconds - 1)
            now = max(now, change.at.nanoseconds)
            apply(change)
        }
        serve(until: target)
    }

    @inline(__always)
    private mutating func serve(until target: Int64) {
        while let first = approach.first, first.at <= target {
            approach.removeFirst()
            serveQueue(until: first.at)
            // A light opportunity is for whoever finds nobody waiting.
            if first.isLight, queue.isEmpty, !holds.covers(first.at) {
                if recorder != nil { recordDeparture(first.packet.id, first.bytes, waited: .zero, at: first.at) }
                transmit(first.packet.id, first.bytes, at: first.at)
            } else {
                enter(first.packet, first.bytes)
            }
        }
        serveQueue(until: target)
    }

    @inline(__always)
    private mutating func serveQueue(until target: Int64) {
        if coDel != nil {
            while min(server.finish, server.begin) <= target {
                if !isServing, !admitHead() { continue }
                guard server.finish <= target else { break }
                serveHead()
            }
        } else {
            while server.finish <= target { serveHead() }
            if !isServing, server.begin <= target { leaveQueue() }
        }
        if target > now { now = target }
        if recorder != nil { recorder?.appendOpportunities(of: server, through: now) }
    }

    private mutating func planHead() {
        guard let head = queue.first else { return }
        server.plan(bytes: head.bytes, arrival: head.arrival, holds: &holds)
    }

    /// CoDel looks at the head as its service begins. False when it dropped it.
    private mutating func admitHead() -> Bool {
        guard let head = queue.first else { server.cancel(); return false }
        let time = server.begin
        let canMark = ecn && head.isECT
        let verdict = coDel?.decide(
            at: time, sojourn: time - head.arrival, bytesBehind: queuedBytes - head.bytes, canMark: canMark)
        if verdict == .drop {
            queue.removeFirst()
            queuedPackets -= 1
            queuedBytes -= head.bytes
            drop(head.id, head.bytes, .activeQueue, at: time)
            if queue.isEmpty { server.cancel() } else { planHead() }
            return false
        }
        if verdict == .mark { mark(head.id, head.bytes, at: time) }
        leaveQueue()
        return true
    }

    private mutating func mark(_ id: UInt64, _ bytes: Int, at time: Int64) {
        statistics.marks += 1
        drops.append(Dropped(id: id, at: time, reason: nil))
        recorder?.appendOpportunities(of: server, through: time)
        recorder?.append(.mark, at: time, id: id, bytes: bytes)
    }

    private mutating func apply(_ change: LinkChange) {
        recorder?.append(.note(change.what), at: now)
        switch change.kind {
        case .rate(let rate):
            server.change(to: rate, at: now)
            if !isServing { planHead() }
        case .delay(let interval): delay.delay = DelayStage.bounded(interval)
        case .mtu(let bytes): mtu = bytes
        case .rebind: break
        case .flush:
            while queue.count > (isServing ? 1 : 0), let packet = queue.popLast() {
                queuedPackets -= 1
                queuedBytes -= packet.bytes
                drop(packet.id, packet.bytes, .outage, at: now)
            }
            if queue.isEmpty { server.cancel() }
        }
    }

    private mutating func leaveQueue() {
        guard let head = queue.first else { return }
        isServing = true
        queuedPackets -= 1
        queuedBytes -= head.bytes
    }

    private mutating func serveHead() {
        let time = server.finish
        if !isServing { leaveQueue() }
        guard let packet = queue.popFirst() else { server.cancel(); return }
        isServing = false
        if recorder != nil { recordDeparture(packet.id, packet.bytes, waited: Interval(nanoseconds: time - packet.arrival), at: time) }
        server.commit(queueIsEmpty: queue.isEmpty)
        if !queue.isEmpty { planHead() }
        transmit(packet.id, packet.bytes, at: time)
    }

    private mutating func recordDeparture(_ id: UInt64, _ bytes: Int, waited: Interval, at time: Int64) {
        recorder?.appendOpportunities(of: server, through: time)
        recorder?.append(.departure(waited: waited), at: time, id: id, bytes: bytes)
    }

    /// Onto the air.
    @inline(__always)
    private mutating func transmit(_ id: UInt64, _ bytes: Int, at time: Int64) {
        let lost = radioLoss.loses(at: time)
        if !airOutages.isEmpty, airOutages.covers(time) { drop(id, bytes, .airOutage, at: time); return }
        if lost { drop(id, bytes, .radioLoss, at: time); return }
        let at = delay.arrival(time)
        var leaving = Leaving(id: id, bytes: bytes, at: at)
        if corruption > .never, corruptionChance.chance(corruption) { leaving.flippedBit = corruptionChance.next() }
        let overtakes = reordering > .never && reorderingChance.chance(reordering)
        if overtakes {
            leaving.at = time
        } else {
            lastDelivery = max(lastDelivery, at)
            leaving.at = lastDelivery
        }
        if duplication > .never, duplicationChance.chance(duplication) {
            var copy = leaving
            copy.isCopy = true
            deliver(copy)
        }
        deliver(leaving)
    }

    /// Into the delay stage, in order of delivery.
    @inline(__always)
    private mutating func deliver(_ packet: Leaving) {
        recorder?.appendDelivery(at: packet.at, id: packet.id, bytes: packet.bytes, isCopy: packet.isCopy)
        var place = line.count
        while place > 0, line[place - 1].at > packet.at { place -= 1 }
        if place == line.count { line.append(packet) } else { line.insert(packet, at: place) }
    }

    private mutating func dropOldest() {
        let front = isServing ? 1 : 0
        var removed = false
        while queuedPackets > limitPackets || queuedBytes > limitBytes, queue.count > front {
            let packet = queue.remove(at: front)
            queuedPackets -= 1
            queuedBytes -= packet.bytes
            drop(packet.id, packet.bytes, .queueFull, at: now)
            removed = true
        }
        guard removed, !isServing else { return }
        if queue.isEmpty { server.cancel() } else { planHead() }
    }

    private mutating func drop(_ id: UInt64, _ bytes: Int, _ reason: LinkDropReason, at time: Int64) {
        statistics.count(reason, bytes: bytes)
        recorder?.appendOpportunities(of: server, through: time)
        recorder?.append(.drop(reason), at: time, id: id, bytes: bytes)
        drops.append(Dropped(id: id, at: time, reason: reason))
    }
}
