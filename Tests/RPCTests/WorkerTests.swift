import MastRPC
import MastTimebase
import Testing

/// Handlers run in tasks that outlive them.
@Suite struct WorkerTests {
    private enum Probe: RPCService {
        static let wait = Unary<Line, Line>("test.v1.Probe/wait")
        static let look = Unary<Line, Line>("test.v1.Probe/look", .readOnly)
    }

    private func server(_ journal: Journal<String> = Journal()) -> RPCServer {
        RPCServer {
            Probe.wait.handle { line, context in
                do { try await context.connection.host.sleep(for: .seconds(Int64(line.number))) } catch {
                    journal.add(Task.isCancelled ? "cancelled" : "\(error)")
                    throw error
                }
                return line
            }
            Probe.look.handle { _ in Line(text: Task.isCancelled ? "cancelled" : "free") }
        }
    }

    private func look(_ client: RPCClient) async throws -> String { try await client.call(Probe.look, Line(text: "")).text }
    private func options(_ limit: Interval) -> CallOptions { CallOptions(deadline: .in(limit)) }

    @Test func theHandlerAfterOneThatWasCancelledIsNot() throws {
        let journal = Journal<String>()
        try World().pair(server(journal)) { client, _, _ in
            for round in 1...5 {
                // One before it, so that there is a worker to take.
                let before = try await look(client)
                let error = await failure {
                    _ = try await client.call(Probe.wait, Line(text: "", number: 60), options: options(.milliseconds(200)))
                }
                let after = try await look(client)
                #expect([before, after] == ["free", "free"])
                #expect(error?.code == .deadlineExceeded)
                #expect(journal.all == Array(repeating: "cancelled", count: round))
            }
        }
    }

    @Test func moreHandlersThanAreKeptRunTogether() throws {
        try World().pair(server()) { client, _, there in
            try await withThrowingTaskGroup(of: Line.self) { group in
                for number in 0..<600 {
                    group.addTask {
                        try await client.call(Probe.wait, Line(text: "\(number)", number: 5), options: options(.seconds(30)))
                    }
                }
                var seen: Set<String> = []
                for try await line in group { seen.insert(line.text) }
                #expect(seen.count == 600)
            }
            #expect(there.host.statistics.runningHandlers == 0)
            let after = try await look(client)
            #expect(after == "free")
        }
    }

    @Test func aHostServesAgain() throws {
        let world = World()
        let (here, there) = (world.node(2), world.node(1))
        let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
        try world.time.run(limit: .seconds(60)) {
            for _ in 0..<3 {
                try await serving(there.host, server()) {
                    for _ in 0..<3 {
                        let seen = try await look(client)
                        #expect(seen == "free")
                    }
                }
            }
        }
    }
}
