import MastTimebase
import MastTransport
import Testing

/// One path's recovery as its owner sees it: what was sent, acknowledged and lost comes out in order, once, with one sample an
/// acknowledgement.
@Suite struct RecoveryTests {
    private static let first: UInt64 = 1_000
    private static let bytes = 1_200

    private func recovery(_ change: (inout TransportConfiguration) -> Void = { _ in }) -> Recovery {
        var configuration = TransportConfiguration()
        configuration.congestionControl = .cubic
        change(&configuration)
        var recovery = Recovery(configuration)
        recovery.begin(at: Self.first)
        return recovery
    }

    private func at(_ milliseconds: Int64) -> Instant { .zero + .seconds(1) + .milliseconds(milliseconds) }

    /// Sends so many full packets, a millisecond apart.
    private func send(_ count: Int, _ recovery: inout Recovery, from milliseconds: Int64 = 0) {
        for index in 0..<Int64(count) {
            recovery.onSent(
                bytes: Self.bytes, full: Self.bytes, isCopied: false, frames: [.ping(requestedAt: at(milliseconds + index))],
                at: at(milliseconds + index))
        }
    }

    /// By order of sending.
    private func ack(_ ranges: ClosedRange<UInt64>..., delay: UInt64 = 0) -> AckFrame {
        AckFrame(
            ranges: ranges.map { (Self.first + $0.lowerBound)...(Self.first + $0.upperBound) }, delayMicroseconds: delay)
    }

    /// "+3" arrived, "-1" is lost.
    private func concluded(_ recovery: inout Recovery) -> [String] {
        var words: [String] = []
        while let next = recovery.nextConcluded() { words.append((next.arrived ? "+" : "-") + "\(next.packet.number - Self.first)") }
        return words
    }

    @Test func whatIsAcknowledgedComesOutOnceInOrderAndThenWhatIsLost() throws {
        var recovery = recovery()
        send(8, &recovery)
        let sample = try recovery.onAcknowledgement(ack(5...6, 1...2), at: at(50))
        #expect(concluded(&recovery) == ["+5", "+6", "+1", "+2", "-0", "-3"], "0 and 3 are three and more behind")
        #expect(sample?.largest == Self.first + 6 && sample?.sentAt == at(6))
        #expect(sample?.acknowledgedBytes == 4 * Self.bytes && sample?.isSpurious == false)
        #expect(recovery.sent.bytesInFlight == 2 * Self.bytes && recovery.isSound)
        let again = try recovery.onAcknowledgement(ack(5...6, 1...2), at: at(51))
        #expect(again == nil && concluded(&recovery) == [])
    }

    @Test func aPacketThatIsOnlyLateHasItsTime() throws {
        var recovery = recovery()
        send(2, &recovery)
        _ = try recovery.onAcknowledgement(ack(1...1), at: at(41))
        #expect(concluded(&recovery) == ["+1"])
        // Nine eighths of 40 ms after it was sent (RFC 9002 section 6.1.2).
        #expect(recovery.lossTime == at(45))
        recovery.detectLosses(at: at(45) - .nanoseconds(1))
        #expect(concluded(&recovery) == [])
        recovery.detectLosses(at: at(45))
        #expect(concluded(&recovery) == ["-0"] && recovery.lossTime == nil)
    }

    @Test func aLossThatWasNoneGivesTheWindowBack() throws {
        var recovery = recovery()
        send(5, &recovery)
        let before = recovery.window
        _ = try recovery.onAcknowledgement(ack(1...4), at: at(50))
        #expect(concluded(&recovery) == ["+1", "+2", "+3", "+4", "-0"] && recovery.window < before)
        let sample = try recovery.onAcknowledgement(ack(0...4), at: at(52))
        #expect(sample?.isSpurious == true && sample?.acknowledgedBytes == 0 && sample?.sentAt == nil)
        #expect(recovery.spuriousLosses == 1 && recovery.window >= before)
    }

    /// One acknowledgement may take back several.
    @Test func everyLossThatWasNoneIsCounted() throws {
        var recovery = recovery()
        send(8, &recovery)
        _ = try recovery.onAcknowledgement(ack(2...7), at: at(50))
        #expect(concluded(&recovery).suffix(2) == ["-0", "-1"])
        _ = try recovery.onAcknowledgement(ack(0...7), at: at(52))
        var late: [UInt64] = []
        while let next = recovery.nextConcluded() { if next.isSpuriousLoss { late.append(next.packet.number - Self.first) } }
        #expect(recovery.spuriousLosses == 2 && late == [0, 1])
    }

    /// Neither an attempt at a larger size nor what went to an old address is a loss, and so neither is a spurious one.
    @Test func whatWasNoLossIsNoSpuriousOne() throws {
        var recovery = recovery()
        recovery.onSent(bytes: 1_452, full: Self.bytes, isCopied: false, triesSize: true, frames: [], at: at(0))
        send(5, &recovery, from: 1)
        _ = try recovery.onAcknowledgement(ack(1...4), at: at(50))
        #expect(concluded(&recovery).last == "-0")
        recovery.giveUpUncopied(at: at(51))
        #expect(concluded(&recovery) == ["-5"])
        let sample = try recovery.onAcknowledgement(ack(0...5), at: at(52))
        #expect(concluded(&recovery) == ["+0", "+5"] && sample?.acknowledgedBytes == 0)
        #expect(recovery.spuriousLosses == 0 && recovery.isSound)
    }

    /// Section 5 of RFC 9002: the smoothed round trip is without what the peer says it waited, up to a second; the least is the least
    /// sample.
    @Test func whatThePeerWaitedIsNoPartOfTheSmoothedRoundTrip() throws {
        var recovery = recovery()
        send(1, &recovery)
        _ = try recovery.onAcknowledgement(ack(0...0), at: at(40))
        send(1, &recovery, from: 100)
        _ = try recovery.onAcknowledgement(ack(1...1, delay: 5_000), at: at(145))
        #expect(recovery.rtt.latest == .milliseconds(45))
        #expect(recovery.rtt.smoothed == .milliseconds(40) && recovery.rtt.minimum == .milliseconds(40))
        send(1, &recovery, from: 200)
        _ = try recovery.onAcknowledgement(ack(2...2, delay: 2_000_000), at: at(2_240))
        // (7 × 40 + 2,040 − 1,000) / 8.
        #expect(recovery.rtt.smoothed == .milliseconds(165) && recovery.rtt.minimum == .milliseconds(40))
    }

    @Test(arguments: [
        (AckFrame(ranges: [999...1_001], delayMicroseconds: 0), "before the first"),
        (AckFrame(ranges: [1_000...1_005], delayMicroseconds: 0), "beyond the last"),
        (AckFrame(ranges: [1_004...1_004], delayMicroseconds: 0), "skipped"),
    ]) func whatWasNeverSentIsNotAcknowledged(frame: AckFrame, what: String) {
        var recovery = recovery()
        send(4, &recovery)
        recovery.skip(at: at(9))
        do throws(ProtocolViolation) {
            _ = try recovery.onAcknowledgement(frame, at: at(50))
            Issue.record("\(what)")
        } catch { #expect(error.code == .protocolViolation) }
    }

    @Test func aFullWindowWaitsForNewsAndAnEmptyOneForNobody() {
        var recovery = recovery()
        let first = recovery.maySend(Self.bytes, at: at(0))
        #expect(first == .now)
        send(10, &recovery)
        let full = recovery.maySend(Self.bytes, at: at(10))
        #expect(full == .later, "ten datagrams are the first window")
    }

    @Test func afterASampleThePacerSaysWhen() throws {
        var recovery = recovery()
        send(5, &recovery)
        _ = try recovery.onAcknowledgement(ack(0...4), at: at(104))
        _ = concluded(&recovery)
        var permission = recovery.maySend(Self.bytes, at: at(104))
        while permission == .now {
            recovery.onSent(bytes: Self.bytes, full: Self.bytes, isCopied: false, frames: [], at: at(104))
            permission = recovery.maySend(Self.bytes, at: at(104))
        }
        guard case .at(let time) = permission else { return #expect(permission == .later && recovery.sent.bytesInFlight >= 10 * Self.bytes) }
        #expect(time > at(104))
    }

    @Test func anAttemptAtALargerSizeIsNoLossAndCutsNothing() throws {
        var recovery = recovery()
        send(PathMTU.worthwhile, &recovery)
        let size = recovery.sizeToTry(peer: 65_507, at: at(20))
        #expect(size == 1_452)
        recovery.onSent(bytes: 1_452, full: Self.bytes, isCopied: false, triesSize: true, frames: [], at: at(20))
        send(4, &recovery, from: 21)
        let before = recovery.window
        _ = try recovery.onAcknowledgement(ack(13...16, 0...11), at: at(60))
        #expect(concluded(&recovery).last == "-12" && recovery.window >= before && recovery.mtu.size == 1_200)
    }

    @Test func anotherPathBeginsAnewAndWhatWentTheOldWayAloneGoesAgain() throws {
        var recovery = recovery()
        send(3, &recovery)
        _ = try recovery.onAcknowledgement(ack(0...0), at: at(30))
        _ = concluded(&recovery)
        recovery.onSent(bytes: Self.bytes, full: Self.bytes, isCopied: true, frames: [], at: at(31))
        recovery.onPathChange(at: at(32))
        recovery.giveUpUncopied(at: at(32))
        #expect(concluded(&recovery) == ["-1", "-2"])
        #expect(!recovery.rtt.hasSample && recovery.window == 10 * PathMTU.base && recovery.sent.bytesInFlight == Self.bytes)
    }

    /// One loss in front keeps all behind it for a while. At a quarter of a million packets a second that is more than the table takes.
    @Test func aLossInFrontOfAFastSendersPacketsStopsNothing() throws {
        var recovery = recovery()
        send(1, &recovery)
        var (now, blocked) = (at(1), 0)
        for order in 1...UInt64(Recovery.mostPackets + 5_000) {
            if case .later = recovery.maySend(Self.bytes, at: now) {
                blocked += 1
                continue
            }
            recovery.onSent(bytes: Self.bytes, full: Self.bytes, isCopied: false, frames: [], at: now)
            _ = try recovery.onAcknowledgement(ack(order...order), at: now)
            while recovery.nextConcluded() != nil {}
            now = now + .microseconds(4)
        }
        #expect(blocked == 0 && recovery.sent.count < Recovery.mostPackets && recovery.isSound)
    }

    /// A paced sender's packets leave while less than a window is under way: they count as long as there was more to send.
    @Test(arguments: [true, false]) func whatIsAcknowledgedGrowsTheWindowUnlessThereWasNothingMoreToSend(more: Bool) throws {
        var recovery = recovery()
        send(3, &recovery)
        if !more { recovery.onNothingToSend(full: Self.bytes) }
        let before = recovery.window
        _ = try recovery.onAcknowledgement(ack(0...2), at: at(50))
        #expect(recovery.window == before + (more ? 3 * Self.bytes : 0))
    }
}
