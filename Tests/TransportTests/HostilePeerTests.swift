import MastTimebase
import MastTransport
import TestKit
import Testing

/// An authentic peer that keeps no rule: each row says what it sends and what comes of it. The codes are those of RFC 9000
/// section 20.1; the endpoint's windows are 1,000 bytes for a stream, 3,000 for the connection, and four streams.
@Suite struct HostilePeerTests {
    static var configuration: TransportConfiguration {
        var configuration = TransportConfiguration()
        (configuration.streamWindow, configuration.connectionWindow, configuration.maximumStreams) = (1_000, 3_000, 4)
        (configuration.shelfWindow, configuration.assemblyWindow) = (0, 0)
        return configuration
    }

    struct Row: Sendable, CustomTestStringConvertible {
        var what: String
        var payloads: [[UInt8]]
        /// Nil where the connection goes on.
        var code: UInt64?
        var testDescription: String { what }

        init(_ what: String, _ frames: [Frame]..., code: UInt64?) {
            self.init(
                what,
                payloads: frames.map {
                    var writer = ByteWriter()
                    for frame in $0 { writer.frame(frame) }
                    return writer.bytes
                }, code: code)
        }
        init(_ what: String, payloads: [[UInt8]], code: UInt64?) { (self.what, self.payloads, self.code) = (what, payloads, code) }
    }

    /// The peer's own stream.
    private static func id(_ index: UInt64) -> StreamID { StreamID(index: index, openedByInitiator: true) }
    /// The endpoint's.
    private static func ours(_ index: UInt64) -> StreamID { StreamID(index: index, openedByInitiator: false) }

    private static func data(_ index: UInt64, _ offset: UInt64, _ count: Int, fin: Bool = false, deadline: UInt64? = nil) -> Frame {
        data(id(index), offset, count, fin: fin, deadline: deadline)
    }

    private static func data(_ id: StreamID, _ offset: UInt64, _ count: Int, fin: Bool = false, deadline: UInt64? = nil) -> Frame {
        .stream(
            StreamFrame(id: id, offset: offset, data: [UInt8](repeating: 7, count: count)[...], fin: fin, deadlineMicroseconds: deadline))
    }

    private static func numbers(_ values: UInt64...) -> [UInt8] {
        var writer = ByteWriter()
        for value in values { writer.varInt(value) }
        return writer.bytes
    }

    private static let largest = VarInt.max

    // MARK: limits

    static let limits: [Row] = [
        Row("a stream to its limit", [data(0, 0, 1_000)], code: nil),
        Row("a stream one byte beyond its limit", [data(0, 0, 1_001)], code: 0x03),
        Row("one byte at the limit", [data(0, 1_000, 1)], code: 0x03),
        Row("a stream's end at its limit", [data(0, 0, 1_000, fin: true)], code: nil),
        Row(
            "the connection to its limit", [data(0, 0, 1_000)], [data(1, 0, 1_000)], [data(2, 0, 1_000)], [data(3, 0, 0, fin: true)],
            code: nil),
        Row("the connection one byte beyond", [data(0, 0, 1_000)], [data(1, 0, 1_000)], [data(2, 0, 1_000)], [data(3, 0, 1)], code: 0x03),
        Row("a reset to the stream's limit", [.resetStream(id(0), code: 1, finalSize: 1_000)], code: nil),
        Row("a reset one byte beyond the stream's limit", [.resetStream(id(0), code: 1, finalSize: 1_001)], code: 0x03),
        Row(
            "a reset one byte beyond the connection's limit",
            // Heard of first, so that its credit does not come back by itself.
            [data(0, 0, 1), .resetStream(id(0), code: 1, finalSize: 1_000)],
            [data(1, 0, 1), .resetStream(id(1), code: 1, finalSize: 1_000)],
            [data(2, 0, 1), .resetStream(id(2), code: 1, finalSize: 1_000)], [data(3, 0, 1)], code: 0x03),
        Row("the last stream allowed", [data(3, 0, 1)], code: nil),
        Row("one stream too many", [data(4, 0, 1)], code: 0x04),
        Row("a reset of one stream too many", [.resetStream(id(4), code: 1, finalSize: 0)], code: 0x04),
        Row("a stop of one stream too many", [.stopSending(id(4), code: 1)], code: 0x04),
        Row("credit for one stream too many", [.maxStreamData(id(4), 1)], code: 0x04),
        Row("the largest stream number", [data(StreamID(rawValue: largest - 1), 0, 1)], code: 0x04),
        Row("data on a stream that we never opened", [data(ours(0), 0, 1)], code: 0x05),
        Row("a reset of a stream that we never opened", [.resetStream(ours(0), code: 1, finalSize: 0)], code: 0x05),
        Row("a stop of a stream that we never opened", [.stopSending(ours(0), code: 1)], code: 0x05),
        Row("credit for a stream that we never opened", [.maxStreamData(ours(0), 9)], code: 0x05),
        Row("the largest number of ours", [.stopSending(StreamID(rawValue: largest), code: 1)], code: 0x05),
    ]

    static let sizes: [Row] = [
        Row("one byte past the end", [data(0, 0, 10, fin: true)], [data(0, 10, 1)], code: 0x06),
        Row("an end further on", [data(0, 0, 10, fin: true), data(0, 0, 11, fin: true)], code: 0x06),
        Row("an end before", [data(0, 0, 10, fin: true), data(0, 0, 9, fin: true)], code: 0x06),
        Row("an end below what came", [data(0, 0, 10), data(0, 0, 9, fin: true)], code: 0x06),
        Row("the same end again", [data(0, 0, 10, fin: true), data(0, 4, 6, fin: true)], code: nil),
        Row("a reset of another size, larger", [data(0, 0, 10, fin: true), .resetStream(id(0), code: 1, finalSize: 11)], code: 0x06),
        Row("a reset of another size, smaller", [data(0, 5, 5, fin: true), .resetStream(id(0), code: 1, finalSize: 9)], code: 0x06),
        Row("a reset below what came", [data(0, 0, 10), .resetStream(id(0), code: 1, finalSize: 9)], code: 0x06),
        Row("a reset at the end", [data(0, 0, 10, fin: true), .resetStream(id(0), code: 1, finalSize: 10)], code: nil),
        Row(
            "two resets, two sizes",
            [data(0, 0, 1), .resetStream(id(0), code: 1, finalSize: 5), .resetStream(id(0), code: 1, finalSize: 6)], code: 0x06),
        Row("data past a reset", [data(0, 0, 1), .resetStream(id(0), code: 1, finalSize: 5), data(0, 5, 1)], code: 0x06),
        Row("an offset that no stream has", payloads: [numbers(0x08, 0, largest, 1) + [7]], code: 0x07),
        Row("the largest offset there is", [data(0, largest - 1, 1)], code: 0x03),
        Row("an end at the largest offset", [data(0, largest, 0, fin: true)], code: 0x03),
        Row("a reset with the largest size", [.resetStream(id(0), code: largest, finalSize: largest)], code: 0x03),
        Row("a reset of an unknown stream", [.resetStream(id(2), code: 1, finalSize: 0)], code: nil),
        Row(
            "a reset of one that a reset ended", [.resetStream(id(2), code: 1, finalSize: 7)], [.resetStream(id(2), code: 1, finalSize: 7)],
            code: nil),
        Row("credit that falls", [.maxData(0), .maxStreams(0), data(0, 0, 1), .maxStreamData(id(0), 0)], code: nil),
        Row(
            "the largest credit there is", [.maxData(largest), .maxStreams(largest), data(0, 0, 1), .maxStreamData(id(0), largest)],
            code: nil),
        Row("a deadline of 146 thousand years", [data(0, 0, 1, deadline: largest)], code: nil),
        Row("a deadline beside another offset", [data(0, 5, 1, deadline: 1)], code: nil),
    ]

    static let frames: [Row] = [
        Row("nothing", payloads: [[]], code: nil),
        Row("padding alone", payloads: [[UInt8](repeating: 0, count: 1_000)], code: nil),
        Row("an unknown frame", payloads: [[0x03]], code: 0x07),
        Row("an unknown frame behind a good one", payloads: [[0x01, 0x1D]], code: 0x07),
        Row("QUIC's crypto frame", payloads: [numbers(0x06, 0, 1) + [0]], code: 0x07),
        Row("the largest frame type", payloads: [numbers(largest)], code: 0x07),
        Row("a frame cut in its type", payloads: [[0x40]], code: 0x07),
        Row("a stream frame cut in its header", payloads: [[0x08, 0]], code: 0x07),
        Row("a stream frame one byte short", payloads: [numbers(0x08, 0, 0, 3) + [1, 2]], code: 0x07),
        Row("a reset cut short", payloads: [[0x04, 0, 0]], code: 0x07),
        Row("a challenge cut short", payloads: [[0x1A, 1, 2, 3, 4, 5, 6, 7]], code: 0x07),
        Row("a reason longer than the packet", payloads: [numbers(0x1C, 0, 9) + [1]], code: 0x07),
        Row("thirty-three ranges", payloads: [numbers(0x02, 0, 70, 0, 32, 0) + (0..<32).flatMap { _ in numbers(0, 0) }], code: 0x07),
        Row(
            "thirty-two ranges, of packets never sent", payloads: [numbers(0x02, 0, 70, 0, 31, 0) + (0..<31).flatMap { _ in numbers(0, 0) }],
            code: 0x0A),
        Row("more ranges than it has bytes", payloads: [numbers(0x02, 0, 0, 0, 31, 0)], code: 0x07),
        Row("a range count of 2^62 - 1", payloads: [numbers(0x02, 0, 0, 0, largest, 0)], code: 0x07),
        Row("a range below zero", payloads: [numbers(0x02, 0, 0, 0, 0, 1)], code: 0x07),
        Row("a gap below zero", payloads: [numbers(0x02, 0, 1, 0, 1, 0, largest, 0)], code: 0x07),
        Row("an acknowledgement of what was never sent", [.ack(AckFrame(ranges: [1_000...1_000], delayMicroseconds: 0))], code: 0x0A),
        Row("an acknowledgement of the largest number", [.ack(AckFrame(ranges: [largest...largest], delayMicroseconds: 0))], code: 0x0A),
        Row(
            "two acknowledgements in a packet",
            [.ack(AckFrame(ranges: [0...0], delayMicroseconds: 0)), .ack(AckFrame(ranges: [0...0], delayMicroseconds: 0))], code: 0x0A),
        Row("a response to no challenge", [.pathResponse(42)], code: nil),
    ]

    @Test(arguments: limits + sizes + frames) func endsOrGoesOn(row: Row) throws {
        let peer = try #require(HostilePeer(Self.configuration))
        for payload in row.payloads { peer.send(payload: payload) }
        #expect(peer.closeCode == row.code)
        let isOpen = peer.endpoint.isEstablished(peer.handle)
        #expect(isOpen == (row.code == nil))
        #expect(peer.endpoint.counters.dropped == 0 && peer.endpoint.counters.ownFaults == 0)
        guard let code = row.code else {
            // What goes on, works: a good stream beside it, and time that passes.
            peer.run(for: .seconds(1))
            peer.send(.ping)
            peer.run(for: .milliseconds(50))
            let answered = peer.heard.contains { if case .ack = $0.frame { true } else { false } }
            #expect(answered)
            return
        }
        if case .violation(code, let reason)? = peer.closeReason {
            #expect(!reason.isEmpty)
        } else {
            Issue.record("\(String(describing: peer.closeReason))")
        }
        // Four answers at most to one that goes on, and then nothing (section 10.2.1).
        for _ in 0..<10 { peer.send(.ping) }
        let closes = peer.heard.count { if case .close = $0.frame { true } else { false } }
        #expect(closes == 4)
        peer.run(for: .seconds(2))
        let count = peer.endpoint.connectionCount
        #expect(count == 0 && peer.endpoint.held.total == 0 && peer.endpoint.unread.total == 0)
    }

    /// The other way round: we dialled, and the answerer is hostile.
    @Test func aResponderIsHeldToTheSameRules() throws {
        let rows: [(Frame, UInt64?)] = [
            (Self.data(Self.ours(0), 0, 1_000), nil), (Self.data(Self.ours(0), 0, 1_001), 0x03), (Self.data(Self.ours(3), 0, 1), nil),
            (Self.data(Self.ours(4), 0, 1), 0x04), (Self.data(Self.id(0), 0, 1), 0x05), (.maxStreamData(Self.id(0), 1), 0x05),
            (.ack(AckFrame(ranges: [500...500], delayMicroseconds: 0)), 0x0A),
        ]
        for (frame, code) in rows {
            let peer = try #require(HostilePeer(as: .responder, Self.configuration))
            peer.send(frame)
            #expect(peer.closeCode == code, "\(frame)")
        }
    }
}
