import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Testing

/// Answers after a while; counts how often it began and how it ended.
private enum Slow {
    static let read = Unary<Line, Line>("test.v1.Slow/read", .readOnly)
    static let add = Unary<Line, Line>("test.v1.Slow/add")
    static let watch = ServerStream<Line, Line>("test.v1.Slow/watch", .readOnly)

    static func server(_ journal: Journal<String>, takes interval: Interval = .milliseconds(500)) -> RPCServer {
        @Sendable func work(_ line: Line, _ context: CallContext) async throws -> Line {
            journal.add("begin \(line.text)")
            do { try await context.connection.host.sleep(for: interval) } catch {
                journal.add("cancelled \(line.text)")
                throw error
            }
            journal.add("end \(line.text)")
            return line
        }
        return RPCServer {
            read.handle(work)
            add.handle(work)
            watch.handle { line, writer, context in
                do {
                    while true {
                        try await writer.send(line)
                        try await context.connection.host.sleep(for: interval)
                    }
                } catch {
                    journal.add("watch ended")
                    throw error
                }
            }
        }
    }
}

@Suite struct FailureTests {
    @Test func aDeadlineFiresOnTimeWhenEverythingIsLost() throws {
        let world = World()
        try world.pair(Slow.server(Journal())) { client, here, _ in
            try await client.connect()
            world.wire.setLoss(.always)
            let start = here.host.now()
            let error = await failure {
                _ = try await client.call(Slow.add, Line(text: "x"), options: CallOptions(deadline: .in(.milliseconds(1_234))))
            }
            #expect(error?.code == .deadlineExceeded && error?.cause == .deadline && error?.effect == .unknown)
            #expect(here.host.now() - start == .milliseconds(1_234))
            let read = await failure {
                _ = try await client.call(Slow.read, Line(text: "x"), options: CallOptions(deadline: .in(.milliseconds(10))))
            }
            #expect(read?.effect == Effect.none)
        }
    }

    @Test func aCallThatNeverFoundAConnectionHadNoEffect() throws {
        let world = World(loss: 1)
        try world.pair(Slow.server(Journal())) { client, _, _ in
            let waited = await failure {
                _ = try await client.call(Slow.add, Line(text: "x"), options: CallOptions(deadline: .in(.seconds(3))))
            }
            #expect(waited?.code == .deadlineExceeded && waited?.cause == .unreachable && waited?.effect == Effect.none)
            let fast = await failure { _ = try await client.call(Slow.add, Line(text: "x"), options: CallOptions(failFast: true)) }
            #expect(fast?.code == .unavailable && fast?.cause == .unreachable && fast?.effect == Effect.none)
        }
    }

    @Test func aCallWaitsForAServerThatComesLater() throws {
        let world = World()
        let here = world.node(2)
        let key = World(seed: 1).node(1).host.publicKey
        let client = here.host.client(to: World.address(1), peerKey: key)
        try world.time.run(limit: .seconds(60)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    do { let value = try await client.call(Echo.say, Line(text: "early")).text; #expect(value == "early") }
                    #expect(here.host.now() > Instant.zero + .seconds(4))
                }
                try await here.host.sleep(for: .seconds(4))
                let there = world.node(1)
                #expect(there.host.publicKey == key)
                try await serving(there.host, Echo.server()) { try await here.host.sleep(for: .seconds(8)) }
                group.cancelAll()
            }
        }
    }

    @Test func innerCallsInheritTheDeadlineLessATwentieth() throws {
        let world = World(delay: .milliseconds(1))
        let far = world.node(3)
        let inner = Unary<Nothing, Line>("test.v1.Inner/inner", .readOnly)
        let outer = Unary<Nothing, Line>("test.v1.Outer/outer", .readOnly)
        let farServer = RPCServer {
            inner.handle { _, context in
                Line(text: "left", number: Int(((context.deadline ?? .distantFuture) - context.connection.host.now()).milliseconds))
            }
        }
        let server = RPCServer {
            outer.handle { _, context in
                let client = context.connection.host.client(to: far.address, peerKey: far.host.publicKey)
                return try await client.call(inner, Nothing(), options: CallOptions(deadline: .in(.seconds(60))))
            }
        }
        try world.pair(server) { client, _, _ in
            try await serving(far.host, farServer) {
                let answer = try await client.call(outer, Nothing(), options: CallOptions(deadline: .in(.seconds(10))))
                #expect(answer.number > 9_300 && answer.number <= 9_500)
            }
        }
    }

    @Test func cancellingACallCancelsItsHandler() throws {
        let journal = Journal<String>()
        try World().pair(Slow.server(journal, takes: .seconds(20))) { client, here, there in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let error = await failure { _ = try await client.call(Slow.add, Line(text: "a")) }
                    #expect(error?.code == .cancelled && error?.effect == .unknown)
                }
                try? await here.host.sleep(for: .seconds(1))
                group.cancelAll()
            }
            try await here.host.sleep(for: .milliseconds(100))
            #expect(journal.all == ["begin a", "cancelled a"])
            #expect(there.host.statistics.runningHandlers == 0)
        }
    }

    @Test func leavingAStreamEarlyEndsItsHandler() throws {
        let journal = Journal<String>()
        try World().pair(Slow.server(journal)) { client, here, _ in
            try await client.stream(Slow.watch, Line(text: "w")) { lines in
                for try await _ in lines { break }
            }
            try await here.host.sleep(for: .seconds(1))
            #expect(journal.all == ["watch ended"])
        }
    }

    @Test func aHandlerIsCancelledAtItsCallsDeadline() throws {
        let journal = Journal<String>()
        let world = World()
        try world.pair(Slow.server(journal, takes: .seconds(20))) { client, here, _ in
            try await client.connect()
            _ = await failure { _ = try await client.call(Slow.add, Line(text: "d"), options: CallOptions(deadline: .in(.seconds(2)))) }
            try await here.host.sleep(for: .milliseconds(100))
            #expect(journal.all == ["begin d", "cancelled d"])
        }
    }

    @Test func aReadIsRetriedAfterItsConnectionIsLost() throws {
        let journal = Journal<String>()
        try World().pair(Slow.server(journal)) { client, here, _ in
            async let answer = client.call(Slow.read, Line(text: "r"))
            try await here.host.sleep(for: .milliseconds(200))
            client.close()
            do { let value = try await answer.text; #expect(value == "r") }
            #expect(journal.all.filter { $0 == "begin r" }.count == 2)
            #expect(here.host.statistics.retries == 1)
        }
    }

    @Test func everyCallOfALostConnectionIsRetried() throws {
        let journal = Journal<String>()
        try World().pair(Slow.server(journal)) { client, here, there in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let error = await failure { _ = try await client.call(Slow.add, Line(text: "\(number)")) }
                        #expect(error == nil)
                    }
                }
                try? await here.host.sleep(for: .milliseconds(200))
                client.close()
            }
            #expect(journal.all.filter { $0.hasPrefix("begin") }.count == 200)
            #expect(here.host.statistics.retries == 200)
        }
    }

    @Test func thousandsOfDeadlinesAtOnceFireOnTime() throws {
        let world = World(loss: 1)
        try world.pair(Slow.server(Journal())) { client, here, _ in
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<5_000 {
                    group.addTask {
                        let error = await failure {
                            _ = try await client.call(Slow.add, Line(text: ""), options: CallOptions(deadline: .in(.seconds(1))))
                        }
                        #expect(error?.code == .deadlineExceeded)
                    }
                }
            }
            #expect(here.host.now() == Instant.zero + .seconds(1))
        }
    }

    @Test func aCallThatMustNotRunTwiceJoinsItsFirstAttempt() throws {
        let journal = Journal<String>()
        try World().pair(Slow.server(journal)) { client, here, there in
            async let answer = client.call(Slow.add, Line(text: "j"))
            try await here.host.sleep(for: .milliseconds(200))
            client.close()
            do { let value = try await answer.text; #expect(value == "j") }
            #expect(journal.all == ["begin j", "end j"])
            #expect(there.host.statistics.duplicatesJoined + there.host.statistics.duplicatesReplayed == 1)
        }
    }

    @Test func aFinishedCallsResultIsReplayedToItsSecondAttempt() throws {
        let journal = Journal<String>()
        let world = World()
        try world.pair(Slow.server(journal, takes: .milliseconds(100))) { client, here, there in
            try await client.connect()
            async let answer = client.call(Slow.add, Line(text: "p"))
            // The request gets through, the answer does not.
            try await here.host.sleep(for: .milliseconds(50))
            world.wire.setLoss(.always)
            try await here.host.sleep(for: .milliseconds(500))
            client.close()
            world.wire.setLoss(.never)
            do { let value = try await answer.text; #expect(value == "p") }
            #expect(journal.all == ["begin p", "end p"])
            #expect(there.host.statistics.duplicatesReplayed == 1)
        }
    }

    @Test func anotherIncarnationNeverRunsACallAgain() throws {
        let journal = Journal<String>()
        let world = World()
        let (here, there) = (world.node(2), world.node(1))
        let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
        try world.time.run(limit: .seconds(120)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await there.host.serve(Slow.server(journal, takes: .seconds(5))) }
                group.addTask {
                    let error = await failure { _ = try await client.call(Slow.add, Line(text: "i")) }
                    #expect(error?.code == .aborted && error?.effect == .unknown && error?.cause == .peerRestarted)
                }
                group.addTask { do { let value = try await client.call(Slow.read, Line(text: "r")).text; #expect(value == "r") } }
                group.addTask {
                    // Its method may run again; its caller wants it not to.
                    let careful = Unary<Line, Line>(Slow.read.path, .atMostOnce)
                    let error = await failure { _ = try await client.call(careful, Line(text: "c")) }
                    #expect(error?.code == .aborted && error?.effect == .unknown && error?.cause == .peerRestarted)
                }
                try await here.host.sleep(for: .seconds(1))
                there.driver.kill()
                let again = world.node(1, life: 7)
                #expect(again.host.incarnation != there.host.incarnation)
                group.addTask { try await again.host.serve(Slow.server(journal, takes: .milliseconds(50))) }
                try await here.host.sleep(for: .seconds(20))
                group.cancelAll()
            }
        }
        #expect(journal.all.filter { $0 == "begin i" }.count == 1)
        #expect(journal.all.filter { $0 == "begin r" }.count == 2)
        #expect(journal.all.filter { $0 == "begin c" }.count == 1)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func aHandlerRunsAtMostOnceAtThirtyPercentLossWithConnectionsBreaking(seed: UInt64) throws {
        let journal = Journal<String>()
        try World(seed: seed, loss: 0.3).pair(Slow.server(journal, takes: .milliseconds(30)), limit: .seconds(600)) { client, here, _ in
            await withTaskGroup(of: Void.self) { group in
                for worker in 0..<4 {
                    group.addTask {
                        for number in 0..<25 {
                            let text = "\(worker).\(number)"
                            let error = await failure {
                                do { let value = try await client.call(Slow.add, Line(text: text), options: CallOptions(maxAttempts: 50)).text; #expect(value == text) }
                            }
                            #expect(error == nil || error?.effect == .unknown)
                        }
                    }
                }
                for _ in 0..<20 {
                    try? await here.host.sleep(for: .milliseconds(700))
                    client.close()
                }
            }
        }
        let begun = journal.all.filter { $0.hasPrefix("begin") }
        #expect(begun.count >= 90)
        #expect(Dictionary(grouping: begun, by: { $0 }).values.allSatisfy { $0.count == 1 })
    }

    @Test func aStormOfCancelledCallsLeavesNothingBehind() throws {
        let journal = Journal<String>()
        try World(delay: .milliseconds(2)).pair(Slow.server(journal, takes: .seconds(30))) { client, here, there in
            try await client.connect()
            for _ in 0..<20 {
                await withTaskGroup(of: Void.self) { group in
                    for number in 0..<200 {
                        group.addTask { _ = await failure { _ = try await client.call(Slow.add, Line(text: "\(number)")) } }
                    }
                    try? await here.host.sleep(for: .milliseconds(5))
                    group.cancelAll()
                }
            }
            try await here.host.sleep(for: .seconds(1))
            #expect(there.host.statistics.runningHandlers == 0)
            #expect(there.host.statistics.served <= 4_000)
            do { let value = try await client.call(Health.check, Nothing()).serving; #expect(value) }
        }
    }

    @Test func oneSeedGivesOneTranscript() throws {
        func digest(_ seed: UInt64) throws -> UInt64 {
            let world = World(seed: seed, loss: 0.2)
            try world.pair(Slow.server(Journal(), takes: .milliseconds(20))) { client, here, _ in
                await withTaskGroup(of: Void.self) { group in
                    for worker in 0..<5 {
                        group.addTask {
                            for number in 0..<10 {
                                _ = await failure { _ = try await client.call(Slow.add, Line(text: "\(worker) \(number)")) }
                                _ = await failure { _ = try await client.stream(Echo.count, Line(text: "", number: 5)) { for try await _ in $0 {} } }
                            }
                        }
                    }
                    try? await here.host.sleep(for: .milliseconds(400))
                    client.close()
                }
            }
            return world.wire.digest
        }
        let first = try digest(11)
        #expect(try digest(11) == first)
        #expect(try digest(12) != first)
    }
}
