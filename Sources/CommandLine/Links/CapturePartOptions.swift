import ArgumentParser
import MastCapture
import MastLinkInference
import MastTimebase

/// Which of a capture's packets.
struct CapturePartOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Only packets that match, in libpcap's language: pcap-filter(7).", valueName: "expression"))
    var filter: String?
    @Option(help: ArgumentHelp("From this moment on: since the capture's first packet (12.5s), or by the wall clock (2026-11-24T13:21:30Z).", valueName: "time"))
    var from: CaptureTime?
    @Option(help: ArgumentHelp("Up to this moment, written in either way.", valueName: "time"))
    var to: CaptureTime?
    @Option(help: ArgumentHelp("Only this flow: its number in the order of mast inspect, one of its ends such as 10.0.0.1:443, or both as END-END.", valueName: "flow"))
    var flow: String?

    var isByWallClock: Bool {
        if case .wallClock? = from { return true }
        if case .wallClock? = to { return true }
        return false
    }

    var isWhole: Bool { filter == nil && from == nil && to == nil && flow == nil }

    func validate() throws {
        if let flow, FlowChoice(flow) == nil { throw ValidationError("--flow must be a number, an address, or two with a - between") }
        for case .sinceStart(let time)? in [from, to] where time < .zero { throw ValidationError("--from and --to must not be negative") }
        switch (from, to) {
        case (.sinceStart(let from)?, .sinceStart(let to)?) where to <= from: throw ValidationError("--to must come after --from")
        case (.wallClock(let from)?, .wallClock(let to)?) where to <= from: throw ValidationError("--to must come after --from")
        case (nil, .sinceStart(let to)?) where to <= .zero: throw ValidationError("--to must be above 0")
        default: break
        }
    }

    /// - Parameters:
    ///   - start: of the capture's times, in nanoseconds since 1970; nil: it holds no time.
    ///   - path: for what is wrong.
    func bounds(start: Int64?, _ path: String) throws(Failure) -> (from: Interval?, to: Interval?) {
        let bounds = (from: from?.sinceStart(of: start ?? 0), to: to?.sinceStart(of: start ?? 0))
        if let end = bounds.to, end <= .zero {
            throw Failure(.usage, "--to lies before the first packet of \(path), which is of \(start.map { TextLayout.date(unixSeconds: Double($0) / 1e9) } ?? "an unknown time")")
        }
        if let from = bounds.from, let to = bounds.to, to <= from { throw Failure(.usage, "--to must come after --from") }
        return (bounds.from.map { max(.zero, $0) }, bounds.to)
    }

    /// nil: all times.
    func times(start: Int64?, _ path: String) throws(Failure) -> ClosedRange<Instant>? {
        let bounds = try bounds(start: start, path)
        var part = CapturePart()
        (part.from, part.to) = bounds
        return part.times
    }

    /// Reads the capture once, where a flow was chosen.
    func chosenFlow(_ path: String) throws -> ChosenFlow? {
        guard let choice = flow.flatMap({ FlowChoice($0) }) else { return nil }
        return try Self.find(choice, path, self)
    }

    static func find(_ choice: FlowChoice, _ path: String, _ part: CapturePartOptions) throws -> ChosenFlow {
        guard path != "-" else { throw Failure(.usage, "standard input is read once, and a flow is found by reading twice: give a file, or --filter") }
        let file = try CaptureFile(path: path, filter: part.filter)
        let times = try part.times(start: file.startEpochNanoseconds, path)
        do { return try ChosenFlow(choice, in: file, within: times) } catch { throw Failure(.badData, "\(path): \(error)") }
    }

    /// What was left out, for a summary; nil where nothing was asked for.
    func summary(_ file: CaptureFile, times: ClosedRange<Instant>?, flow: ChosenFlow?, taken: Int) -> CaptureSummary.Part? {
        guard !isWhole else { return nil }
        return CaptureSummary.Part(
            filter: filter, fromS: from == nil ? nil : times?.lowerBound.sinceStart.inSeconds, toS: to == nil ? nil : times?.upperBound.sinceStart.inSeconds,
            flow: flow.map { "\($0.state.client) - \($0.state.server)" }, packetsLeftOut: max(0, file.packetCount - taken),
            packetsUnfilterable: file.unfilterable.reduce(0) { $0 + $1.packets })
    }
}

extension CaptureTime: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
}
