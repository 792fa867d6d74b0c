import MastLinkModel
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Testing

private let add = Unary<Int, Int>("test.v1.Ledger/add", .atMostOnce)

/// A server and a client, each behind a link.
private struct Bench {
    let simulation: Simulation
    let ledger = EffectLedger()
    let near = NetworkAddress(ipv4: 0x0C00_0001, port: 1)
    let far = NetworkAddress(ipv4: 0x0C00_0002, port: 2)
    let access: LinkScenario

    init(seed: UInt64 = 1, delay: Interval = .milliseconds(20), loss: Double = 0) {
        simulation = Simulation(seed: seed)
        let profile = LinkProfile(delay: delay, radioLoss: loss == 0 ? .none : .independent(Probability(loss)))
        access = LinkScenario(up: profile, down: profile, seed: seed)
    }

    func identity(_ name: String) -> StaticKeyPair {
        var chance = simulation.chance(name)
        return StaticKeyPair(using: &chance)
    }

    func run<T: Sendable>(_ body: @escaping @Sendable (RPCClient, SimulatedHost, SimulatedHost) async throws -> T) throws -> T {
        try simulation.run(limit: .seconds(300)) {
            let server = simulation.host(identity("server"), at: far, configuration: HostConfiguration())
            let client = simulation.host(identity("client"), at: near, access: access, configuration: HostConfiguration())
            let ledger = ledger
            simulation.processes.spawn("server") {
                try await server.host.serve(
                    RPCServer {
                        add.handle { number in
                            ledger.effect(number)
                            return number
                        }
                    })
            }
            return try await body(client.host.client(to: far, peerKey: server.host.publicKey), client, server)
        }
    }
}

@Suite struct NetworkTests {
    @Test func `a datagram takes its sender's way up and its receiver's way down`() throws {
        let bench = Bench()
        let (first, warm) = try bench.run { client, _, _ in
            let first = try await client.ping()
            return (first, try await client.ping())
        }
        #expect(first >= .milliseconds(40))
        #expect((Interval.milliseconds(40)...Interval.milliseconds(42)).contains(warm))
        let counts = bench.simulation.network.counts(bench.near)
        #expect(counts == nil, "after the run everything is unplugged")
    }

    @Test func `a killed host neither hears nor answers`() throws {
        let bench = Bench()
        let error = try bench.run { client, _, server -> RPCError? in
            _ = try await client.call(add, 1)
            server.driver.kill()
            var options = CallOptions()
            options.deadline = .in(.seconds(3))
            do throws(RPCError) { _ = try await client.call(add, 2, options: options) } catch { return error }
            return nil
        }
        #expect(error != nil)
        #expect(bench.ledger.effects == [1])
    }

    @Test func `an outage passes, and a client that moved is still known`() throws {
        let bench = Bench()
        try bench.run { client, _, _ in
            _ = try await client.call(add, 1)
            bench.simulation.network.interrupt(bench.near, .drop, for: .milliseconds(800))
            _ = try await client.call(add, 2)
            bench.simulation.network.move(bench.near, to: bench.near.with(port: 99))
            _ = try await client.call(add, 3)
        }
        #expect(bench.ledger.effects == [1, 2, 3])
    }

    @Test(arguments: 1...10)
    func `calls have their effect at most once on a link that loses a fifth`(seed: UInt64) throws {
        let bench = Bench(seed: seed, loss: 0.2)
        let ledger = bench.ledger
        let failed = try bench.run { client, _, _ in
            await withTaskGroup(of: Int.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        do {
                            _ = try await client.call(add, number)
                            ledger.success(number)
                            return 0
                        } catch { return 1 }
                    }
                }
                return await group.reduce(0, +)
            }
        }
        #expect(failed == 0)
        #expect(ledger.violations.isEmpty)
        #expect(ledger.successes.count == 50)
    }

    /// What happens where no duplicate is recognised: the second attempt as a call of its own.
    @Test func `a second effect is caught`() throws {
        let bench = Bench()
        let ledger = bench.ledger
        try bench.run { client, _, _ in
            _ = try await client.call(add, 0)
            // Requests pass, answers are lost.
            bench.simulation.network.interrupt(bench.near, .drop, for: .seconds(3), directions: [.down])
            var options = CallOptions()
            options.deadline = .in(.seconds(2))
            do {
                _ = try await client.call(add, 1, options: options)
            } catch {
                _ = try await client.call(add, 1)
                ledger.success(1)
            }
        }
        #expect(ledger.violations == ["call 1 had its effect twice"])
    }
}
