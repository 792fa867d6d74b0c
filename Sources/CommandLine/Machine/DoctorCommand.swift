import ArgumentParser

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Check what this machine offers, and say how to mend what is missing.",
        discussion: "Exits with 69 when something is missing that mast cannot do without; what is only slower or optional is a remark.")

    @OptionGroup var output: OutputOptions

    func run() async throws {
        let findings = MachineCheck.all()
        let worst = findings.map(\.state).max() ?? .good
        if output.json {
            try Output.json(Report(healthy: worst < .missing, findings: findings))
        } else {
            let width = findings.map(\.name.count).max() ?? 0
            for finding in findings {
                let name = finding.name + String(repeating: " ", count: width - finding.name.count)
                Output.line("\(finding.state.mark)  \(name)  \(finding.found)")
                if let mend = finding.mend { Output.line("      \(String(repeating: " ", count: width))  to mend: \(mend)") }
            }
        }
        if worst == .missing {
            let names = findings.filter { $0.state == .missing }.map(\.name).joined(separator: ", ")
            throw Failure(.unavailable, "missing: \(names); mend it as said above")
        }
    }

    private struct Report: Encodable {
        var healthy: Bool
        var findings: [Finding]
    }
}

/// One thing that was looked at.
struct Finding: Encodable {
    enum State: String, Encodable, Comparable {
        case good, remark, missing

        private var rank: Int { self == .good ? 0 : self == .remark ? 1 : 2 }
        static func < (a: State, b: State) -> Bool { a.rank < b.rank }
        var mark: String { self == .good ? "ok  " : self == .remark ? "note" : "FAIL" }
    }

    var name: String
    var state: State
    var found: String
    var mend: String?
}
