import MastLinkInference
import MastTimebase

/// What the packets of a capture prove of the link that they crossed. A bound is called one, and what is not proved is nil, with
/// the reason beside it. Times count from the capture's first packet.
public struct MeasuredLink: Sendable {
    /// One direction.
    public struct Direction: Sendable, Hashable {
        /// nil: nothing passed that would tell; `capacityReason` says how it is known, or why not.
        public let capacity: Rate?
        /// The sender never filled the link: it carries this at least.
        public let capacityIsLowerBound: Bool
        public let capacityReason: String
        /// Capacity over time, a value each 100 ms from `windowStart` on; empty where it is steady or unknown.
        public let capacitySeries: [Rate]
        /// Share of packets lost outside outages, 0 to 1; nil: not known. `lossReason` says how it is known, or why not.
        public let lossShare: Double?
        /// No more than this share was lost, where the share itself is not known; nil without such a bound.
        public let lossShareAtMost: Double?
        /// Packets lost in a row, mean; nil without a loss.
        public let meanBurst: Double?
        public let lossReason: String

        init(_ fit: LinkFit.Direction) {
            capacity = fit.isCapacityAssumed ? nil : fit.capacity
            (capacityIsLowerBound, capacityReason) = (fit.isLowerBound, fit.capacityBasis)
            capacitySeries = !fit.isCapacityAssumed && fit.rates.contains { $0 != fit.rates.first } ? fit.rates : []
            (lossShare, lossShareAtMost) = (fit.isLossKnown ? fit.loss : nil, fit.lossAtMost)
            (meanBurst, lossReason) = (fit.meanBurst, fit.lossBasis)
        }
    }

    /// A stretch in which nothing passed.
    public struct Outage: Sendable, Hashable {
        public enum Kind: String, Sendable, Hashable, Codable {
            /// Packets waited and came afterwards.
            case hold
            /// Packets were lost.
            case drop
        }
        public let kind: Kind
        /// nil where the packets do not tell: `directionReason` says why.
        public let direction: CaptureDirection?
        public let directionReason: String?
        public let start: Interval
        public let length: Interval
        /// The true edges lie within so much of those told.
        public let startUncertainty: Interval
        public let endUncertainty: Interval
        /// 0 to 1: so many of those said on such evidence were right on modelled links; nil where that was not measured.
        public let confidence: Double?
        /// How it is known.
        public let reason: String
    }

    /// A pause that an end made by itself: no fault of the link.
    public struct Pause: Sendable, Hashable {
        /// Of which end: `up` is the client's; nil where the packets do not tell.
        public let direction: CaptureDirection?
        public let start: Interval
        public let length: Interval
        /// The same.
        public let confidence: Double?
        public let reason: String
    }

    /// Where the capture was made: `client`, `server`, `between` or `unknown`.
    public let vantage: String
    /// nil: the capture shows no round trip. `baseRoundTripReason` says how it is known, or why not.
    public let baseRoundTrip: Interval?
    /// The path takes this long at most.
    public let baseRoundTripIsUpperBound: Bool
    public let baseRoundTripReason: String
    /// The part of the capture that the figures of both directions are of.
    public let windowStart: Interval
    public let windowLength: Interval
    public let up: Direction
    public let down: Direction
    /// In order of time.
    public let outages: [Outage]
    public let pauses: [Pause]
    private let fit: LinkFit

    init(_ fit: LinkFit) {
        self.fit = fit
        vantage = fit.vantage.rawValue
        (baseRoundTrip, baseRoundTripIsUpperBound) = (fit.isBaseRTTAssumed ? nil : fit.baseRTT, fit.isBaseRTTBound)
        baseRoundTripReason = fit.isBaseRTTAssumed ? "the capture shows no round trip" : fit.baseRTTBasis
        (windowStart, windowLength) = (fit.window.start.sinceStart, fit.window.length)
        (up, down) = (Direction(fit.up), Direction(fit.down))
        var (outages, pauses): ([Outage], [Pause]) = ([], [])
        for found in fit.outages {
            let start = (fit.window.start + found.start).sinceStart
            let direction = found.direction.map(CaptureDirection.init)
            let kind: Outage.Kind
            switch found.kind {
            case .hold: kind = .hold
            case .drop: kind = .drop
            case .senderIdle:
                pauses.append(Pause(direction: direction, start: start, length: found.length, confidence: found.confidence, reason: found.basis))
                continue
            }
            outages.append(
                Outage(
                    kind: kind, direction: direction, directionReason: found.directionReason, start: start, length: found.length,
                    startUncertainty: found.startUncertainty, endUncertainty: found.endUncertainty, confidence: found.confidence, reason: found.basis))
        }
        (self.outages, self.pauses) = (outages, pauses)
    }

    /// A link that stands for this one and can be run. What is not known is assumed: 50 ms of round trip, a capacity well above
    /// what passed, no loss.
    /// - Parameter seed: of all its chance.
    public func model(seed: UInt64 = 1) -> ModelledLink { ModelledLink(fit.scenario(name: "capture", seed: seed)) }
}
