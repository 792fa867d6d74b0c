import MastTimebase

/// What one attack did.
struct AttackResult: Encodable, Sendable {
    var attack: String
    var packetsPerSecond = 0.0
    var megabitsPerSecond = 0.0
    /// Resident memory of the server.
    var memoryBeforeMB, memoryPeakMB, memoryAfterMB: Double?
    var memoryBoundMB: Double
    /// Of one core, while the attack ran.
    var cpuPercent = 0.0
    var calm = Tally.Summary()
    var underAttack = Tally.Summary()
    var afterwards = Tally.Summary()
    var fresh = Tally.Summary()
    var freshInCalm = Tally.Summary()
    var mostConnections, mostHalfOpen: Int?
    /// From the server's return to every bystander's next answer, when it was started again.
    var recoveryMs: Double?
    var notes: [String] = []
    /// Why the server does not stand; empty when it does.
    var failures: [String] = []

    init(_ attack: Attack) { (self.attack, memoryBoundMB) = (attack.label, attack.memoryBound) }

    var stands: Bool { failures.isEmpty }

    // MARK: the table

    static let head = [
        "attack", "packets/s", "Mbit/s", "memory MB before/peak/after", "CPU %", "calls", "lost", "calm p50/p99/max ms", "attack p50/p99/max ms", "fresh", "failed",
        "p99 ms", "late p99 ms", "verdict",
    ]

    var row: [String] {
        let memory = [memoryBeforeMB, memoryPeakMB, memoryAfterMB].map { Self.figure($0, 0) }.joined(separator: "/")
        let times = { (summary: Tally.Summary) in [summary.p50Ms, summary.p99Ms, summary.maxMs].map { Self.figure($0, 1) }.joined(separator: "/") }
        return [
            attack, Self.figure(packetsPerSecond, 0), Self.figure(megabitsPerSecond, 1), memory, Self.figure(cpuPercent, 0), "\(underAttack.made + afterwards.made)",
            "\(underAttack.lost + afterwards.lost)", times(calm), times(underAttack), "\(fresh.made)", "\(fresh.lost)", Self.figure(fresh.p99Ms, 1),
            Self.figure(underAttack.lateP99Ms, 1), stands ? "stands" : "FALLS",
        ]
    }

    private static func figure(_ value: Double?, _ digits: Int) -> String {
        guard let value else { return "-" }
        let scale = digits == 0 || value >= 100 ? 1.0 : 10.0
        let rounded = (value * scale).rounded() / scale
        return scale == 1 ? "\(Int(rounded))" : "\(rounded)"
    }

    static func table(_ results: [AttackResult]) -> String {
        let rows = [head] + results.map(\.row)
        let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = rows.map { row in
            "| " + zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: " | ") + " |"
        }
        lines.insert("|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|") + "|", at: 1)
        return lines.joined(separator: "\n")
    }

    /// What the table has no column for.
    var remarks: String {
        (["\(attack): \(stands ? "stands" : "FALLS: " + failures.joined(separator: "; "))"] + notes.map { "    \($0)" }).joined(separator: "\n")
    }
}
