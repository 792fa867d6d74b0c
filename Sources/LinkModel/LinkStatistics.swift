/// Counts of one link direction since it was made.
///
/// `offered = delivered + dropped + (still queued, in service or in the delay stage)`.
package struct LinkStatistics: Hashable, Sendable, Codable {
    package internal(set) var offeredPackets = 0
    package internal(set) var offeredBytes = 0
    package internal(set) var deliveredPackets = 0
    package internal(set) var deliveredBytes = 0
    package internal(set) var droppedBytes = 0

    package internal(set) var tooBig = 0
    package internal(set) var preQueueLosses = 0
    package internal(set) var outageDrops = 0
    package internal(set) var queueDrops = 0
    package internal(set) var airOutageDrops = 0
    package internal(set) var radioLosses = 0
    package internal(set) var activeQueueDrops = 0
    /// ECN marks; the packets went on.
    package internal(set) var marks = 0
    package internal(set) var corrupted = 0
    /// Copies beside the delivered packets.
    package internal(set) var duplicates = 0

    /// The most that ever waited; the packet in service does not wait.
    package internal(set) var maxQueuePackets = 0
    package internal(set) var maxQueueBytes = 0

    package init() {}

    package var droppedPackets: Int {
        preQueueLosses + outageDrops + queueDrops + airOutageDrops + radioLosses + tooBig + activeQueueDrops
    }

    package func dropped(_ reason: LinkDropReason) -> Int {
        switch reason {
        case .tooBig: tooBig
        case .activeQueue: activeQueueDrops
        case .preQueueLoss: preQueueLosses
        case .outage: outageDrops
        case .queueFull: queueDrops
        case .airOutage: airOutageDrops
        case .radioLoss: radioLosses
        }
    }

    mutating func count(_ reason: LinkDropReason, bytes: Int) {
        droppedBytes += bytes
        switch reason {
        case .tooBig: tooBig += 1
        case .activeQueue: activeQueueDrops += 1
        case .preQueueLoss: preQueueLosses += 1
        case .outage: outageDrops += 1
        case .queueFull: queueDrops += 1
        case .airOutage: airOutageDrops += 1
        case .radioLoss: radioLosses += 1
        }
    }
}

extension LinkStatistics {
    /// Adds another link's counts; of the queue's peaks the greater one stays.
    package mutating func add(_ other: LinkStatistics) {
        offeredPackets += other.offeredPackets
        offeredBytes += other.offeredBytes
        deliveredPackets += other.deliveredPackets
        deliveredBytes += other.deliveredBytes
        droppedBytes += other.droppedBytes
        preQueueLosses += other.preQueueLosses
        outageDrops += other.outageDrops
        queueDrops += other.queueDrops
        airOutageDrops += other.airOutageDrops
        radioLosses += other.radioLosses
        tooBig += other.tooBig
        activeQueueDrops += other.activeQueueDrops
        marks += other.marks
        corrupted += other.corrupted
        duplicates += other.duplicates
        maxQueuePackets = max(maxQueuePackets, other.maxQueuePackets)
        maxQueueBytes = max(maxQueueBytes, other.maxQueueBytes)
    }
}
