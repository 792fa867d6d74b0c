import ArgumentParser
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReplay
import MastTimebase

/// Which of a capture's packets, and how fast.
struct ReplayPartOptions: ParsableArguments {
    @OptionGroup var chosen: CapturePartOptions
    @Option(help: ArgumentHelp("At most so many exchanges, or packets.", valueName: "number"))
    var limit: Int?
    @Option(help: ArgumentHelp("So many times as fast as recorded, 0.001 to 1000.", valueName: "factor"))
    var speed: Double?
    @Option(help: ArgumentHelp("So many times, one after the other.", valueName: "number"))
    var loop: Int?

    /// What only recorded messages or packets have.
    var paces: [(name: String, isGiven: Bool)] {
        [("speed", speed != nil), ("loop", loop != nil), ("limit", limit != nil), ("flow", chosen.flow != nil)]
    }

    /// Of `ReplayPace`.
    var thousandths: Int64 { Int64(((speed ?? 1) * 1_000).rounded()) }

    func validate() throws {
        if let speed, !(0.001...1_000).contains(speed) { throw ValidationError("--speed must be 0.001 to 1000") }
        if let loop, !(1...ReplayPace.mostRounds).contains(loop) { throw ValidationError("--loop must be 1 to \(ReplayPace.mostRounds)") }
        if let limit, limit < 1 { throw ValidationError("--limit must be 1 or more") }
    }

    /// - Parameters:
    ///   - path: where times by the wall clock are, the capture that they belong to.
    ///   - asRecords: times count from the first packet that is left by the filter.
    func part(_ path: String, conversations: Bool, asRecords: Bool = false) throws -> CapturePart {
        var part = CapturePart()
        part.filter = chosen.filter
        var start: Int64?
        if chosen.isByWallClock {
            guard path != "-" else { throw Failure(.usage, "standard input is read once: give --from and --to since its first packet") }
            let file = try CaptureFile(path: path, filter: chosen.filter)
            if asRecords { file.withNext { record, _ in start = record.epochNanoseconds } } else { start = file.startEpochNanoseconds }
        }
        (part.from, part.to) = try chosen.bounds(start: start, path)
        if conversations { part.flow = chosen.flow.flatMap { FlowChoice($0) } }
        return part
    }

    var load: ReplayPace {
        var options = ReplayPace()
        (options.speed, options.rounds, options.limit) = (thousandths, loop ?? 1, limit)
        return options
    }
}

/// What happens beside what was recorded.
struct ReplayEventOptions: ParsableArguments {
    @Option(
        name: [.customLong("kill-station"), .customLong("kill-at")], parsing: .singleValue,
        help: ArgumentHelp("When to kill the serving station, from the first call on, or halfway; may be repeated. It returns when half of the rest has passed. Default: never.", valueName: "time|halfway|never"))
    var killAt: [KillTime] = []

    @Option(parsing: .singleValue, help: ArgumentHelp("An outage of the client's link beside the capture's: [hold:|drop:|air:]START+LENGTH, such as drop:12s+2s. May be repeated.", valueName: "outage"))
    var blackout: [Outage] = []

    @Option(help: ArgumentHelp("Holds the client's link for --handover-length so often, as a handover with forwarding does.", valueName: "time"))
    var handoverEvery: Interval?

    @Option(help: ArgumentHelp("How long such a handover takes; 62 ms is the 95th percentile of LTE's on US roads.", valueName: "time"))
    var handoverLength: Interval = .milliseconds(62)

    var kills: [(name: String, isGiven: Bool)] { [("kill-station", !killAt.isEmpty)] }

    func validate() throws {
        if let handoverEvery, handoverEvery < .milliseconds(100) || handoverLength >= handoverEvery || handoverLength <= .zero {
            throw ValidationError("--handover-every must be 100ms or more, and longer than --handover-length")
        }
        if killAt.count > 1, let word = killAt.first(where: { $0.time == nil }) { throw ValidationError("--kill-station \(word == .halfway ? "halfway" : "never") stands alone") }
        if killAt.count > 1_000 { throw ValidationError("--kill-station may be given 1000 times") }
    }

    var kill: ReplayOptions.Kill {
        if killAt == [.halfway] { return .halfway }
        let times = killAt.compactMap(\.time)
        return times.isEmpty ? .never : .at(times)
    }

    var outages: [Outage] {
        guard let handoverEvery else { return blackout }
        let count = ReplayOptions.longestDuration.nanoseconds / handoverEvery.nanoseconds
        return blackout + (1...max(1, count)).map { Outage(start: handoverEvery * $0, duration: handoverLength) }
    }
}

/// `12s`, `halfway` or `never`.
enum KillTime: ExpressibleByArgument, Hashable {
    case at(Interval)
    case halfway
    case never

    var time: Interval? { if case .at(let time) = self { time } else { nil } }

    init?(argument: String) {
        switch argument {
        case "never": self = .never
        case "halfway": self = .halfway
        default:
            guard let time = Interval(text: argument), time >= .zero else { return nil }
            self = .at(time)
        }
    }
}

/// Where packets go.
struct ReplayPacketOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Write them to a capture file with their new times: pcapng, or pcap if its name ends so.", valueName: "file"))
    var out: String?
    @Option(help: ArgumentHelp("Send the payload of UDP packets to this address as datagrams.", valueName: "host:port"))
    var sendTo: String?
    @Option(help: ArgumentHelp("Send them as they are on this device.", valueName: "name"))
    var toInterface: String?

    var given: [(name: String, isGiven: Bool)] { [("out", out != nil), ("send-to", sendTo != nil), ("to-interface", toInterface != nil)] }

    func validateTargets() throws {
        guard given.count(where: \.isGiven) == 1 else {
            throw ValidationError("--mode packets needs one of --out, --send-to and --to-interface")
        }
    }
}
