import MastTimebase
import MastTransport
import TestKit
import Testing

/// What can be read of each kind of packet without a key, and what contradicts the format.
@Suite struct DatagramDissectionTests {
    private let here = ConnectionID(route: 0xAA, local: 0x1234)
    private let there = ConnectionID(route: 0, local: 0x5678)
    private let key = [UInt8](1...32)

    private func dissect(_ packet: [UInt8], wireBytes: Int? = nil) throws -> DatagramDissection {
        try #require(DatagramDissection(packet, wireBytes: wireBytes ?? packet.count))
    }

    private func handshakes() -> [(kind: PacketKind, packet: [UInt8])] {
        [
            (.initiation, WirePacket.initiation(from: there, to: here)), (.response, WirePacket.response(from: there, to: here)),
            (.cookieReply, WirePacket.cookieReply(from: there, to: here)),
        ]
    }

    private func all() -> [(kind: PacketKind, packet: [UInt8])] {
        handshakes() + [
            (.data, WirePacket.data(to: here)), (.reset, WirePacket.reset(of: here, token: [UInt8](1...16))), (.keyQuery, WirePacket.keyQuery(7)),
            (.keyAnswer, WirePacket.keyAnswer(7, key: key)),
        ]
    }

    @Test func everyKindIsKnownAndFaultless() throws {
        for (kind, packet) in all() {
            let found = try dissect(packet)
            #expect(found.kind == kind && found.fault == nil && found.datagramBytes == packet.count, "\(kind)")
            #expect((found.version == nil) == [.data, .reset].contains(kind), "\(kind)")
            #expect(found.text.hasPrefix("\(DatagramDissection.name(kind))  \(packet.count) bytes"))
            #expect(!found.text.contains("MALFORMED"))
        }
        #expect(Set(all().map { DatagramDissection.name($0.kind) }).count == 7)
    }

    @Test func aHandshakePacketNamesBothEnds() throws {
        for (kind, packet) in handshakes() {
            let found = try dissect(packet)
            #expect(found.version == PacketHeader.version && found.destinationID == here && found.sourceID == there, "\(kind)")
            #expect(found.text.contains("to aa/1234  from 5678"))
            #expect((found.nonce?.count == 8) == (kind == .cookieReply))
            #expect(found.numberLow == nil && found.sealedBytes == nil && found.key == nil)
        }
    }

    @Test func aDataPacketTellsItsNumberAndFlags() throws {
        let plain = try dissect(WirePacket.data(to: here, number: 0x0102_0304, sealed: 40))
        #expect(plain.destinationID == here && plain.sourceID == nil && plain.numberLow == 0x0102_0304 && plain.sealedBytes == 40)
        #expect(!plain.hasKeyPhase && !plain.asksForAck)
        #expect(plain.text.hasSuffix("to aa/1234  number …16909060  sealed 40"))
        let phase = try dissect(WirePacket.data(to: here, flags: PacketHeader.keyPhaseBit))
        #expect(phase.hasKeyPhase && !phase.asksForAck && phase.text.hasSuffix("key-phase"))
        let asking = try dissect(WirePacket.data(to: here, flags: PacketHeader.ackNowBit))
        #expect(!asking.hasKeyPhase && asking.asksForAck && asking.text.hasSuffix("ack-now"))
        // Recorded in part: the whole datagram counts.
        let cut = try dissect(Array(WirePacket.data(to: here, sealed: 40).prefix(20)), wireBytes: 1_200)
        #expect(cut.datagramBytes == 1_200 && cut.fault == nil)
        #expect(cut.sealedBytes == 1_200 - PacketHeader.dataHeaderSize - PacketHeader.tagSize)
    }

    @Test func aResetNamesWhatItEnds() throws {
        let found = try dissect(WirePacket.reset(of: here, token: [UInt8](1...16)))
        #expect(found.destinationID == here && found.text.hasSuffix("of aa/1234"))
    }

    @Test func aKeyIsAskedForAndAnsweredUnderANonce() throws {
        let (query, answer) = (try dissect(WirePacket.keyQuery(0x0102_0304_0506_0708)), try dissect(WirePacket.keyAnswer(0x0102_0304_0506_0708, key: key)))
        #expect(query.nonce == [1, 2, 3, 4, 5, 6, 7, 8] && query.nonce == answer.nonce)
        #expect(query.key == nil && answer.key?.bytes == key && answer.destinationID == nil)
        let shown = try #require(answer.key)
        #expect(answer.text.contains("nonce 0102030405060708") && answer.text.contains("key \(shown)"))
    }

    // MARK: faults

    @Test func anotherVersionIsSaid() throws {
        for (kind, packet) in all() where ![.data, .reset].contains(kind) {
            let found = try dissect(WirePacket.inVersion(PacketHeader.version + 1, packet))
            #expect(found.fault == "version \(PacketHeader.version + 1)")
            #expect(found.text.hasSuffix("MALFORMED: version \(PacketHeader.version + 1)"))
        }
    }

    /// Sizes that may be, and one byte less or more.
    @Test func aWrongSizeIsSaid() throws {
        let least: [PacketKind: Int] = [
            .initiation: 1_200, .response: 98, .cookieReply: 58, .data: PacketHeader.dataHeaderSize + PacketHeader.tagSize,
            .reset: PacketHeader.resetSize, .keyQuery: 64, .keyAnswer: 50,
        ]
        for (kind, packet) in all() {
            let size = try #require(least[kind])
            let isOpen = [.response, .data, .keyQuery].contains(kind)
            let faults = try [size - 1, size, size + 1].map { try dissect(packet, wireBytes: $0).fault }
            let short = "\(size - 1) bytes, where \(isOpen ? "at least " : "")\(size) are due"
            #expect(faults == [short, nil, isOpen ? nil : "\(size + 1) bytes, where \(size) are due"], "\(kind)")
        }
    }

    @Test func whatNamesNoKindIsNone() {
        #expect(DatagramDissection([], wireBytes: 0) == nil)
        for first in UInt8.min...UInt8.max where PacketHeader.kind(of: [first]) == nil { #expect(DatagramDissection([first, 1, 2], wireBytes: 3) == nil) }
    }

    @Test func aPacketCutAnywhereIsReadAsFarAsItGoes() throws {
        for (kind, packet) in all() {
            let whole = try dissect(packet)
            for length in 1..<min(packet.count, 64) {
                let found = try dissect(Array(packet.prefix(length)), wireBytes: packet.count)
                #expect(found.kind == kind)
                #expect(found.destinationID == nil || found.destinationID == whole.destinationID)
                #expect(found.sourceID == nil || found.sourceID == whole.sourceID)
                #expect(found.nonce == nil || found.nonce == whole.nonce)
                #expect(found.numberLow == nil || found.numberLow == whole.numberLow)
                #expect(found.key == nil || found.key == whole.key)
            }
        }
    }
}
