import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastFiles

/// Hands out what one run came to.
struct RunDelivery: Sendable {
    var out: String?
    var verbose: Bool
    var json: Bool

    /// - Returns: how the command ends all the same, when the result can be had only this once.
    func deliver(_ outcome: RunOutcome) -> Failure? {
        do {
            if verbose { explain(outcome) }
            if let out { try InputFile.write(outcome.output, to: out) }
            if json {
                Output.document(try report(outcome).text)
            } else if out == nil {
                Output.bytes(outcome.output)
            }
        } catch { return Failure(describing: error) }
        if outcome.resource.isDisputed {
            Output.note("run \(outcome.resource.runID) is disputed: another node signed something else; see mast pool show \(outcome.resource.runID)")
        }
        return outcome.notKept.map { Failure(.unavailable, "the output is complete, but run \(outcome.resource.runID) is not kept: \($0)") }
    }

    func failure(_ error: RunError) throws -> Failure {
        if verbose { explain(error.timeline) }
        var failure = Failure(describing: error)
        if json { failure.json = try failureJSON(error) }
        return failure
    }

    private func report(_ outcome: RunOutcome) throws -> JSONObject {
        var object = JSONObject()
        try object.set("runId", outcome.resource.runID)
        try object.set("application", outcome.resource.application)
        try object.set("servedBy", outcome.resource.servedBy)
        try object.set("nodeId", outcome.servedBy?.nodeID)
        try object.set("role", outcome.servedBy?.role)
        try object.set("fromPool", outcome.fromPool)
        try object.set("duplicate", outcome.isDuplicate)
        try object.set("audited", outcome.isAudited)
        try object.set("disputed", outcome.resource.isDisputed)
        try object.set("notKept", outcome.notKept)
        try object.set("attempts", outcome.attempts)
        try object.set("durationMs", outcome.timeline.duration.inMilliseconds)
        try object.set("fuelUsed", outcome.fuelUsed)
        try object.set("queueUs", outcome.queueMicroseconds)
        try object.set("executionUs", outcome.executionMicroseconds)
        try object.set("sizeBytes", outcome.resource.size)
        try object.set("sha256", outcome.resource.digest.description)
        if out == nil {
            if let text = String(validating: outcome.output, as: UTF8.self) {
                try object.set("output", text)
            } else {
                try object.set("outputBase64", ByteString(outcome.output))
            }
        }
        return object
    }

    private func failureJSON(_ error: RunError) throws -> String {
        var object = JSONObject()
        try object.set("code", error.code.name)
        try object.set("status", error.code.rawValue)
        try object.set("message", Failure.line(error.message))
        try object.set("runId", error.runID)
        if case .trapped(let trap) = error.kind { try object.set("trap", trap) }
        try object.set("durationMs", error.timeline.duration.inMilliseconds)
        return object.text
    }

    private func explain(_ outcome: RunOutcome) {
        explain(outcome.timeline)
        let node = outcome.servedBy.map { "served by \($0.role) \($0.name) (\($0.nodeID))" } ?? "answered from the pool (served by \(outcome.resource.servedBy))"
        Output.note("run \(outcome.resource.runID): \(node), \(outcome.timeline.duration.milliseconds3) ms, attempts \(outcome.attempts)")
        Output.note("fuel \(outcome.fuelUsed), waited \(outcome.queueMicroseconds) us, executed \(outcome.executionMicroseconds) us; result \(TextLayout.bytes(outcome.resource.size)), sha256 \(outcome.resource.digest)")
    }

    private func explain(_ timeline: RunTimeline) {
        for entry in timeline.entries { Output.error("\(String(repeating: " ", count: max(0, 10 - entry.at.milliseconds3.count)))\(entry.at.milliseconds3) ms  \(entry.what)") }
    }
}
