import Foundation
import MastRPC
import MastTimebase
import MastTransport
import Testing

private let blob = Unary<Line, ByteString>("test.v1.Blob/blob", .readOnly)
private let keep = Unary<ByteString, Nothing>("test.v1.Blob/keep", .readOnly)

/// What an authenticated peer that means harm can make a host hold: counted exactly, and read off a process of its own.
@Suite struct HostileMemoryTests {
    private static let server = RPCServer {
        blob.handle { line in ByteString([UInt8](repeating: 7, count: line.number)) }
        keep.handle { _, context in
            try await context.connection.host.sleep(for: .seconds(3_000))
            return Nothing()
        }
    }

    /// Resident bytes of this process.
    private static func resident() -> Int {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return 0 }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        return pages * Int(sysconf(Int32(_SC_PAGESIZE)))
    }

    private static func opening(_ method: String, message: [UInt8] = [], declared: Int? = nil) -> [UInt8] {
        var bytes: [UInt8] = []
        FrameReader.append(FrameKind.header, RequestHeader(method: methodID(method), codec: .json, semantics: .readOnly).encode(), to: &bytes)
        if let declared {
            // Kind and a length of four bytes (RFC 9000 section 16), and nothing of the message.
            bytes += [FrameKind.message] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: (declared | 0x8000_0000) >> $0) }
        } else {
            FrameReader.append(FrameKind.message, message, to: &bytes)
        }
        return bytes
    }

    /// A server with small bounds, and connections of one source that speak to it through the transport alone.
    private struct Attack: Sendable {
        let world = World(delay: .milliseconds(2))
        let there: World.Node
        let attackers: [World.Node]

        init(connections: Int, _ configure: (inout HostConfiguration) -> Void, attacker: (inout HostConfiguration) -> Void = { _ in }) {
            there = world.node(1, configure)
            attackers = (0..<connections).map { [world] in world.node(UInt16(2 + $0), attacker) }
        }

        func run(_ body: @escaping @Sendable ([PeerConnection]) async throws -> Void) throws {
            try world.time.run(limit: .seconds(7_200)) { [there, attackers] in
                try await serving(there.host, HostileMemoryTests.server) {
                    var connections: [PeerConnection] = []
                    for attacker in attackers {
                        let client = attacker.host.client(to: there.address, peerKey: there.host.publicKey)
                        connections.append(try await client.connect())
                        client.keepAlive(every: .seconds(5))
                    }
                    try await body(connections)
                }
            }
        }
    }

    private static func bounds(_ configuration: inout HostConfiguration) {
        configuration.envelope.messageBytes = 256 << 10
        configuration.transport.streamWindow = 128 << 10
        configuration.transport.connectionWindow = 512 << 10
        configuration.transport.shelfWindow = 1 << 20
        configuration.transport.assemblyWindow = 0
        configuration.transport.heldBytesPerSource = 3 << 20
        configuration.answers.gatePerConnection = 2 << 20
        configuration.answers.bytesPerConnection = 4 << 20
        configuration.transport.unreadBytesPerSource = 6 << 20
    }

    /// On each of 100 streams of four connections 80 kB of a message of 250 kB: 32 MB in all.
    private static func sendUnfinishedMessages(measuring: Bool) throws {
        let attack = Attack(connections: 4, bounds)
        let before = resident()
        try attack.run { connections in
            let head = opening(keep.path, declared: 250_000)
            let streams = connections.map { connection in
                connection.host.withEndpoint { endpoint, now in
                    (0..<100).compactMap { _ in
                        let stream = endpoint.openStream(connection.handle, deadline: now + .seconds(3_600), at: now)
                        if let stream { _ = endpoint.write(connection.handle, stream, head[...], fin: false, at: now) }
                        return stream
                    }
                }
            }
            let piece = [UInt8](repeating: 1, count: 2_000)
            var mostHeld = 0
            for _ in 0..<40 {
                for (connection, streams) in zip(connections, streams) {
                    connection.host.withEndpoint { endpoint, now in
                        // Only as much as leaves, so that it is the server that holds it.
                        for stream in streams where endpoint.unacknowledged(connection.handle) < 200_000 {
                            _ = endpoint.write(connection.handle, stream, piece[...], fin: false, at: now)
                        }
                    }
                }
                try await attack.there.host.sleep(for: .milliseconds(40))
                mostHeld = max(mostHeld, attack.there.host.statistics.heldBytes)
            }
            if measuring {
                let grown = resident() - before
                #expect(grown < 24 << 20, "grew by \(grown) bytes")
                return
            }
            // One datagram may pass the bound before its stream is given up.
            #expect(mostHeld > 2 << 20 && mostHeld <= 3 << 20 + 2_048)
            #expect(attack.there.host.statistics.overdrawn > 0)
            let bystander = attack.world.node(99, network: 0x0A00_0099)
            let client = bystander.host.client(to: attack.there.address, peerKey: attack.there.host.publicKey)
            let answer = try await client.call(blob, Line(text: "", number: 1_000))
            #expect(answer.count == 1_000)
            // Whatever the deadline: without progress for a minute they are gone, and so is what takes their place. The
            // streams stay until the peer ends them.
            try await attack.there.host.sleep(for: .seconds(200))
            #expect(attack.there.host.statistics.heldBytes <= 400 * 1_024)
            #expect(connections.allSatisfy { $0.isOpen })
        }
    }

    @Test func unfinishedMessagesTakeNoMoreThanTheirBound() throws { try Self.sendUnfinishedMessages(measuring: false) }

    @Test func unfinishedMessagesTakeNoMoreMemoryThanThat() async {
        await #expect(processExitsWith: .success) { try HostileMemoryTests.sendUnfinishedMessages(measuring: true) }
    }

    /// 300 answers of 240 kB, 72 MB in all, to a peer that gives no credit for any.
    private static func readNoAnswers(measuring: Bool) throws {
        let attack = Attack(
            connections: 1, bounds,
            attacker: { configuration in
                configuration.transport.streamWindow = 16
                configuration.transport.connectionWindow = 4_096
            })
        let before = resident()
        try attack.run { connections in
            let connection = connections[0]
            let request = opening(blob.path, message: Array(#"{"text":"","number":180000}"#.utf8))
            var mostUnread = 0
            for _ in 0..<30 {
                connection.host.withEndpoint { endpoint, now in
                    for _ in 0..<10 {
                        guard let stream = endpoint.openStream(connection.handle, deadline: now + .seconds(3_600), at: now) else { return }
                        _ = endpoint.write(connection.handle, stream, request[...], fin: true, at: now)
                    }
                }
                try await attack.there.host.sleep(for: .milliseconds(50))
                mostUnread = max(mostUnread, attack.there.host.statistics.unreadBytes)
            }
            if measuring {
                let grown = resident() - before
                #expect(grown < 32 << 20, "grew by \(grown) bytes")
                return
            }
            // Trailers alone are not withheld.
            #expect(mostUnread > 1 << 20 && mostUnread <= 4 << 20 + 300 * 256)
            #expect(attack.there.host.statistics.waitingCalls > 100)
            // Nobody reads for a minute: those answers are given up, though the deadline is an hour away.
            try await attack.there.host.sleep(for: .seconds(80))
            #expect(attack.there.host.statistics.stuck > 0)
            #expect(connection.isOpen)
        }
    }

    @Test func answersThatNobodyReadsTakeNoMoreThanTheirBound() throws { try Self.readNoAnswers(measuring: false) }

    @Test func answersThatNobodyReadsTakeNoMoreMemoryThanThat() async {
        await #expect(processExitsWith: .success) { try HostileMemoryTests.readNoAnswers(measuring: true) }
    }

    @Test(arguments: [(CallSemantics.readOnly, Effect.none), (.idempotent, .committed), (.atMostOnce, .committed)])
    func anAnswerBeyondTheBoundIsWithheldAndSaysWhatTookEffect(semantics: CallSemantics, effect: Effect) throws {
        let big = Unary<Nothing, ByteString>("test.v1.Blob/big", semantics)
        let world = World()
        // The gate expects small answers, and lets forty of 100 kB be made at once.
        let there = world.node(1) { configuration in
            configuration.answers.firstExpected = 1_024
            configuration.answers.bytesPerConnection = 1 << 20
        }
        let here = world.node(2)
        try world.time.run(limit: .seconds(60)) {
            try await serving(there.host, RPCServer { big.handle { _ in ByteString([UInt8](repeating: 7, count: 100_000)) } }) {
                let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
                try await client.connect()
                let errors = await withTaskGroup(of: RPCError?.self) { group in
                    for _ in 0..<40 {
                        group.addTask { await failure { _ = try await client.call(big, Nothing(), options: CallOptions(maxAttempts: 1)) } }
                    }
                    return await group.reduce(into: [RPCError]()) { if let error = $1 { $0.append(error) } }
                }
                #expect(errors.count > 20 && errors.count < 40)
                #expect(errors.allSatisfy { $0.code == .resourceExhausted && $0.effect == effect && $0.retryAfter != nil })
                #expect(there.host.statistics.answersWithheld == UInt64(errors.count))
                let later = try await client.call(big, Nothing())
                #expect(later.count == 100_000)
            }
        }
    }

    @Test func onePacketThatOpensAThousandStreamsTakesTheMemoryOfOne() throws {
        let attack = Attack(connections: 1, HostileMemoryTests.bounds)
        try attack.run { connections in
            let connection = connections[0]
            connection.host.withEndpoint { endpoint, now in
                var last: StreamID?
                while let stream = endpoint.openStream(connection.handle, deadline: nil, at: now) { last = stream }
                guard let last else { return }
                _ = endpoint.write(connection.handle, last, [FrameKind.header], fin: false, at: now)
            }
            try await attack.there.host.sleep(for: .milliseconds(100))
            #expect(attack.there.host.statistics.heldBytes == 1_024 + 1)
            #expect(attack.there.host.connections.first?.statistics?.streams == 1)
        }
    }

    @Test func everyByteIsGivenBackWhenTheCallsAreOver() throws {
        let attack = Attack(connections: 2, HostileMemoryTests.bounds)
        try attack.run { connections in
            for connection in connections {
                await withTaskGroup(of: Void.self) { group in
                    for number in 0..<40 {
                        group.addTask {
                            if number % 4 == 0 {
                                _ = await failure {
                                    _ = try await connection.client.call(
                                        keep, ByteString([UInt8](repeating: 1, count: 50_000)), options: CallOptions(deadline: .in(.seconds(2))))
                                }
                            } else {
                                _ = await failure { _ = try await connection.client.call(blob, Line(text: "", number: number * 2_000)) }
                            }
                        }
                    }
                }
            }
            try await attack.there.host.sleep(for: .seconds(2))
            let statistics = attack.there.host.statistics
            #expect(statistics.heldBytes == 0 && statistics.unreadBytes == 0)
            #expect(statistics.runningHandlers == 0 && statistics.waitingCalls == 0)
            for connection in connections { #expect(connection.host.statistics.heldBytes == 0) }
        }
    }

    @Test func aHandlerWhoseConnectionIsGoneStillCountsForItsSource() throws {
        let patient = Unary<ByteString, Nothing>("test.v1.Blob/patient")
        let world = World()
        let (here, there) = (world.node(2), world.node(1))
        let server = RPCServer {
            patient.handle { _, context in
                try await context.connection.host.sleep(for: .seconds(10))
                return Nothing()
            }
        }
        try world.time.run(limit: .seconds(120)) {
            try await serving(there.host, server) {
                let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
                _ = try await client.connect()
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { _ = await failure { _ = try await client.call(patient, ByteString([UInt8](repeating: 1, count: 60_000)), options: CallOptions(maxAttempts: 1)) } }
                    try? await here.host.sleep(for: .seconds(1))
                    client.close()
                    try? await here.host.sleep(for: .seconds(2))
                    #expect(there.host.statistics.runningHandlers == 1)
                    #expect(there.host.statistics.heldBytes >= 60_000)
                }
                try await here.host.sleep(for: .seconds(10))
                #expect(there.host.statistics.heldBytes == 0)
            }
        }
    }

    @Test func aConnectionFullOfLargeRequestsAtWorkStopsNoSmallCall() throws {
        try World().pair(HostileMemoryTests.server) { client, here, there in
            try await client.connect()
            await withTaskGroup(of: Void.self) { group in
                // 12 MB, more than the window and what is granted beside it.
                for _ in 0..<8 {
                    group.addTask { _ = await failure { _ = try await client.call(keep, ByteString([UInt8](repeating: 1, count: 1_500_000))) } }
                }
                try? await here.host.sleep(for: .seconds(8))
                #expect(there.host.statistics.runningHandlers == 8)
                let start = here.host.now()
                let error = await failure { _ = try await client.call(blob, Line(text: "", number: 10)) }
                #expect(error == nil && here.host.now() - start < .milliseconds(100))
                group.cancelAll()
            }
        }
    }
}
