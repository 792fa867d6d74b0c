import ArgumentParser
import MastCalls
import MastCloudClient
import MastCloudCore
import MastLinkModel

/// How many runs are repeated at another node to check the first.
struct AuditOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The share of runs that another node repeats to check the first one; 0 for none.", valueName: "share"))
    var auditRate = Probability(0.01)

    var configuration: CloudClient.Configuration {
        var configuration = CloudClient.Configuration()
        configuration.auditRate = auditRate.asDouble
        // The command waits itself, and says so.
        configuration.auditPatience = .zero
        return configuration
    }
}

/// What the repetitions of many runs came to.
struct AuditCounts: Encodable, Sendable {
    var drawn, confirmed, disputed, undecided, underWay, unprovenAnswers: Int

    init(_ statistics: CloudClientStatistics) {
        (drawn, confirmed, disputed) = (statistics.auditsDrawn, statistics.auditsConfirmed, statistics.auditsDisputed)
        (undecided, unprovenAnswers) = (statistics.auditsUndecided, statistics.unproven)
        underWay = drawn - confirmed - disputed - undecided
    }
}

/// Waits for repetitions after the answer is out, and tells what they found.
enum AuditReport {
    private static let quietly = Interval.milliseconds(500)
    private static let atMost = Interval.seconds(5)

    private struct Line: Encodable {
        struct Witness: Encodable {
            var nodeId, name, role: String
            var differences: [String]
        }
        var runId, servedBy, verdict, message: String
        var witnesses: [Witness]
    }

    static func finish(_ client: CloudClient, verbose: Bool, json: Bool) async {
        await client.finishAudits(within: quietly)
        if client.isAuditing {
            Output.note("another node repeats a run to check it, for at most \(atMost.text) more; --audit-rate 0 turns this off")
            await client.finishAudits(within: atMost)
            if client.isAuditing { Output.note("the check is not finished") }
        }
        let confirmed = client.statistics.auditsConfirmed
        if verbose, confirmed > 0 { Output.note("repeated by another node, which agrees: \(confirmed)") }
        for finding in client.auditFindings where finding.verdict == .disputed || verbose {
            let message = finding.description
            guard json else {
                Output.note(message)
                continue
            }
            let line = Line(
                runId: finding.runID.rawValue, servedBy: finding.servedBy, verdict: finding.verdict.rawValue, message: message,
                witnesses: finding.witnesses.map {
                    Line.Witness(nodeId: $0.nodeID.rawValue, name: $0.name, role: $0.role.rawValue, differences: $0.differences)
                })
            if let text = try? Output.jsonText(["audit": line]) { Output.errorDocument(text) }
        }
    }
}
