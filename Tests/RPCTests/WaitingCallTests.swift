import MastRPC
import MastTimebase
import MastTransport
import Testing

private let busy = Unary<Line, Line>("test.v1.Busy/busy", .readOnly)
private let once = Unary<Line, Line>("test.v1.Busy/once")
private let upload = Unary<ByteString, Line>("test.v1.Busy/upload", .readOnly)

/// Calls beyond what may run at once wait their turn.
@Suite struct WaitingCallTests {
    /// Handlers take `interval` and note what they were given; "for ever" ends only with the call.
    private func server(_ journal: Journal<String> = Journal(), takes interval: Interval, slots: Int? = nil) -> RPCServer {
        @Sendable func work(_ line: Line, _ context: CallContext) async throws -> Line {
            journal.add(line.text)
            try await context.connection.host.sleep(for: line.text == "for ever" ? .seconds(3_000) : interval)
            return line
        }
        var limits = RPCServer.Limits()
        if let slots { limits.maxConcurrentCalls = slots }
        return RPCServer(limits: limits) {
            busy.handle(work)
            once.handle(work)
            upload.handle { bytes in Line(text: "", number: bytes.count) }
        }
    }

    /// `count` calls at once; how many of them failed.
    private func burst(_ count: Int, _ client: RPCClient, _ text: String = "", deadline: Interval = .seconds(30)) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for number in 0..<count {
                group.addTask {
                    let options = CallOptions(deadline: .in(deadline), maxAttempts: 1)
                    return await failure { _ = try await client.call(busy, Line(text: text, number: number), options: options) } != nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
    }

    @Test func twoThousandCallsAtOnceOfOneClientAreAllAnswered() throws {
        let journal = Journal<String>()
        try World().pair(server(journal, takes: .milliseconds(50))) { client, _, there in
            let failed = await self.burst(2_000, client)
            #expect(failed == 0)
            #expect(there.host.statistics.refused == 0 && there.host.statistics.waitingCalls == 0)
        }
        #expect(journal.count == 2_000)
    }

    @Test func callsBeyondTheSlotsWaitAndRunInTheirOrder() throws {
        let journal = Journal<String>()
        try World().pair(server(journal, takes: .seconds(1), slots: 1)) { client, here, there in
            try await client.connect()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<5 {
                    group.addTask { _ = try await client.call(once, Line(text: "\(number)")) }
                    try await here.host.sleep(for: .milliseconds(10))
                }
                try await here.host.sleep(for: .milliseconds(100))
                #expect(there.host.statistics.runningHandlers == 1 && there.host.statistics.waitingCalls == 4)
                try await group.waitForAll()
            }
        }
        #expect(journal.all == ["0", "1", "2", "3", "4"])
    }

    @Test func aCallWhoseDeadlinePassesWhileItWaitsNeverRuns() throws {
        let journal = Journal<String>()
        try World().pair(server(journal, takes: .seconds(5), slots: 1)) { client, here, there in
            async let first = client.call(once, Line(text: "first"))
            try await here.host.sleep(for: .milliseconds(200))
            let error = await failure { _ = try await client.call(once, Line(text: "late"), options: CallOptions(deadline: .in(.seconds(2)))) }
            #expect(error?.code == .deadlineExceeded)
            try await here.host.sleep(for: .milliseconds(100))
            #expect(there.host.statistics.waitingCalls == 0)
            do { let value = try await first.text; #expect(value == "first") }
            try await here.host.sleep(for: .seconds(1))
        }
        #expect(journal.all == ["first"])
    }

    @Test func aCallWithoutADeadlineWaitsAMinuteAndIsToldToComeAgain() throws {
        try World().pair(server(takes: .seconds(3_000), slots: 1)) { client, here, there in
            let connection = try await client.connect()
            client.keepAlive(every: .seconds(5))
            var opening: [UInt8] = []
            FrameReader.append(FrameKind.header, RequestHeader(method: methodID(busy.path), codec: .json, semantics: .readOnly).encode(), to: &opening)
            FrameReader.append(FrameKind.message, Array(#"{"text":"for ever","number":0}"#.utf8), to: &opening)
            let request = opening
            let streams = here.host.withEndpoint { endpoint, now in
                (0..<2).compactMap { _ in
                    endpoint.openStream(connection.handle, deadline: nil, at: now).map { stream in
                        _ = endpoint.write(connection.handle, stream, request[...], fin: true, at: now)
                        return stream
                    }
                }
            }
            try await here.host.sleep(for: .seconds(59))
            #expect(there.host.statistics.waitingCalls == 1)
            try await here.host.sleep(for: .seconds(2))
            #expect(there.host.statistics.waitingCalls == 0)
            let answer = here.host.withEndpoint { endpoint, now in
                var bytes: [UInt8] = []
                _ = endpoint.read(connection.handle, streams[1], into: &bytes, at: now)
                return bytes
            }
            var reader = FrameReader(limits: EnvelopeLimits())
            reader.fill { $0 += answer }
            let frame = try #require(try reader.next())
            let trailer = try Trailer(decoding: frame.payload, limits: EnvelopeLimits())
            #expect(trailer.code == .resourceExhausted && trailer.effect == .none && trailer.retryAfter != nil)
        }
    }

    @Test func handlersThatNeverEndOnTwoConnectionsLeaveRoomForOthers() throws {
        let world = World()
        let there = world.node(1)
        let hoarders = [world.node(2), world.node(3)]
        let (neighbour, stranger) = (world.node(4), world.node(5, network: 0x0A00_0005))
        let server = server(takes: .milliseconds(100))
        try world.time.run(limit: .seconds(300)) {
            try await serving(there.host, server) {
                await withTaskGroup(of: Void.self) { group in
                    for hoarder in hoarders {
                        let client = hoarder.host.client(to: there.address, peerKey: there.host.publicKey)
                        group.addTask { _ = await self.burst(1_500, client, "for ever", deadline: .seconds(3_000)) }
                    }
                    try? await there.host.sleep(for: .seconds(2))
                    #expect(there.host.statistics.runningHandlers > 1_000)
                    for bystander in [neighbour, stranger] {
                        let client = bystander.host.client(to: there.address, peerKey: there.host.publicKey)
                        let start = there.host.now()
                        let failed = await self.burst(10, client)
                        #expect(failed == 0)
                        #expect(there.host.now() - start < .milliseconds(500))
                    }
                    group.cancelAll()
                }
            }
        }
    }

    @Test func aWaitingCallWhoseConnectionIsLostRunsOnceWithItsNextAttempt() throws {
        let journal = Journal<String>()
        try World().pair(server(journal, takes: .seconds(2), slots: 1)) { client, here, there in
            async let first = client.call(once, Line(text: "a"))
            try await here.host.sleep(for: .milliseconds(100))
            async let second = client.call(once, Line(text: "b"))
            try await here.host.sleep(for: .milliseconds(100))
            #expect(there.host.statistics.waitingCalls == 1)
            client.close()
            do {
                let values = try await [first.text, second.text]
                #expect(values == ["a", "b"])
            }
            #expect(there.host.statistics.waitingCalls == 0 && there.host.statistics.runningHandlers == 0)
        }
        #expect(journal.all == ["a", "b"])
    }

    @Test func cancellingAWaitingCallTakesItOutOfTheQueue() throws {
        let journal = Journal<String>()
        try World().pair(server(journal, takes: .seconds(2), slots: 1)) { client, here, there in
            async let first = client.call(once, Line(text: "a"))
            try await here.host.sleep(for: .milliseconds(100))
            await withTaskGroup(of: Void.self) { group in
                group.addTask { _ = await failure { _ = try await client.call(once, Line(text: "b")) } }
                try? await here.host.sleep(for: .milliseconds(100))
                group.cancelAll()
            }
            try await here.host.sleep(for: .milliseconds(50))
            #expect(there.host.statistics.waitingCalls == 0)
            _ = try await first
            do { let value = try await client.call(once, Line(text: "c")).text; #expect(value == "c") }
        }
        #expect(journal.all == ["a", "c"])
    }

    @Test func drainingRefusesCallsThatWait() throws {
        let world = World()
        let (here, there) = (world.node(2), world.node(1))
        let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
        let server = server(takes: .seconds(2), slots: 1)
        try world.time.run(limit: .seconds(60)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await there.host.serve(server) }
                group.addTask { _ = try await client.call(once, Line(text: "runs")) }
                try await here.host.sleep(for: .milliseconds(200))
                group.addTask {
                    let error = await failure { _ = try await client.call(once, Line(text: "waits"), options: CallOptions(maxAttempts: 1)) }
                    #expect(error?.code == .unavailable && error?.effect == Effect.none)
                    #expect(there.host.now() < Instant.zero + .seconds(1))
                }
                try await here.host.sleep(for: .milliseconds(200))
                group.addTask { await there.host.drain(grace: .seconds(10)) }
                try await group.waitForAll()
            }
        }
    }

    @Test func largeRequestsOfOneConnectionAllArriveAndSmallCallsPassThem() throws {
        let world = World(delay: .milliseconds(5))
        let configure: (inout HostConfiguration) -> Void = { configuration in
            configuration.envelope.messageBytes = 128 << 10
            configuration.transport.streamWindow = 32 << 10
            configuration.transport.connectionWindow = 128 << 10
            configuration.transport.shelfWindow = 256 << 10
            configuration.transport.assemblyWindow = 0
        }
        let (here, there) = (world.node(2, configure), world.node(1, configure))
        let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
        let server = server(takes: .zero)
        try world.time.run(limit: .seconds(120)) {
            try await serving(there.host, server) {
                try await client.connect()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<100 {
                        group.addTask {
                            let answer = try await client.call(upload, ByteString([UInt8](repeating: 1, count: 90_000)))
                            #expect(answer.number == 90_000)
                        }
                    }
                    for _ in 0..<10 {
                        let start = here.host.now()
                        _ = try await client.call(busy, Line(text: "small"))
                        #expect(here.host.now() - start < .milliseconds(500))
                    }
                    try await group.waitForAll()
                }
            }
        }
    }
}
