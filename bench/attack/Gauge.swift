import Foundation
import MastTimebase
import Synchronization

/// Reads the server's memory and processor time on a thread of its own, and stops a server that would take the machine.
final class Gauge: Sendable {
    struct Figures: Sendable {
        var before, peak, after: Double?
        /// While the attack ran.
        var cpuSeconds = 0.0
    }

    private struct State {
        var figures = Figures()
        var cpuAtAttack: Double?
        var cpuAfter: Double?
        var isOver = false
    }

    private let state = Mutex(State())

    init(_ victim: Victim, _ field: AttackField, _ schedule: Schedule, mostMB: Double) {
        Thread.detachNewThread { [self] in
            while !state.withLock({ $0.isOver }), Attacker.clock.now() < schedule.end {
                let now = Attacker.clock.now()
                let memory = victim.residentMB
                let cpu = victim.cpuSeconds
                state.withLock { state in
                    if now < schedule.attack { state.figures.before = memory ?? state.figures.before }
                    if now >= schedule.attack { state.cpuAtAttack = state.cpuAtAttack ?? cpu }
                    if now < schedule.after { state.cpuAfter = cpu }
                    if let memory { state.figures.peak = max(state.figures.peak ?? 0, memory) }
                    state.figures.after = memory ?? state.figures.after
                }
                if let memory, memory > mostMB {
                    field.isStopped.store(true, ordering: .relaxed)
                    victim.kill()
                }
                usleep(50_000)
            }
        }
    }

    func finish() -> Figures {
        state.withLock { state in
            state.isOver = true
            state.figures.cpuSeconds = (state.cpuAfter ?? 0) - (state.cpuAtAttack ?? 0)
            return state.figures
        }
    }
}
