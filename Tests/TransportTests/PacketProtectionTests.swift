import CAllocations
import MastTimebase
import MastTransport
import TestKit
import Testing

/// Sealing and opening of data packets, and the key phases (RFC 9001 section 6).
@Suite struct PacketProtectionTests {
    /// Both ends of a connection, and every packet under a number of its own.
    private final class Ends {
        var one: PacketProtection
        var other: PacketProtection
        private var next: UInt64 = 0

        init(packetsPerPhase: UInt64 = 1 << 20, confidentiality: UInt64 = 1 << 23, integrity: UInt64 = 1 << 52) {
            var limits = ProtectionLimits()
            (limits.packetsPerPhase, limits.confidentiality, limits.integrity) = (packetsPerPhase, confidentiality, integrity)
            one = PacketProtection(sendSecret: [1], receiveSecret: [2], limits: limits)
            other = PacketProtection(sendSecret: [2], receiveSecret: [1], limits: limits)
        }

        struct Packet {
            var bytes: [UInt8]
            var number: UInt64
            var phase: Int { WirePacket.keyPhase(of: bytes) }
        }

        func fromOne() -> Packet? { seal(&one) }
        func fromOther() -> Packet? { seal(&other) }

        private func seal(_ end: inout PacketProtection) -> Packet? {
            next += 1
            return end.sealed([9], destination: ConnectionID(rawValue: 7), number: next, flags: 0, path: 0).map { Packet(bytes: $0, number: next) }
        }

        func isOpenedByOther(_ packet: Packet?) -> Bool { packet.map { other.opened($0.bytes, number: $0.number, path: 0) == [9] } ?? false }
        func isOpenedByOne(_ packet: Packet?) -> Bool { packet.map { one.opened($0.bytes, number: $0.number, path: 0) == [9] } ?? false }

        /// The phase in which one's next packet goes, when the other has heard it, and answered if it `answers`.
        func phaseOfNext(answers: Bool) -> Int? {
            guard let packet = fromOne(), isOpenedByOther(packet) else { return nil }
            guard answers else { return packet.phase }
            let answer = fromOther()
            return isOpenedByOne(answer) ? packet.phase : nil
        }
    }

    // MARK: one packet

    @Test func aPacketOpensAsItWasSealedAndNoOther() throws {
        let ends = Ends()
        let payload = Array("some frames".utf8)
        let destination = ConnectionID(rawValue: 0x0102_0304_0506_0708)
        let packet = ends.one.sealed(payload, destination: destination, number: 300, flags: PacketHeader.ackNowBit, path: 3)
        let sealed = try #require(packet)
        #expect(sealed.count == PacketHeader.dataHeaderSize + payload.count + PacketHeader.tagSize)
        #expect(PacketHeader.kind(of: sealed) == .data && PacketHeader.destination(of: sealed) == destination)
        #expect(WirePacket.number(of: sealed) == 300 && WirePacket.asksForAck(sealed))
        var failures: UInt64 = 0
        for index in sealed.indices {
            for bits in [0x01, 0x80] as [UInt8] {
                let opened = ends.other.opened(WirePacket.changed(sealed, at: index, by: bits), number: 300, path: 3)
                #expect(opened == nil, "byte \(index)")
                failures += 1
            }
        }
        for (number, path) in [(299, 3), (301, 3), (300 + 1 << 32, 3), (300, 2), (300, 0)] as [(UInt64, UInt32)] {
            let opened = ends.other.opened(sealed, number: number, path: path)
            #expect(opened == nil, "number \(number), path \(path)")
            failures += 1
        }
        for length in (PacketHeader.dataHeaderSize + PacketHeader.tagSize)..<sealed.count {
            let opened = ends.other.opened(Array(sealed.prefix(length)), number: 300, path: 3)
            #expect(opened == nil, "\(length) bytes")
            failures += 1
        }
        #expect(ends.other.failedOpens == failures, "each forgery counts once")
        for length in 0..<(PacketHeader.dataHeaderSize + PacketHeader.tagSize) {
            let opened = ends.other.opened(Array(sealed.prefix(length)), number: 300, path: 3)
            #expect(opened == nil)
        }
        #expect(ends.other.failedOpens == failures, "what is too short tells nothing about a key")
        let reflected = ends.one.opened(sealed, number: 300, path: 3)
        #expect(reflected == nil, "its own packet, come back")
        let opened = ends.other.opened(sealed, number: 300, path: 3)
        #expect(opened == payload)
        #expect(ends.other.failedOpens == failures)
    }

    @Test func anEmptyPayloadIsAPacketToo() throws {
        let ends = Ends()
        let sealed = ends.one.sealed([], destination: .none, number: 0, flags: 0, path: 0) ?? []
        let opened = ends.other.opened(sealed, number: 0, path: 0)
        #expect(opened == [])
    }

    // MARK: the phase changes

    @Test func thePeerFollowsAChange() {
        let ends = Ends()
        #expect(ends.fromOne()?.phase == 0)
        ends.one.changeSendKey()
        let changed = ends.fromOne()
        #expect(changed?.phase == 1)
        let early = ends.fromOther()
        #expect(early?.phase == 0, "it has not heard of the change")
        #expect(ends.isOpenedByOther(changed))
        let answer = ends.fromOther()
        #expect(answer?.phase == 1, "the answer goes in the new generation")
        #expect(ends.isOpenedByOne(early))
        #expect(ends.isOpenedByOne(answer))
        #expect(ends.fromOne()?.phase == 1, "and asks for none beyond it")
    }

    @Test func aPacketReorderedOverTheChangeOpensWithTheKeyBefore() {
        let ends = Ends()
        let (first, second) = (ends.fromOne(), ends.fromOne())
        ends.one.changeSendKey()
        let changed = ends.fromOne()
        #expect(ends.isOpenedByOther(changed))
        #expect(ends.isOpenedByOther(second))
        #expect(ends.fromOther()?.phase == 1, "a late packet changes nothing back")
        let later = ends.fromOne()
        #expect(ends.isOpenedByOther(later))
        #expect(ends.isOpenedByOther(first))
        #expect(ends.other.failedOpens == 0)
    }

    @Test func theKeyBeforeThatIsGone() {
        let ends = Ends()
        let oldest = ends.fromOne()
        var older: Ends.Packet?
        for generation in 1...2 {
            if generation == 2 { older = ends.fromOne() }
            ends.one.changeSendKey()
            let phase = ends.phaseOfNext(answers: true)
            #expect(phase == generation % 2)
        }
        #expect(ends.isOpenedByOther(older))
        #expect(!ends.isOpenedByOther(oldest))
    }

    @Test func twoChangesAtOnceAreOne() {
        let ends = Ends()
        ends.one.changeSendKey()
        ends.other.changeSendKey()
        let (there, back) = (ends.fromOne(), ends.fromOther())
        #expect(there?.phase == 1 && back?.phase == 1)
        #expect(ends.isOpenedByOther(there))
        #expect(ends.isOpenedByOne(back))
        for _ in 0..<3 {
            let phase = ends.phaseOfNext(answers: true)
            #expect(phase == 1, "nobody changes again for the other's change")
        }
        ends.other.changeSendKey()
        let next = ends.fromOther()
        #expect(next?.phase == 0)
        #expect(ends.isOpenedByOne(next))
        let phase = ends.phaseOfNext(answers: true)
        #expect(phase == 0)
        #expect(ends.one.receiveKeys == 3 && ends.other.receiveKeys == 3)
    }

    /// RFC 9001 section 6.1: no change before something of the generation in use was acknowledged. Its owner keeps to that.
    @Test func aGenerationIsConfirmedByAnAcknowledgementOfWhatItSealed() {
        let ends = Ends()
        #expect(!ends.one.isConfirmed)
        let first = ends.fromOne()
        ends.one.onAcknowledged((first?.number ?? 0) - 1)
        #expect(!ends.one.isConfirmed, "of what was sealed before")
        ends.one.onAcknowledged(first?.number ?? 0)
        #expect(ends.one.isConfirmed)
        ends.one.changeSendKey()
        #expect(!ends.one.isConfirmed && ends.one.sendGeneration == 1)
        ends.one.onAcknowledged(first?.number ?? 0)
        #expect(!ends.one.isConfirmed, "nothing is sealed in it yet")
        let second = ends.fromOne()
        #expect(second?.phase == 1)
        ends.one.onAcknowledged(first?.number ?? 0)
        #expect(!ends.one.isConfirmed, "of the generation before")
        ends.one.onAcknowledged(second?.number ?? 0)
        #expect(ends.one.isConfirmed)
    }

    @Test func whoFollowsIsNotConfirmedByThat() {
        let ends = Ends()
        ends.one.changeSendKey()
        let there = ends.fromOne()
        #expect(ends.isOpenedByOther(there))
        #expect(ends.other.sendGeneration == 1 && ends.other.receiveGeneration == 1 && !ends.other.isConfirmed)
        #expect(ends.fromOther()?.phase == 1)
    }

    // MARK: limits by count

    @Test func aChangeIsDueAfterSoManyPacketsOfOneGeneration() {
        let ends = Ends(packetsPerPhase: 3)
        for count in 0..<6 {
            #expect(ends.one.isDue == (count >= 3), "\(count) sealed")
            #expect(ends.fromOne()?.phase == 0)
        }
        ends.one.changeSendKey()
        #expect(!ends.one.isDue)
        #expect(ends.fromOne()?.phase == 1)
    }

    @Test func aKeyThatNobodyConfirmsSealsSoManyPacketsAndNoMore() {
        let ends = Ends(packetsPerPhase: 2, confidentiality: 5)
        var last: Ends.Packet?
        for count in 0..<5 {
            #expect(!ends.one.isWornOut, "\(count) sealed")
            last = ends.fromOne()
        }
        #expect(ends.one.isWornOut)
        let refused = ends.fromOne()
        #expect(refused == nil)
        #expect(ends.isOpenedByOther(last))
        ends.one.changeSendKey()
        #expect(!ends.one.isWornOut)
        #expect(ends.fromOne()?.phase == 1)
    }

    @Test(arguments: [(CipherSuite.aes128GCM, 1 << 52), (.aes256GCM, 1 << 52), (.chaCha20Poly1305, 1 << 36)] as [(CipherSuite, UInt64)])
    func suitesHaveTheirLimits(suite: CipherSuite, forgeries: UInt64) {
        #expect(suite.integrityLimit == forgeries)
        #expect(suite.confidentialityLimit == (suite == .chaCha20Poly1305 ? 1 << 62 : 1 << 23))
    }

    @Test func theLimitOfForgeriesIsReachedAtItsNumber() {
        let ends = Ends(integrity: 3)
        for count in 1...3 {
            #expect(!ends.other.isForgedOut, "\(count - 1) forged")
            let forged = ends.other.opened(WirePacket.data(to: .none, flags: count == 2 ? PacketHeader.keyPhaseBit : 0), number: 1, path: 0)
            #expect(forged == nil)
            #expect(ends.other.failedOpens == UInt64(count))
        }
        #expect(ends.other.isForgedOut)
    }

    @Test func forgeriesAndLatePacketsDeriveNoKeys() {
        let ends = Ends()
        let late = ends.fromOne()
        ends.one.changeSendKey()
        let changed = ends.fromOne()
        #expect(ends.isOpenedByOther(changed))
        #expect(ends.other.receiveKeys == 2)
        #expect(ends.isOpenedByOther(late))
        #expect(ends.other.receiveKeys == 2)
        for _ in 0..<10 {
            let forged = ends.other.opened(WirePacket.data(to: .none), number: 9, path: 0)
            #expect(forged == nil)
        }
        #expect(ends.other.receiveKeys == 3)
    }

    // MARK: rests

    /// Before, within and after changes of keys, at either end or both.
    @Test(arguments: [UInt64](1...8)) func restsChangeNothing(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let ends = Ends()
        var late: Ends.Packet?
        for count in 0..<400 {
            if count % 50 == 20 {
                late = ends.fromOne()
                ends.one.changeSendKey()
            }
            if random.next(below: 3) == 0 { ends.one.rest() }
            if random.next(below: 3) == 0 { ends.other.rest() }
            let there = ends.fromOne()
            #expect(ends.isOpenedByOther(there))
            if count % 50 == 30 { #expect(ends.isOpenedByOther(late), "a packet of the generation before") }
            if random.next(below: 3) == 0 { ends.other.rest() }
            if random.next(below: 7) == 0 {
                let forged = ends.other.opened(WirePacket.data(to: .none, flags: PacketHeader.keyPhaseBit), number: 1 << 20, path: 0)
                #expect(forged == nil)
            }
            let back = ends.fromOther()
            #expect(ends.isOpenedByOne(back))
        }
        #expect(ends.one.sendGeneration == 8 && ends.other.sendGeneration == 8)
    }

    @Test(.enabled(if: allocations_are_counted() != 0)) func aRestGivesMemoryBackAndUseTakesNoMore() {
        let ends = Ends()
        for _ in 0..<2 {
            #expect(ends.isOpenedByOther(ends.fromOne()))
            #expect(ends.isOpenedByOne(ends.fromOther()))
            let packets = (0..<100).map { _ in ends.fromOne() }
            var writers = (0..<100).map { _ in ByteWriter.packet(capacity: 64) }
            let before = allocations_here()
            for index in writers.indices {
                let isSealed = ends.other.seal(&writers[index], destination: .none, number: 1_000 + UInt64(index), flags: 0, path: 0)
                if !isSealed { Issue.record("not sealed") }
            }
            for packet in packets {
                guard var packet else { continue }
                _ = ends.other.open(&packet.bytes, number: packet.number, path: 0)
            }
            // A copy of each that is opened.
            #expect(allocations_here() - before <= 100)
            let held = allocated_here()
            ends.other.rest()
            let given = held - allocated_here()
            #expect(given > 1_000 && given < 4_000)
            ends.other.rest()
            #expect(held - allocated_here() == given)
        }
    }
}
