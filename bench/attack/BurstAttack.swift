import Dispatch
import Glibc
import MastCalls

/// One honest client that asks much at once: not an enemy, and answered in full.
enum BurstAttack {
    private static let calls = 2_000

    static func run(_ field: AttackField) {
        field.awaitStart()
        let done = DispatchSemaphore(value: 0)
        Task {
            do { try await bursts(field) } catch { field.fail("the client could not begin: \(error)") }
            done.signal()
        }
        done.wait()
    }

    private static func bursts(_ field: AttackField) async throws {
        try await withUDPHost(bind: NetworkAddress.attacker(1)) { host in
            let client = host.client(to: field.server, peerKey: field.key)
            var (rounds, answered, refused, failed) = (0, 0, 0, 0)
            var slowest = Interval.zero
            while field.isOn {
                let began = host.now()
                rounds += 1
                let outcomes = await withTaskGroup(of: StatusCode?.self) { group in
                    for number in 0..<calls {
                        group.addTask {
                            do {
                                _ = try await client.call(Echo.say, Echo.Say(text: "\(number)"), options: CallOptions(deadline: .in(.seconds(10))))
                                return nil
                            } catch { return (error as? RPCError)?.code ?? .unknown }
                        }
                    }
                    return await group.reduce(into: [StatusCode?]()) { $0.append($1) }
                }
                slowest = max(slowest, host.now() - began)
                answered += outcomes.count { $0 == nil }
                refused += outcomes.count { $0 == .resourceExhausted }
                failed += outcomes.count { $0 != nil && $0 != .resourceExhausted }
                field.count(calls, bytes: calls * 60)
            }
            field.note("\(rounds) bursts of \(calls): \(answered) answered, \(refused) refused, \(failed) failed otherwise; \(host.statistics.retries) tried again; the slowest burst took \(slowest.milliseconds) ms")
            if refused + failed > 0 { field.fail("\(refused + failed) of an honest client's \(rounds * calls) calls were not answered") }
        }
    }
}
