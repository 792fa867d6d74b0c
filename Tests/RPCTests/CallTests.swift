import MastRPC
import MastTimebase
import MastTransport
import Testing

@Suite struct CallTests {
    @Test func aUnaryCallReturnsItsResponseInOneRoundTripOnceConnected() throws {
        let elapsed = try World().pair(Echo.server()) { client, here, _ in
            try await client.connect()
            let start = here.host.now()
            let answer = try await client.call(Echo.say, Line(text: "hello", number: 7))
            #expect(answer == Line(text: "hello", number: 7))
            return here.host.now() - start
        }
        #expect(elapsed >= .milliseconds(20) && elapsed < .milliseconds(25))
    }

    @Test func anErrorTravelsWithCodeEffectDetailAndMetadata() throws {
        let fail = Unary<Nothing, Nothing>("test.v1.Errors/fail")
        let server = RPCServer {
            fail.handle { _ in
                throw RPCError(
                    .failedPrecondition, "nicht möglich 🚫\n", effect: .committed, retryAfter: .seconds(3), detail: ByteString([1, 2]),
                    metadata: ["Why": "because"])
            }
        }
        let error = try World().pair(server) { client, _, _ in
            await failure { _ = try await client.call(fail, Nothing()) }
        }
        #expect(error?.code == .failedPrecondition)
        #expect(error?.message == "nicht möglich 🚫\n")
        #expect(error?.effect == .committed)
        #expect(error?.retryAfter == .seconds(3))
        #expect(error?.detail == ByteString([1, 2]))
        #expect(error?.metadata["why"] == "because")
        #expect(error?.cause == .remote)
    }

    @Test func unknownMethodsAndFailingHandlersSayWhatTookEffect() throws {
        struct Broken: Error {}
        let broken = Unary<Nothing, Nothing>("test.v1.Errors/broken")
        let brokenRead = Unary<Nothing, Nothing>("test.v1.Errors/brokenRead", .readOnly)
        let missing = Unary<Nothing, Nothing>("test.v1.Errors/missing")
        let server = RPCServer {
            broken.handle { _ in throw Broken() }
            brokenRead.handle { _ in throw Broken() }
        }
        try World().pair(server) { client, _, _ in
            let first = await failure { _ = try await client.call(missing, Nothing()) }
            #expect(first?.code == .unimplemented && first?.effect == Effect.none)
            let second = await failure { _ = try await client.call(broken, Nothing()) }
            #expect(second?.code == .unknown && second?.effect == .unknown)
            let third = await failure { _ = try await client.call(brokenRead, Nothing()) }
            #expect(third?.code == .unknown && third?.effect == Effect.none)
        }
    }

    @Test func aRequestOfTheWrongShapeIsAnInvalidArgumentWithoutEffect() throws {
        let mistyped = Unary<Nothing, Line>("test.v1.Echo/say", .readOnly)
        let error = try World().pair(Echo.server()) { client, _, _ in
            await failure { _ = try await client.call(mistyped, Nothing()) }
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.message.contains("text") == true)
        #expect(error?.effect == Effect.none)
    }

    @Test func allFourKindsWorkOverALossyWire() throws {
        try World(seed: 5, loss: 0.05).pair(Echo.server()) { client, _, _ in
            let numbers = try await client.stream(Echo.count, Line(text: "n", number: 500)) { lines in
                var numbers: [Int] = []
                for try await line in lines { numbers.append(line.number) }
                return numbers
            }
            #expect(numbers == Array(0..<500))
            let sum: Line = try await client.stream(Echo.sum) { writer in
                for number in 1...300 { try await writer.send(Line(text: "", number: number)) }
            }
            #expect(sum.number == 45_150)
            let echoed = try await client.stream(Echo.chat) { writer, lines in
                var echoed: [Int] = []
                var iterator = lines.makeAsyncIterator()
                for number in 0..<20 {
                    try await writer.send(Line(text: "", number: number))
                    if let line = try await iterator.next() { echoed.append(line.number) }
                }
                writer.finish()
                do { let value = try await iterator.next(); #expect(value == nil) }
                return echoed
            }
            #expect(echoed == Array(0..<20))
        }
    }

    @Test func aSlowConsumerHoldsTheHandlerBack() throws {
        let journal = Journal<Int>()
        let chunk = ByteString([UInt8](repeating: 7, count: 64 << 10))
        let server = RPCServer {
            Echo.blob.handle { _, writer in
                for index in 0..<400 {
                    try await writer.send(chunk)
                    journal.add(index)
                }
            }
        }
        try World(delay: .milliseconds(1)).pair(server) { client, here, _ in
            try await client.stream(Echo.blob, Line(text: "")) { chunks in
                var iterator = chunks.makeAsyncIterator()
                _ = try await iterator.next()
                try await here.host.sleep(for: .seconds(5))
                // One stream window, one send buffer, one inbox: 2.25 MiB of 25.
                #expect(journal.count > 10 && journal.count < 45)
                var count = 1
                while try await iterator.next() != nil { count += 1 }
                #expect(count == 400)
            }
        }
    }

    @Test func largeMessagesPassAndTooLargeOnesAreRefusedBeforeSending() throws {
        let blob = Unary<ByteString, ByteString>("test.v1.Blob/same", .readOnly)
        try World(delay: .milliseconds(1)).pair(RPCServer { blob.handle { $0 } }) { client, _, _ in
            let large = ByteString((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            do { let value = try await client.call(blob, large); #expect(value == large) }
            let error = await failure { _ = try await client.call(blob, ByteString([UInt8](repeating: 0, count: 5 << 20))) }
            #expect(error?.code == .resourceExhausted && error?.cause == .tooLarge && error?.effect == Effect.none)
        }
    }

    @Test func metadataReachesTheHandlerAndSoDoesTheCallersKey() throws {
        let who = Unary<Nothing, Line>("test.v1.Who/who", .readOnly)
        let server = RPCServer {
            who.handle { _, context in Line(text: "\(context.metadata["token"] ?? "-") \(context.peerKey) \(context.method)") }
        }
        try World().pair(server) { client, here, _ in
            let answer = try await client.call(who, Nothing(), options: CallOptions(metadata: ["Token": "t"]))
            #expect(answer.text == "t \(here.host.publicKey) test.v1.Who/who")
        }
    }

    @Test func authorizationRefusesBeforeTheHandlerRunsButNotTheBuiltInMethods() throws {
        let journal = Journal<String>()
        let server = RPCServer(authorize: { context in
            if context.method.hasSuffix("add") { throw RPCError(.permissionDenied, "operators only", effect: .none) }
        }) {
            Echo.add.handle { line in
                journal.add(line.text)
                return line
            }
        }
        try World().pair(server) { client, _, _ in
            let error = await failure { _ = try await client.call(Echo.add, Line(text: "x")) }
            #expect(error?.code == .permissionDenied && journal.count == 0)
            do { let value = try await client.call(Health.check, Nothing()).serving; #expect(value) }
        }
    }

    @Test func aServerCallsBackOverTheConnectionItsClientMade() throws {
        let world = World()
        let back = Unary<Nothing, Line>("test.v1.Back/back", .readOnly)
        let there = RPCServer {
            back.handle { _, context in
                try await context.connection.client.call(Echo.say, Line(text: "from the server"))
            }
        }
        try world.pair(there) { client, here, _ in
            try await serving(here.host, Echo.server()) {
                do { let value = try await client.call(back, Nothing()).text; #expect(value == "from the server") }
            }
        }
    }

    @Test func pingConnectAndKeyQueryAnswer() throws {
        let world = World(delay: .milliseconds(15))
        let (here, there) = (world.node(2), world.node(1))
        try world.time.run(limit: .seconds(30)) {
            let key = try await here.host.peerKey(of: there.address)
            #expect(key == there.host.publicKey)
            let client = here.host.client(to: there.address, peerKey: key)
            do { let value = try await client.ping(); #expect(value >= .milliseconds(30)) }
            let connection = try await client.connect()
            #expect(connection.handshakeHash.count == 32)
            #expect(there.host.connections.first?.handshakeHash == connection.handshakeHash)
            #expect(connection.incarnation == there.host.incarnation)
            let nobody = here.host.client(to: World.address(9), peerKey: key)
            let error = await failure { _ = try await nobody.ping(within: .seconds(2)) }
            #expect(error?.cause == .unreachable)
        }
    }

    @Test func aTraceTellsWhatHappenedWhen() throws {
        try World().pair(Echo.server()) { client, _, there in
            let trace = CallTrace()
            _ = try await client.call(Echo.say, Line(text: ""), options: CallOptions(trace: trace))
            let timeline = trace.timeline
            #expect(timeline.attempts == 1 && timeline.servedBy == there.host.publicKey)
            let (started, connected) = (try #require(timeline.started), try #require(timeline.connected))
            let (first, done) = (try #require(timeline.firstByte), try #require(timeline.done))
            #expect(started < connected && connected < first && first <= done)
        }
    }

    @Test func drainingLetsRunningCallsFinishAndRefusesNewOnes() throws {
        let slow = Unary<Nothing, Nothing>("test.v1.Slow/slow", .readOnly)
        let world = World()
        let (here, there) = (world.node(2), world.node(1))
        let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
        let server = RPCServer {
            slow.handle { _, context in
                try await context.connection.host.sleep(for: .seconds(2))
                return Nothing()
            }
        }
        try world.time.run(limit: .seconds(60)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await there.host.serve(server) }
                group.addTask { _ = try await client.call(slow, Nothing()) }
                try await here.host.sleep(for: .seconds(1))
                group.addTask { await there.host.drain(grace: .seconds(10)) }
                try await here.host.sleep(for: .milliseconds(100))
                let error = await failure { _ = try await client.call(slow, Nothing(), options: CallOptions(maxAttempts: 1)) }
                #expect(error?.code == .unavailable && error?.effect == Effect.none)
                try await group.waitForAll()
            }
            #expect(there.host.now() < Instant.zero + .seconds(4))
        }
    }
}
