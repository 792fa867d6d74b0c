import MastRPC
import MastTimebase
import MastTransport
import Testing

/// Calls that nobody waits for any more: nothing of them is sent, and what is said of their effect stays true.
@Suite struct ExpiredCallTests {
    private static let get = Unary<Line, ByteString>("test.v1.Expired/get", .readOnly)
    private static let put = Unary<ByteString, Line>("test.v1.Expired/put")
    private static let gather = ClientStream<ByteString, Line>("test.v1.Expired/gather")
    /// Less than a stream's buffer: the transport has all of it at once.
    private static let size = 900_000

    private func server(_ journal: Journal<String> = Journal()) -> RPCServer {
        RPCServer {
            Self.get.handle { line in
                journal.add("get")
                return ByteString([UInt8](repeating: 7, count: line.number))
            }
            Self.put.handle { _ in
                journal.add("put")
                return Line(text: "")
            }
            Self.gather.handle { requests in
                do {
                    for try await _ in requests { journal.add("piece") }
                    journal.add("end")
                } catch {
                    journal.add("cut")
                    throw error
                }
                return Line(text: "")
            }
            Echo.say.handle { $0 }
        }
    }

    private func large(_ count: Int = Self.size) -> ByteString { ByteString([UInt8](repeating: 7, count: count)) }

    @Test func aRequestThatWaitedTooLongIsNotSent() throws {
        let journal = Journal<String>()
        let world = World()
        let request = large()
        try world.pair(server(journal)) { client, here, there in
            try await client.connect()
            world.wire.setLoss(.always)
            let before = client.connectionStatistics?.bytesSent ?? 0
            let error = await failure {
                _ = try await client.call(Self.put, request, options: CallOptions(deadline: .in(.milliseconds(500))))
            }
            // Nobody here can know.
            #expect(error?.code == .deadlineExceeded && error?.cause == .deadline && error?.effect == .unknown)
            world.wire.setLoss(.never)
            try await here.host.sleep(for: .seconds(5))
            let statistics = client.connectionStatistics
            #expect((statistics?.expiredBytes ?? 0) > 850_000 && (statistics?.bytesSent ?? 0) - before < 40_000)
            #expect(statistics?.bytesInFlight == 0 && there.host.statistics.runningHandlers == 0)
            let start = here.host.now()
            let answer = try await client.call(Echo.say, Line(text: "next"))
            #expect(answer.text == "next" && here.host.now() - start < .milliseconds(25))
        }
        #expect(journal.all.isEmpty)
    }

    /// By then the client's packets are lost and found again: what was lost goes no more.
    @Test func aRequestIsCutInTheMiddleAndItsHandlerNeverRuns() throws {
        let journal = Journal<String>()
        let request = large()
        try World(seed: 3, loss: 0.05).pair(server(journal)) { client, here, there in
            try await client.connect()
            let error = await failure {
                _ = try await client.call(Self.put, request, options: CallOptions(deadline: .in(.milliseconds(60))))
            }
            #expect(error?.code == .deadlineExceeded && error?.effect == .unknown)
            try await here.host.sleep(for: .seconds(2))
            let statistics = client.connectionStatistics
            #expect((statistics?.expiredBytes ?? 0) > 400_000 && (statistics?.bytesSent ?? 0) < 500_000)
            #expect(there.host.statistics.runningHandlers == 0)
        }
        #expect(journal.all.isEmpty)
    }

    @Test func anAnswerThatNobodyWaitsForIsCut() throws {
        let journal = Journal<String>()
        try World().pair(server(journal)) { client, here, _ in
            try await client.connect()
            let error = await failure {
                _ = try await client.call(
                    Self.get, Line(text: "", number: Self.size), options: CallOptions(deadline: .in(.milliseconds(80))))
            }
            #expect(error?.code == .deadlineExceeded && error?.effect == Effect.none)
            let before = client.connectionStatistics?.bytesReceived ?? 0
            try await here.host.sleep(for: .seconds(2))
            let after = client.connectionStatistics?.bytesReceived ?? 0
            // What was under way: at most the window, which has doubled a few times.
            #expect(before > 20_000 && after - before < 300_000 && after < 600_000, "\(before), \(after)")
        }
        #expect(journal.all == ["get"])
    }

    /// Its handler is done, and all of the answer with the transport, when the caller leaves.
    @Test func anAnswerWhoseCallerLeftIsCut() throws {
        try World().pair(server()) { client, here, _ in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = await failure { _ = try await client.call(Self.get, Line(text: "", number: Self.size)) } }
                try? await here.host.sleep(for: .milliseconds(80))
                group.cancelAll()
            }
            try await here.host.sleep(for: .seconds(2))
            let received = client.connectionStatistics?.bytesReceived ?? 0
            #expect(received > 20_000 && received < 600_000, "\(received)")
        }
    }

    @Test func aRequestWhoseCallerLeftIsCut() throws {
        let journal = Journal<String>()
        let request = large()
        try World().pair(server(journal)) { client, here, _ in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let error = await failure { _ = try await client.call(Self.put, request) }
                    #expect(error?.code == .cancelled && error?.effect == .unknown)
                }
                try? await here.host.sleep(for: .milliseconds(50))
                group.cancelAll()
            }
            try await here.host.sleep(for: .seconds(2))
            let sent = client.connectionStatistics?.bytesSent ?? 0
            #expect(sent > 20_000 && sent < 500_000, "\(sent)")
        }
        #expect(journal.all.isEmpty)
    }

    /// A stream of requests that is cut does not look like one that has ended.
    @Test func aHandlerIsNotToldThatItsRequestsHaveEnded() throws {
        let journal = Journal<String>()
        let (piece, rest) = (large(1_000), large())
        try World().pair(server(journal)) { client, here, _ in
            try await client.connect()
            let error = await failure {
                _ = try await client.stream(Self.gather, options: CallOptions(deadline: .in(.milliseconds(60)))) { writer in
                    try await writer.send(piece)
                    try await writer.send(rest)
                }
            }
            #expect(error?.code == .deadlineExceeded && error?.effect == .unknown)
            try await here.host.sleep(for: .seconds(2))
        }
        #expect(journal.all == ["piece", "cut"])
    }

    /// A caller that waits for longer than it said: its answer would have come too late, and a reset says so.
    @Test func anAnswerBehindTheDeadlineIsAReset() throws {
        try World().pair(Echo.server()) { client, here, _ in
            let connection = try await client.connect()
            var opening: [UInt8] = []
            FrameReader.append(FrameKind.header, RequestHeader(method: methodID(Echo.chat.path), codec: .json, semantics: .readOnly).encode(), to: &opening)
            let request = opening
            let stream = here.host.withEndpoint { endpoint, now in
                let stream = endpoint.openStream(connection.handle, deadline: now + .milliseconds(300), at: now)
                if let stream { _ = endpoint.write(connection.handle, stream, request[...], fin: false, at: now) }
                return stream
            }
            let opened = try #require(stream)
            try await here.host.sleep(for: .seconds(1))
            let state = here.host.withEndpoint { endpoint, now in
                var bytes: [UInt8] = []
                return endpoint.read(connection.handle, opened, into: &bytes, at: now)
            }
            #expect(state == .reset(code: CallResetCode.deadline))
        }
    }

    /// Callers that leave without a word: what they asked for is given up at their deadlines, by the handler and by what it wrote.
    @Test func nothingStaysOfAnswersWhoseDeadlinePassed() throws {
        let server = RPCServer {
            Echo.blob.handle { _, writer in try await writer.send(ByteString([UInt8](repeating: 7, count: 2_000_000))) }
            Echo.say.handle { $0 }
        }
        try World().pair(server, limit: .seconds(1_000)) { client, here, there in
            let connection = try await client.connect()
            var opening: [UInt8] = []
            FrameReader.append(FrameKind.header, RequestHeader(method: methodID(Echo.blob.path), codec: .json, semantics: .readOnly).encode(), to: &opening)
            FrameReader.append(FrameKind.message, Array(#"{"number":0,"text":""}"#.utf8), to: &opening)
            let request = opening
            for _ in 0..<40 {
                let opened = here.host.withEndpoint { endpoint, now in
                    guard let stream = endpoint.openStream(connection.handle, deadline: now + .milliseconds(60), at: now) else { return false }
                    return endpoint.write(connection.handle, stream, request[...], fin: true, at: now) == request.count
                }
                #expect(opened)
                try await here.host.sleep(for: .milliseconds(300))
            }
            // What the transport had of some of them waited for credit, up to the next look at that.
            try await here.host.sleep(for: .seconds(15))
            #expect(there.host.statistics.served == 40 && there.host.statistics.unreadBytes < 10_000, "\(there.host.statistics)")
            let answer = try await client.call(Echo.say, Line(text: "next"))
            #expect(answer.text == "next")
        }
    }

    /// A server grants an hour. Its caller, who would wait for two, hears that the time is over, and does not ask again.
    @Test func aDeadlineBeyondAnHourEndsWithTheHour() throws {
        let journal = Journal<String>()
        let put = Unary<Line, Line>("test.v1.Expired/long", .idempotent)
        let server = RPCServer {
            put.handle { line, context in
                journal.add("put")
                try await context.connection.host.sleep(for: .seconds(4_000))
                return line
            }
        }
        try World().pair(server, limit: .seconds(10_000)) { client, here, _ in
            let start = here.host.now()
            let error = await failure { _ = try await client.call(put, Line(text: ""), options: CallOptions(deadline: .in(.seconds(7_200)))) }
            #expect(error?.code == .deadlineExceeded && error?.effect == .unknown, "\(String(describing: error))")
            #expect((here.host.now() - start).magnitude < .seconds(3_700))
        }
        #expect(journal.all == ["put"])
    }
}
