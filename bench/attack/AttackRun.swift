import Foundation
import MastCalls
import Synchronization

/// One attack from a fresh server to the verdict: calm, attack, and what is left afterwards.
struct AttackRun: Sendable {
    let attack: Attack
    let program: String
    let seconds: Int64
    let seed: UInt64

    static let bystanders = 8
    static let calm = Interval.seconds(3), aftermath = Interval.seconds(3)
    /// How long bystander 1 is cut off after a restart: a call's patience less what a prompt recovery takes.
    private static let cut = Interval.milliseconds(700)
    /// Beyond this the server is killed rather than the machine.
    private static let mostMemoryMB = 3_000.0

    func result() async -> AttackResult {
        var result = AttackResult(attack)
        do { try await run(&result) } catch { result.failures.append("not measured: \(error)") }
        return result
    }

    private func run(_ result: inout AttackResult) async throws {
        let victim = try Victim(program, attack.target)
        try await victim.start()
        defer { victim.kill() }
        guard let key = victim.key else { throw AttackFailure("no key") }
        let tap = attack.listens ? try Wiretap(victim.address) : nil
        let relay = attack.hasRelay ? try Relay(to: victim.address) : nil
        defer {
            tap?.stop()
            relay?.stop()
        }
        let field = AttackField(victim.address, key: key, tap: tap, relay: relay, seed: seed)
        let attacker = AttackThread(attack, field)
        for _ in 0..<6_000 where !field.isReady && !attacker.isOver { try await Task.sleep(for: .milliseconds(10)) }

        let now = Attacker.clock.now()
        let length = max(Interval.seconds(seconds), .seconds(attack.leastSeconds))
        // The second before it is for the first connections.
        let start = now + .seconds(1)
        let schedule = Schedule(start: start, attack: start + Self.calm, after: start + Self.calm + length, end: start + Self.calm + length + Self.aftermath)
        let tally = Tally()
        let gauge = Gauge(victim, field, schedule, mostMB: Self.mostMemoryMB)
        let observer = Observer(server: victim.address, key: key)
        let server = victim.address
        let restartedAt = try await withThrowingTaskGroup(of: Instant?.self) { group in
            for number in 1...Self.bystanders {
                let target = number == 1 ? relay?.address ?? server : server
                let bystander = Bystander(number: number, server: target, key: key, target: attack.target, contact: attack.firstContact, tally: tally)
                group.addTask {
                    try await bystander.run { schedule }
                    return nil
                }
            }
            group.addTask {
                await observer.watch(until: schedule.end)
                return nil
            }
            group.addTask {
                await Bystander.sleep(until: schedule.attack)
                field.begin(until: schedule.after, closing: schedule.end)
                guard attack.restarts else { return nil }
                await Bystander.sleep(until: schedule.attack + length / 2)
                relay?.cut(true)
                try await victim.restart()
                let ready = Attacker.clock.now()
                await Bystander.sleep(until: ready + Self.cut)
                relay?.cut(false)
                return ready
            }
            return try await group.reduce(nil) { $0 ?? $1 }
        }
        for _ in 0..<300 where !attacker.isOver { try await Task.sleep(for: .milliseconds(10)) }
        fill(&result, tally, gauge, observer, field, length)
        if let restartedAt { reportRecovery(&result, tally, after: restartedAt) }
        await judge(&result, victim, observer, field, tally, attacker)
    }

    private func reportRecovery(_ result: inout AttackResult, _ tally: Tally, after ready: Instant) {
        let first = attack.hasRelay ? tally.recovery(after: ready + Self.cut, of: 1...1) : .zero
        let others = tally.recovery(after: ready, of: (attack.hasRelay ? 2 : 1)...Self.bystanders)
        guard let first, let others else { return result.failures.append("a bystander did not come back after the server's restart") }
        result.recoveryMs = max(first, others).inMilliseconds.rounded()
        result.notes.append(
            "started again in the middle: bystanders had answers \(others.milliseconds) ms after it was back"
                + (attack.hasRelay ? "; one that was cut off meanwhile, \(first.milliseconds) ms after its packets came through again" : ""))
    }

    private func fill(_ result: inout AttackResult, _ tally: Tally, _ gauge: Gauge, _ observer: Observer, _ field: AttackField, _ length: Interval) {
        let (packets, bytes) = field.sent
        result.packetsPerSecond = Double(packets) / length.inSeconds
        result.megabitsPerSecond = Double(bytes) * 8 / 1e6 / length.inSeconds
        let figures = gauge.finish()
        (result.memoryBeforeMB, result.memoryPeakMB, result.memoryAfterMB) = (figures.before, figures.peak, figures.after)
        result.cpuPercent = figures.cpuSeconds / length.inSeconds * 100
        (result.calm, result.underAttack, result.afterwards) = (tally.summary(.call, .calm), tally.summary(.call, .attack), tally.summary(.call, .after))
        (result.freshInCalm, result.fresh) = (tally.summary(.fresh, .calm), tally.summary(.fresh, .attack))
        let later = tally.summary(.fresh, .after)
        (result.fresh.made, result.fresh.lost) = (result.fresh.made + later.made, result.fresh.lost + later.lost)
        (result.mostConnections, result.mostHalfOpen) = observer.most
        result.notes += field.notes
        if let connections = result.mostConnections, let halfOpen = result.mostHalfOpen {
            result.notes.append("the server had \(connections) connections at most, \(halfOpen) half open")
        }
    }

    private func judge(_ result: inout AttackResult, _ victim: Victim, _ observer: Observer, _ field: AttackField, _ tally: Tally, _ attacker: AttackThread) async {
        if let death = victim.death {
            result.failures.append("THE SERVER DIED: \(death)")
        } else if field.isStopped.load(ordering: .relaxed) {
            result.failures.append("THE SERVER WAS STOPPED at \(Int(Self.mostMemoryMB)) MB")
        } else if let refusal = await observer.refusal() {
            result.failures.append("THE SERVER ANSWERS NO STRANGER ANY MORE: \(refusal)")
        }
        if let error = attacker.error { result.failures.append("the attack was not made: \(error)") }
        if field.sent.packets == 0 { result.failures.append("the attack sent nothing") }
        if result.calm.lost + result.freshInCalm.lost > 0 { result.failures.append("calls were lost in calm already: this run says nothing") }
        let lost = result.underAttack.lost + result.afterwards.lost
        if lost > 0 { result.failures.append("\(lost) of \(result.underAttack.made + result.afterwards.made) bystanders' calls lost") }
        if result.fresh.lost > 0 { result.failures.append("\(result.fresh.lost) of \(result.fresh.made) first contacts failed") }
        if let before = result.memoryBeforeMB, let peak = result.memoryPeakMB, peak - before > attack.memoryBound {
            result.failures.append("memory grew by \(Int(peak - before)) MB, more than \(Int(attack.memoryBound))")
        }
        result.failures += field.failures
        if let failure = tally.commonestFailure { result.notes.append("lost most often: \(failure)") }
    }
}

/// The attack's own thread, which no bystander's task has to wait for.
private final class AttackThread: Sendable {
    private let outcome = Mutex<(isOver: Bool, error: String?)>((false, nil))

    init(_ attack: Attack, _ field: AttackField) {
        let thread = Thread { [self] in
            var error: String?
            do { try attack.run(field) } catch let thrown { error = "\(thrown)" }
            let text = error
            outcome.withLock { $0 = (true, text) }
        }
        thread.stackSize = 4 << 20
        thread.start()
    }

    var isOver: Bool { outcome.withLock { $0.isOver } }
    var error: String? { outcome.withLock { $0.error } }
}
