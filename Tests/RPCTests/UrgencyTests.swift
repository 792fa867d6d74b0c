import MastRPC
import MastTimebase
import MastTransport
import Testing

/// A call's urgency: on the wire, and what it does to requests and answers.
@Suite struct UrgencyTests {
    private static let get = Unary<Line, ByteString>("test.v1.Large/get", .readOnly)
    private static let put = Unary<ByteString, Line>("test.v1.Large/put", .readOnly)
    private static let size = 800_000

    private func server(_ journal: Journal<String> = Journal()) -> RPCServer {
        RPCServer {
            Self.get.handle { line, context in
                // Until all have come.
                try await context.connection.host.sleep(for: .milliseconds(200))
                return ByteString([UInt8](repeating: 7, count: line.number))
            }
            Self.put.handle { bytes in
                journal.add(bytes.bytes.first.map { "\($0)" } ?? "")
                return Line(text: "")
            }
        }
    }

    /// The two that are not pressing begin first, and fill the path.
    @Test func anAnswerIsAsUrgentAsItsCall() throws {
        let journal = Journal<String>()
        try World().pair(server()) { client, _, _ in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                for urgency in [Urgency.bulk, .standard, .urgent] {
                    group.addTask {
                        let answer = try? await client.call(Self.get, Line(text: "", number: Self.size), options: CallOptions(urgency: urgency))
                        #expect(answer?.count == Self.size)
                        journal.add(urgency.rawValue)
                    }
                }
            }
        }
        #expect(journal.all == ["urgent", "standard", "bulk"])
    }

    @Test func aRequestLeavesByItsUrgency() throws {
        let journal = Journal<String>()
        try World().pair(server(journal)) { client, _, _ in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                for (number, urgency) in [(3, .bulk), (2, .standard), (1, .urgent)] as [(UInt8, Urgency)] {
                    group.addTask {
                        let bytes = ByteString([UInt8](repeating: number, count: Self.size))
                        _ = try? await client.call(Self.put, bytes, options: CallOptions(urgency: urgency))
                    }
                }
            }
        }
        #expect(journal.all == ["1", "2", "3"])
    }

    /// Nobody asked for anything: a small answer behind three large ones comes before their ends.
    @Test func aSmallAnswerPassesLargeOnes() throws {
        let journal = Journal<Int>()
        try World().pair(server()) { client, _, _ in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                for count in [Self.size, Self.size, Self.size, 100] {
                    group.addTask {
                        _ = try? await client.call(Self.get, Line(text: "", number: count))
                        journal.add(count)
                    }
                }
            }
        }
        #expect(journal.all.first == 100 && journal.count == 4)
    }

    @Test func theHeaderSaysItWhereItIsNotTheUsual() throws {
        let limits = EnvelopeLimits()
        var header = RequestHeader(method: 0x0102_0304, codec: .json, semantics: .atMostOnce)
        let plain: [UInt8] = [1, 0, 1, 2, 3, 4, 2, 2]
        #expect(header.encode() == plain)
        for (urgency, number) in [(.urgent, 1), (.bulk, 5)] as [(Urgency, UInt8)] {
            header.urgency = urgency
            #expect(header.encode() == [1, 8, 1, 2, 3, 4, 2, 2, number])
            #expect(try RequestHeader(decoding: header.encode()[...], limits: limits) == header)
        }
        // Behind all that came before it: who does not know it passes it over, as we pass over what is behind it.
        header.metadata = ["a": "b"]
        #expect(header.encode() == [1, 10, 1, 2, 3, 4, 2, 2, 1, 1, 0x61, 1, 0x62, 5])
        #expect(try RequestHeader(decoding: (header.encode() + [9, 9])[...], limits: limits) == header)
        #expect(throws: EnvelopeViolation.self) { try RequestHeader(decoding: header.encode().dropLast(), limits: limits) }
        // RFC 9218's numbers, and any other.
        for (number, urgency) in [(0, .urgent), (2, .urgent), (3, .standard), (4, .bulk), (7, .bulk), (255, .bulk)] as [(UInt8, Urgency)] {
            let bytes: [UInt8] = [1, 8, 1, 2, 3, 4, 2, 2, number]
            #expect(try RequestHeader(decoding: bytes[...], limits: limits).urgency == urgency)
        }
        // The longest without metadata: its length is one byte, which holds up to 63.
        header.metadata = [:]
        header.id = CallID(session: SessionID(high: .max, low: .max), sequence: 1 << 62 - 1)
        (header.attempt, header.earlierIncarnation) = (.max, .max)
        #expect(header.encode().count == 57)
    }
}
