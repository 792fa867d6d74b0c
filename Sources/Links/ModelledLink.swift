import Foundation
import MastLinkModel
import MastTimebase

/// A link between a client and the network that can be run, packet by packet, in time that the caller keeps: rates or traces,
/// queues, delays, losses, outages. It reads no clock, and the same seed and packets give the same result everywhere.
///
/// ```swift
/// var link = try ModelledLink(profile: "lte-handovers")
/// link.offer(id: 1, bytes: 1_500, .down, at: .milliseconds(0))
/// for outcome in link.advance(to: .seconds(1)) { print(outcome.id, outcome.time, outcome.kind) }
/// ```
public struct ModelledLink: Sendable {
    private var up: Link
    private var down: Link
    private let scenario: LinkScenario

    init(_ scenario: LinkScenario) {
        self.scenario = scenario
        (up, down) = (scenario.link(.up), scenario.link(.down))
    }

    /// One of the profiles that `mast link profiles` lists.
    /// - Throws: `ModelledLink.Failure` where there is none of that name.
    public init(profile name: String) throws(Failure) {
        guard let entry = LinkProfileCatalog.named(name) else {
            throw Failure(description: "there is no link profile \(name); there are \(Self.profiles.joined(separator: ", "))")
        }
        self.init(entry.scenario)
    }

    /// The names that `init(profile:)` knows.
    public static var profiles: [String] { LinkProfileCatalog.all.map(\.name) }

    /// A scenario as `mast fit` writes it; traces are part of it, and no other file is read.
    /// - Parameter bytes: a JSON object.
    /// - Throws: `ModelledLink.Failure` where it is no scenario.
    public init(scenario bytes: [UInt8]) throws(Failure) {
        do { self.init(try JSONDecoder().decode(LinkScenario.self, from: Data(bytes))) } catch {
            throw Failure(description: "this is no link scenario: \(error)")
        }
    }

    /// The same link, as JSON that `init(scenario:)`, `mast link relay --scenario` and others read.
    /// - Throws: `ModelledLink.Failure` where it cannot be written.
    public func scenarioJSON() throws(Failure) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(scenario)) } catch { throw Failure(description: "the link cannot be written: \(error)") }
    }

    /// Gives the link a packet.
    /// - Parameters:
    ///   - id: comes back with what became of it.
    ///   - bytes: of the IP packet.
    ///   - time: since the run began; times before the latest one count as that.
    public mutating func offer(id: UInt64, bytes: Int, _ direction: CaptureDirection, at time: Interval) {
        let packet = LinkPacket(id: id, bytes: bytes)
        if direction == .up { up.offer(packet, at: .zero + time) } else { down.offer(packet, at: .zero + time) }
    }

    /// When something happens next, if no packet is offered; nil: the link is empty.
    public var nextEventTime: Interval? { [up.nextEventTime, down.nextEventTime].compactMap { $0?.sinceStart }.min() }

    /// What became of packets up to `time`, in order of time.
    public mutating func advance(to time: Interval) -> [Outcome] {
        var (ofUp, ofDown): ([LinkOutcome], [LinkOutcome]) = ([], [])
        up.advance(to: .zero + time, &ofUp)
        down.advance(to: .zero + time, &ofDown)
        let all = ofUp.map { Outcome($0, .up) } + ofDown.map { Outcome($0, .down) }
        // Of one time in the order in which they came.
        return all.enumerated().sorted { ($0.element.time, $0.offset) < ($1.element.time, $1.offset) }.map(\.element)
    }

    /// What became of a packet.
    public struct Outcome: Sendable, Hashable {
        public enum Kind: Sendable, Hashable {
            case delivered
            /// Delivered with one bit turned over: this one, modulo the payload's bits.
            case corrupted(bit: UInt64)
            /// A copy comes out; the packet's own outcome follows.
            case copied
            /// A queue marked it "congestion experienced"; its own outcome follows.
            case marked
            /// `tooBig`, `preQueueLoss`, `outage`, `queueFull`, `activeQueue`, `airOutage` or `radioLoss`.
            case dropped(reason: String)
        }
        public let id: UInt64
        public let direction: CaptureDirection
        /// Since the run began.
        public let time: Interval
        public let kind: Kind

        init(_ outcome: LinkOutcome, _ direction: CaptureDirection) {
            (id, self.direction, time) = (outcome.id, direction, outcome.at.sinceStart)
            kind = switch outcome {
            case .delivered: .delivered
            case .corrupted(_, _, let bit): .corrupted(bit: bit)
            case .copied: .copied
            case .marked: .marked
            case .dropped(_, _, let reason): .dropped(reason: reason.rawValue)
            }
        }
    }

    /// Why a link could not be made or written.
    public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
        /// One sentence for a person.
        public let description: String
    }
}
