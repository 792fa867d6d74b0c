import MastLinkInference
import MastLinkModel
import MastSimulator
import MastTimebase

/// What a replay asks of the cloud, over which link, and what happens meanwhile.
package struct ReplayPlan: Sendable {
    package var mode: ReplayOptions.Mode
    package var seed: UInt64
    package var workload: Workload
    /// In mode `load`.
    package var load: RecordedLoad?
    /// Of the client.
    package var link: LinkScenario
    /// From the first call to the last, if none waits long.
    package var duration: Interval
    /// When the station that serves is killed, and when it is started again; since the first call.
    package var kills: [(at: Interval, back: Interval)] = []

    /// - Throws: `ReplayFailure`.
    package init(_ source: ReplaySource, _ options: ReplayOptions) throws(ReplayFailure) {
        (mode, seed) = (options.mode, options.seed)
        var chance = SeededGenerator(seed: options.seed, stream: "replay.workload")
        switch options.mode {
        case .load:
            guard let fit = source.fit, let conversations = source.conversations, !conversations.exchanges.isEmpty else { throw .nothingSaid }
            let load = RecordedLoad(
                conversations, on: fit, at: source.time, captured: source.captured, options: options.load, chance: &chance)
            guard load.count > 0 else { throw .nothingSaid }
            (workload, duration, self.load) = (load.workload, max(load.duration, .milliseconds(1)), load)
        case .link:
            duration = options.duration(for: source.fit)
            var probe = SeededGenerator(seed: options.seed, stream: "replay.workload size")
            let typical = SearchWorkload(runs: 50, over: duration, chance: &probe).meanBytes
            let runs = options.runs(for: source.fit, over: duration, meanBytes: typical)
            workload = SearchWorkload(runs: runs, over: duration, chance: &chance).workload
        }
        link = source.link
        link.seed = options.seed
        for direction in LinkDirection.allCases { link[direction].outages += options.outages }
        let times: [Interval]
        switch options.kill {
        case .never: times = []
        case .halfway: times = [duration / 2]
        case .at(let given): times = given.sorted()
        }
        for (number, time) in times.enumerated() {
            guard time < duration else { throw .killTooLate(time, duration: duration) }
            let next = number + 1 < times.count ? times[number + 1] : duration
            kills.append((time, time + (next - time) / 2))
        }
    }

    /// Of results, that the client's pool keeps at once: enough for what is under way.
    package static let pooledBytes = 4 << 20

    /// If every call takes the time it may.
    package func longest(_ timeout: Interval) -> Interval {
        let steps = workload.conversations.map { conversation in
            conversation.steps.reduce(Interval.zero) { sum, step in
                sum + (step.pause ?? .zero) + timeout * Int64((step.questions.count + Workload.window - 1) / Workload.window)
            }
        }
        return duration + (steps.max() ?? .zero)
    }
}
