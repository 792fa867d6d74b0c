import MastRPC
import MastTimebase
import MastTransport
import Testing

/// The bytes of a call's frames, as other implementations write and read them.
@Suite struct `Bytes of an envelope` {
    private let limits = EnvelopeLimits()

    private func written(_ body: (inout EnvelopeWriter) -> Void) -> [UInt8] {
        var writer = EnvelopeWriter()
        body(&writer)
        return writer.bytes
    }

    @Test func `Numbers of varying length are those of RFC 9000`() throws {
        // Appendix A.1, and the ends of each length.
        let rows: [(value: UInt64, bytes: [UInt8])] = [
            (0, [0]), (37, [0x25]), (63, [0x3F]), (64, [0x40, 0x40]), (15_293, [0x7B, 0xBD]), (16_383, [0x7F, 0xFF]), (16_384, [0x80, 0, 0x40, 0]),
            (494_878_333, [0x9D, 0x7F, 0x3E, 0x7D]), (1_073_741_823, [0xBF, 0xFF, 0xFF, 0xFF]), (1_073_741_824, [0xC0, 0, 0, 0, 0x40, 0, 0, 0]),
            (151_288_809_941_952_652, [0xC2, 0x19, 0x7C, 0x5E, 0xFF, 0x14, 0xE8, 0x8C]), (1 << 62 - 1, [UInt8](repeating: 0xFF, count: 8)),
        ]
        for row in rows {
            #expect(written { $0.varint(row.value) } == row.bytes, "\(row.value)")
            var reader = EnvelopeReader(row.bytes[...])
            #expect(try reader.varint() == row.value && reader.remaining == 0)
            for count in 0..<row.bytes.count {
                var cut = EnvelopeReader(row.bytes[..<count])
                #expect(throws: EnvelopeViolation("envelope ends early")) { try cut.varint() }
            }
        }
        #expect(written { $0.varint(1 << 62) } == [UInt8](repeating: 0xFF, count: 8))
        #expect(written { $0.u32(0x0102_0304) } == [1, 2, 3, 4] && written { $0.u64(0x0102_0304_0506_0708) } == [1, 2, 3, 4, 5, 6, 7, 8])
        var reader = EnvelopeReader([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
        #expect(try reader.u32() == 0x0102_0304 && reader.u64() == 0x0506_0708_090A_0B0C && reader.u8() == 13)
    }

    @Test func `A field is no longer than its limit, nor than what is left`() throws {
        for (bytes, limit, isRead) in [([3, 1, 2, 3], 3, true), ([3, 1, 2, 3], 2, false), ([3, 1, 2], 9, false), ([0], 0, true)] as [([UInt8], Int, Bool)] {
            var reader = EnvelopeReader(bytes[...])
            #expect(((try? reader.field(limit: limit)).map { Array($0) } == Array(bytes.dropFirst())) == isRead, "\(bytes)")
            #expect(reader.remaining == (isRead ? 0 : bytes.count - 1))
        }
        func metadata(_ count: Int, value: Int = 0) -> [UInt8] {
            written { writer in
                writer.varint(UInt64(count))
                for _ in 0..<count {
                    writer.field([0x61])
                    writer.field([UInt8](repeating: 0x62, count: value))
                }
            }
        }
        func isRead(_ bytes: [UInt8], limit: Int) -> Bool {
            var reader = EnvelopeReader(bytes[...])
            return (try? reader.metadata(limit: limit)) != nil
        }
        #expect(isRead(metadata(128), limit: 1_000) && !isRead(metadata(129), limit: 1_000))
        // A pair takes a byte of length for each, the name's byte and the value's.
        #expect(isRead(metadata(2, value: 10), limit: 26) && !isRead(metadata(2, value: 10), limit: 25))
    }

    @Test func `A header's fields have their places`() throws {
        var header = RequestHeader(method: 0x0102_0304, codec: .json, semantics: .atMostOnce)
        #expect(header.encode() == [1, 0, 1, 2, 3, 4, 2, 2])
        header.id = CallID(session: SessionID(high: 5, low: 6), sequence: 9)
        header.firstIncomplete = 7
        let id: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 6, 9, 2]
        #expect(header.encode() == [1, 1, 1, 2, 3, 4, 2, 2] + id)
        (header.attempt, header.earlierIncarnation) = (2, 8)
        #expect(header.encode() == [1, 5, 1, 2, 3, 4, 2, 2] + id + [2, 0, 0, 0, 0, 0, 0, 0, 8])
        header.metadata = ["A": "b"]
        let whole: [UInt8] = [1, 7, 1, 2, 3, 4, 2, 2] + id + [2, 0, 0, 0, 0, 0, 0, 0, 8, 1, 1, 0x61, 1, 0x62]
        #expect(header.encode() == whole)
        #expect(try RequestHeader(decoding: whole[...], limits: limits) == header)
        for count in 0..<whole.count { #expect(throws: EnvelopeViolation.self) { try RequestHeader(decoding: whole[..<count], limits: limits) } }
        // What is first incomplete never lies behind the call itself.
        header.firstIncomplete = 12
        #expect(try RequestHeader(decoding: header.encode()[...], limits: limits).firstIncomplete == 9)
        let refused: [(bytes: [UInt8], reason: String)] = [
            ([0, 0, 1, 2, 3, 4, 2, 2], "unknown envelope version"), ([2, 0, 1, 2, 3, 4, 2, 2], "unknown envelope version"), ([1, 0, 1, 2, 3, 4, 0, 2], "unknown codec"),
            ([1, 0, 1, 2, 3, 4, 4, 2], "unknown codec"), ([1, 0, 1, 2, 3, 4, 1, 3], "unknown semantics"),
            ([1, 1, 1, 2, 3, 4, 1, 2] + [UInt8](repeating: 0, count: 16) + [3, 4], "first incomplete call lies before the first"),
        ]
        for row in refused { #expect(throws: EnvelopeViolation(row.reason)) { try RequestHeader(decoding: row.bytes[...], limits: limits) } }
        #expect(try RequestHeader(decoding: ([1, 1, 1, 2, 3, 4, 1, 2] + [UInt8](repeating: 0, count: 16) + [3, 3])[...], limits: limits).firstIncomplete == 0)
        // FNV-1a.
        #expect(methodID("") == 0x811C_9DC5 && methodID("a") == 0xE40C_292C && methodID("foobar") == 0xBF9C_F968)
    }

    @Test func `A trailer's fields have their places, and what is too much is left out`() throws {
        var trailer = Trailer(code: .aborted, effect: .committed)
        trailer.incarnation = 3
        #expect(trailer.encode(limits: limits) == [0, 10, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0])
        (trailer.message, trailer.retryAfter, trailer.detail, trailer.metadata) = ("hi", .microseconds(5), ByteString([7]), ["a": "b"])
        let whole: [UInt8] = [7, 10, 1, 0, 0, 0, 0, 0, 0, 0, 3, 2, 0x68, 0x69, 5, 1, 7, 1, 1, 0x61, 1, 0x62]
        #expect(trailer.encode(limits: limits) == whole)
        #expect(try Trailer(decoding: whole[...], limits: limits) == trailer)
        for count in 0..<whole.count { #expect(throws: EnvelopeViolation.self) { try Trailer(decoding: whole[..<count], limits: limits) } }
        // A code or effect of a later version is unknown.
        let later = try Trailer(decoding: [0, 17, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], limits: limits)
        #expect(later.code == .unknown && later.effect == .unknown)
        func read(_ change: (inout Trailer) -> Void) throws -> Trailer {
            var trailer = Trailer(code: .aborted, effect: .none)
            change(&trailer)
            return try Trailer(decoding: trailer.encode(limits: limits)[...], limits: limits)
        }
        #expect(try read { $0.message = String(repeating: "m", count: 4_097) }.message.utf8.count == 4_096)
        let most = limits.metadataBytes
        #expect(most == 16_384 && limits.headBytes == 40_960 && limits.messageBytes == 4_194_304 && limits.inboxBytes == 262_144)
        #expect(try read { $0.detail = ByteString([UInt8](repeating: 0, count: most)) }.detail?.count == most && read { $0.detail = ByteString([UInt8](repeating: 0, count: most + 1)) }.detail == nil)
        // A count, two lengths of 1 and 2 bytes, and the name.
        #expect(try !read { $0.metadata = ["a": String(repeating: "v", count: most - 5)] }.metadata.isEmpty && read { $0.metadata = ["a": String(repeating: "v", count: most - 4)] }.metadata.isEmpty)
        func pairs(_ count: Int) throws -> Int { try read { trailer in for _ in 0..<count { trailer.metadata.add("a", "") } }.metadata.pairs.count }
        #expect(try pairs(128) == 128 && pairs(129) == 0)
        #expect(Trailer.ok(metadata: ["a": "b"]).code == .ok && Trailer.ok().effect == .committed && Trailer.ok(metadata: ["a": "b"]).metadata["A"] == "b")
        let error = RPCError(.notFound, "m", effect: .none, retryAfter: .seconds(1), detail: ByteString([1]), metadata: ["a": "b"])
        #expect(Trailer(error).error == error)
    }

    @Test func `A reader knows what is to come of a frame`() throws {
        var reader = FrameReader(limits: limits)
        #expect(!reader.hasWholeFrame && !reader.hasPartialFrame && reader.missing == nil)
        let bytes: [UInt8] = [2, 0x40, 100] + [UInt8](repeating: 7, count: 100) + [3, 1, 9]
        for (count, missing, isPartial) in [(1, nil, true), (2, nil, true), (3, 100, true), (102, 1, true), (103, nil, false)] as [(Int, Int?, Bool)] {
            var part = FrameReader(limits: limits)
            part.fill { $0 += bytes[..<count] }
            #expect(part.missing == missing && part.hasPartialFrame == isPartial && part.hasWholeFrame == !isPartial, "\(count) bytes")
            #expect(try (part.next() == nil) == isPartial)
        }
        reader.fill { $0 += bytes }
        #expect(try reader.next()?.payload.count == 100 && reader.frameBytes == 103)
        let last = try reader.next()
        #expect(last?.kind == 3 && last?.payload == [9] && reader.frameBytes == 3)
        #expect(try reader.next() == nil && !reader.hasPartialFrame)
        for (count, wire) in [(0, 2), (63, 65), (64, 67), (16_383, 16_386), (16_384, 16_389), (1 << 30 - 1, 1 << 30 + 4), (1 << 30, 1 << 30 + 9)] { #expect(FrameReader.wireBytes(payload: count) == wire) }
        var frame: [UInt8] = [9]
        FrameReader.append(5, [1, 2], to: &frame)
        #expect(frame == [9, 5, 2, 1, 2])
        // A message has its own limit, everything else that of heads.
        for (kind, limit) in [(2, 4_194_304), (1, 40_960), (3, 40_960), (0x20, 40_960)] as [(UInt8, UInt64)] {
            for (length, isTaken) in [(limit, true), (limit + 1, false)] {
                var reader = FrameReader(limits: limits)
                reader.fill { bytes in
                    var writer = EnvelopeWriter(bytes: bytes)
                    writer.u8(kind)
                    writer.varint(length)
                    bytes = writer.bytes
                }
                #expect((reader.missing == Int(length)) == isTaken && reader.hasWholeFrame == !isTaken)
                #expect(((try? reader.next()) != nil) == false)
                if !isTaken { #expect(throws: EnvelopeViolation("frame of \(length) bytes is over the limit of \(limit)")) { try reader.next() } }
            }
        }
    }

    @Test func `Names of codes, kinds and promises are those of JSON and of tools`() {
        let names = [
            "ok", "cancelled", "unknown", "invalidArgument", "deadlineExceeded", "notFound", "alreadyExists", "permissionDenied", "resourceExhausted", "failedPrecondition", "aborted",
            "outOfRange", "unimplemented", "internal", "unavailable", "dataLoss", "unauthenticated",
        ]
        #expect(StatusCode.allCases.map(\.name) == names && StatusCode.allCases.map(\.rawValue) == Array(0...16))
        for semantics in [CallSemantics.readOnly, .idempotent, .atMostOnce] { #expect(CallSemantics(name: semantics.name) == semantics) }
        for kind in [CallKind.unary, .serverStream, .clientStream, .bidiStream] { #expect(CallKind(name: kind.name) == kind) }
        #expect(CallSemantics(name: "") == nil && CallKind(name: "Unary") == nil)
        #expect([Effect.none, .committed, .unknown].map(\.description) == ["none", "committed", "unknown"])
        #expect(CallID(session: SessionID(high: 0x1F, low: 2), sequence: 3).description == "000000000000001f0000000000000002/3")
        let (a, b, c) = (SessionID(high: 1, low: 9), SessionID(high: 2, low: 0), SessionID(high: 2, low: 1))
        #expect(a < b && b < c && !(c < b) && !(b < a) && !(a < a))
    }

    @Test func `Metadata's names have no case, and setting replaces`() {
        var metadata: Metadata = ["A": "1", "b": "2", "a": "3"]
        #expect(metadata["a"] == "1" && metadata["B"] == "2" && metadata["c"] == nil && metadata.map(\.name) == ["a", "b", "a"])
        metadata["A"] = "4"
        #expect(metadata.map(\.value) == ["2", "4"])
        metadata["b"] = nil
        #expect(metadata.map(\.value) == ["4"] && !metadata.isEmpty && Metadata().isEmpty)
    }
}

@Suite struct `Figures of retries` {
    private static let none = RPCError(.unavailable, "m", effect: .none, retryAfter: .seconds(2))

    @Test func `Each failure of an attempt leads where its method's promise says`() {
        func decide(_ semantics: CallSemantics, _ failure: AttemptFailure, attempt: Int = 1, hasID: Bool = true) -> Interval?? {
            switch RetryPolicy(semantics: semantics, maxAttempts: 3).decide(failure, attempt: attempt, replayable: true, hasID: hasID, budget: RetryBudget()) {
            case .retry(let after): .some(after)
            case .fail: nil
            }
        }
        let all: [CallSemantics] = [.readOnly, .idempotent, .atMostOnce]
        for semantics in all {
            #expect(decide(semantics, .answered(Self.none)) == .some(.seconds(2)) && decide(semantics, .refused) == .some(nil))
            #expect(decide(semantics, .answered(RPCError(.resourceExhausted, effect: .none))) == .some(nil))
            // Three attempts are three.
            #expect(decide(semantics, .refused, attempt: 2) == .some(nil) && decide(semantics, .refused, attempt: 3) == nil)
            for code in StatusCode.allCases where code != .unavailable && code != .resourceExhausted { #expect(decide(semantics, .answered(RPCError(code, effect: .none))) == nil) }
            for failure in [AttemptFailure.reset(5), .connectionLost("x")] {
                #expect(decide(semantics, failure) == .some(nil) && (decide(semantics, failure, hasID: false) == nil) == (semantics == .atMostOnce))
            }
            for effect in [Effect.committed, .unknown] { #expect((decide(semantics, .answered(RPCError(.unavailable, effect: effect))) == nil) == (semantics == .atMostOnce)) }
        }
    }

    @Test func `Each failure is told as what it is`() {
        let rows: [(failure: AttemptFailure, code: StatusCode, text: String, cause: RPCError.Cause, isAnswered: Bool)] = [
            (.answered(RPCError(.notFound, "m", effect: .committed)), .notFound, "m", .remote, true), (.refused, .unavailable, "the peer refused the call", .refused, true),
            (.reset(5), .unavailable, "the peer abandoned the call (code 5)", .connectionLost, false), (.connectionLost("x"), .unavailable, "the connection was lost: x", .connectionLost, false),
            (.violation("x"), .internal, "the peer broke the protocol: x", .protocolViolation, false),
        ]
        for semantics in [CallSemantics.readOnly, .idempotent, .atMostOnce] {
            for row in rows {
                let error = RetryPolicy(semantics: semantics, maxAttempts: 3).error(for: row.failure)
                #expect(error.code == row.code && error.message == row.text && error.cause == row.cause)
                let effect: Effect = if case .answered = row.failure { .committed } else if row.isAnswered { .none } else { .unknown }
                // A call that changes nothing has no effect, however it fails.
                #expect(error.effect == (semantics == .readOnly ? .none : effect))
            }
        }
    }

    @Test func `The budget is a hundred failures deep, and only answers count`() {
        var budget = RetryBudget()
        for failure in [AttemptFailure.refused, .reset(1), .connectionLost(""), .violation("")] { for _ in 0..<100 { budget.note(failure) } }
        #expect(budget.allowsRetry)
        for _ in 0..<49 { budget.note(.answered(Self.none)) }
        #expect(budget.allowsRetry)
        budget.note(.answered(Self.none))
        #expect(!budget.allowsRetry)
        // Below nothing it does not go: 501 tenths bring it back.
        for _ in 0..<500 { budget.failed() }
        for _ in 0..<500 { budget.succeeded() }
        #expect(!budget.allowsRetry)
        budget.succeeded()
        #expect(budget.allowsRetry)
        // Nor above full.
        for _ in 0..<5_000 { budget.succeeded() }
        for _ in 0..<49 { budget.failed() }
        #expect(budget.allowsRetry)
        budget.failed()
        #expect(!budget.allowsRetry)
    }

    @Test func `Waits fill the fifth on either side, and begin again after a success`() {
        var chance = SeededGenerator(seed: 5, stream: "backoff")
        let first = (0..<4_000).map { _ -> Interval in
            var backoff = Backoff()
            return backoff.next(using: &chance)
        }
        #expect(first.min() ?? .zero >= .milliseconds(80) && first.min() ?? .zero < .milliseconds(81))
        #expect(first.max() ?? .zero < .milliseconds(120) && first.max() ?? .zero > .milliseconds(119))
        var backoff = Backoff()
        var waits: [Interval] = []
        for _ in 0..<100 { waits.append(backoff.next(using: &chance)) }
        // 100 ms × 1.6 each time: 160, 256, 409.6, …, and then 5 s.
        for (index, middle) in [(1, 160), (2, 256), (3, 409.6), (8, 4_294.967_296), (9, 5_000), (99, 5_000)] as [(Int, Double)] {
            #expect(abs(waits[index].inMilliseconds / middle - 1) <= 0.2, "\(index)")
        }
        backoff.reset()
        #expect(backoff.next(using: &chance) <= .milliseconds(120))
        var none = Backoff(first: .zero, limit: .zero)
        #expect(none.next(using: &chance) == .zero)
    }
}
