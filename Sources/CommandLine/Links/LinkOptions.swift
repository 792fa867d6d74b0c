import ArgumentParser
import MastLinkEmulator
import MastLinkModel
import MastTimebase

/// What a link is like: from a scenario, a capture, or put together.
struct LinkOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A scenario, as mast link fit writes one. Other options change parts of it.", valueName: "file"))
    var scenario: String?

    @Option(help: ArgumentHelp("One of the links that mast link profiles lists.", valueName: "name"))
    var profile: String?

    @Option(help: ArgumentHelp("Fit the link to this capture.", valueName: "file"))
    var capture: String?

    @OptionGroup var window: FitWindowOptions

    @Option(name: .customLong("up"), help: ArgumentHelp("Trace from clients to the network: Mahimahi's, a table of seconds and Mbit/s with one line of headings or none, or iperf3's JSON (of --bidir: the forward flow; --down takes the reverse one).", valueName: "trace"))
    var upTrace: String?
    @Option(name: .customLong("down"), help: ArgumentHelp("Trace from the network to clients.", valueName: "trace"))
    var downTrace: String?
    @Option(help: ArgumentHelp("The column of rates in the tables of --up and --down, by its name or its number from 1, where there are several.", valueName: "name"))
    var column: String?
    @Option(help: ArgumentHelp("The same for --up alone.", valueName: "name"))
    var upColumn: String?
    @Option(help: ArgumentHelp("The same for --down alone.", valueName: "name"))
    var downColumn: String?
    @Option(help: ArgumentHelp("Delays from clients to the network over time, added to --delay: a line of milliseconds for each 10 ms, or CellReplay's file of base delays and light opportunities (its heavy trace goes to --up).", valueName: "file"))
    var upDelays: String?
    @Option(help: ArgumentHelp("Delays from the network to clients over time.", valueName: "file"))
    var downDelays: String?
    @Option(help: ArgumentHelp("CellReplay's offsets by packet size, from clients to the network.", valueName: "file"))
    var upSizeOffsets: String?
    @Option(help: ArgumentHelp("CellReplay's offsets by packet size, from the network to clients.", valueName: "file"))
    var downSizeOffsets: String?
    @Option(help: ArgumentHelp("How long a link of CellReplay's rests before light opportunities are used again (0ms, as mm-cellular has it).", valueName: "time"))
    var longToShortTimer: Interval?
    @Option(name: .customLong("opportunity"), help: ArgumentHelp("What one delivery opportunity carries: 1500 bytes of IP, or 1504 to count as mm-link does, with its TUN header in the sizes. (default: 1500; 1400 beside CellReplay's delays)", valueName: "bytes"))
    var opportunityBytes: Int?
    @Option(help: ArgumentHelp("Constant rate of both directions, such as 12mbit.", valueName: "rate"))
    var rate: Rate?
    @Option(help: ArgumentHelp("Constant rate from clients to the target, such as 5mbit.", valueName: "rate"))
    var upRate: Rate?
    @Option(help: ArgumentHelp("Constant rate from the target to clients.", valueName: "rate"))
    var downRate: Rate?
    @Option(help: ArgumentHelp("Delay of each direction.", valueName: "time"))
    var delay: Interval?
    @OptionGroup var oneWay: OneWayOptions
    @Option(help: ArgumentHelp("Adds up to this much to a packet's delay; packets keep their order.", valueName: "time"))
    var jitter: Interval?
    @Option(help: ArgumentHelp("Share of packets lost on the air, such as 2%.", valueName: "share"))
    var loss: Probability?
    @Option(help: ArgumentHelp("Makes losses come in bursts of this many packets on average.", valueName: "n"))
    var burst: Double?
    @Option(help: ArgumentHelp("Share of packets that come twice.", valueName: "share"))
    var duplicate: Probability?
    @Option(help: ArgumentHelp("Share of packets that skip the delay, and so overtake those before them.", valueName: "share"))
    var reorder: Probability?
    @Option(help: ArgumentHelp("Share of packets in which a bit is turned over.", valueName: "share"))
    var corrupt: Probability?
    @Option(help: ArgumentHelp("infinite, droptail:100p, droptail:150kB, drophead:…, codel or pie.", valueName: "queue"))
    var queue: QueueDiscipline?
    @Flag(help: "Let codel and pie mark packets whose endpoints understand ECN, rather than drop them.")
    var ecn = false
    @Option(help: ArgumentHelp("A time without service, such as hold:12s+2s (from 12 s on, for 2 s), drop:… or air:…; may be repeated.", valueName: "outage"))
    var outage: [Outage] = []
    @Option(help: ArgumentHelp("Outages by chance, such as hold:30s~62ms (62 ms long, every 30 s on average) or drop:5m~1s/2s/9s (between these quantiles); may be repeated.", valueName: "outage"))
    var randomOutage: [RandomOutages] = []
    @Option(help: ArgumentHelp("What changes and when, such as 12s:rate=5mbit, 20s:delay=30ms, 30s:mtu=1280, 40s:flush or 50s:rebind=port (another port for the client; or rebind=address); may be repeated.", valueName: "change"))
    var change: [LinkChange] = []
    @Option(help: ArgumentHelp("Decides all chance: the same seed loses the same packets.", valueName: "n"))
    var seed: UInt64?

    func validate() throws {
        guard [scenario, capture, profile].count(where: { $0 != nil }) <= 1 else {
            throw ValidationError("give one of --scenario, --profile and --capture")
        }
        guard upTrace == nil || upRate == nil else { throw ValidationError("give --up or --up-rate, not both") }
        guard downTrace == nil || downRate == nil else { throw ValidationError("give --down or --down-rate, not both") }
        guard column == nil || upTrace != nil || downTrace != nil else { throw ValidationError("--column belongs to a table that --up or --down names") }
        guard upColumn == nil || upTrace != nil, downColumn == nil || downTrace != nil else { throw ValidationError("--up-column belongs to --up, --down-column to --down") }
        guard rate == nil || upRate == nil && downRate == nil && upTrace == nil && downTrace == nil else {
            throw ValidationError("--rate is of both directions: give it alone, or --up-rate and --down-rate")
        }
        guard DeliveryTrace.opportunitySizes.contains(opportunityBytes ?? 1_500) else {
            throw ValidationError("--opportunity must be \(DeliveryTrace.opportunitySizes.lowerBound) to \(DeliveryTrace.opportunitySizes.upperBound)")
        }
        if burst != nil, loss == nil, oneWay.upLoss == nil, oneWay.downLoss == nil { throw ValidationError("--burst needs --loss, --up-loss or --down-loss") }
        if let reorder, reorder > .never, delay ?? oneWay.upDelay ?? oneWay.downDelay == nil, scenario == nil, capture == nil, profile == nil {
            throw ValidationError("--reorder needs --delay: what overtakes skips it")
        }
        guard (.zero...Interval.seconds(3_600)).contains(longToShortTimer ?? .zero) else { throw ValidationError("--long-to-short-timer must be at most an hour") }
    }

    /// An option that is of that direction alone, if one is given.
    func named(only direction: LinkDirection) -> String? {
        let all: [(String, Bool)] = direction == .up
            ? [("--up", upTrace != nil), ("--up-rate", upRate != nil), ("--up-column", upColumn != nil), ("--up-delays", upDelays != nil), ("--up-size-offsets", upSizeOffsets != nil)]
            : [("--down", downTrace != nil), ("--down-rate", downRate != nil), ("--down-column", downColumn != nil), ("--down-delays", downDelays != nil), ("--down-size-offsets", downSizeOffsets != nil)]
        return all.first { $0.1 }?.0 ?? oneWay.named(direction)
    }

    /// Whether anything here says what the link is like.
    var isGiven: Bool {
        let texts = [scenario, profile, capture, upTrace, downTrace, upDelays, downDelays]
        return texts.contains { $0 != nil } || [rate, upRate, downRate].contains { $0 != nil } || [delay, jitter].contains { $0 != nil }
            || [loss, duplicate, reorder, corrupt].contains { $0 != nil } || queue != nil || oneWay.isGiven || !outage.isEmpty || !randomOutage.isEmpty || !change.isEmpty
    }

    /// - Parameter base: what the options change, unless they name a whole link.
    func resolved(over base: LinkScenario = LinkScenario()) throws -> LinkScenario {
        var result = base
        if let profile { result = try LinkProfilesCommand.named(profile).scenario }
        if let scenario { result = try ScenarioFile.load(scenario) }
        if let capture { result = try window.fit(capture).scenario(name: ScenarioFile.name(capture), seed: seed ?? 1) }
        if let seed { result.seed = seed }
        if let upDelays { try ScenarioFile.addDelays(upDelays, to: &result.up) }
        if let downDelays { try ScenarioFile.addDelays(downDelays, to: &result.down) }
        if let upSizeOffsets { try ScenarioFile.addSizeOffsets(upSizeOffsets, to: &result.up, for: "--up-size-offsets") }
        if let downSizeOffsets { try ScenarioFile.addSizeOffsets(downSizeOffsets, to: &result.down, for: "--down-size-offsets") }
        for direction in LinkDirection.allCases {
            if let opportunityBytes { result[direction].trains?.opportunityBytes = opportunityBytes }
            if let longToShortTimer { result[direction].trains?.rest = longToShortTimer }
        }
        func bytes(_ profile: LinkProfile) -> Int { opportunityBytes ?? profile.trains?.opportunityBytes ?? 1_500 }
        if let upTrace { result.up.service = try ScenarioFile.service(upTrace, opportunityBytes: bytes(result.up), column: upColumn ?? column, direction: .up, note: Output.note) }
        if let downTrace { result.down.service = try ScenarioFile.service(downTrace, opportunityBytes: bytes(result.down), column: downColumn ?? column, direction: .down, note: Output.note) }
        if let rate { (result.up.service, result.down.service) = (.constant(rate), .constant(rate)) }
        if let upRate { result.up.service = .constant(upRate) }
        if let downRate { result.down.service = .constant(downRate) }
        for direction in LinkDirection.allCases {
            if let delay = oneWay.delay(direction) ?? delay { result[direction].delay = delay }
            if let jitter { result[direction].jitter = jitter }
            if let queue = oneWay.queue(direction) ?? queue { result[direction].queue = queue }
            if ecn { result[direction].ecn = true }
            if let model = try lossModel(oneWay.loss(direction) ?? loss) { result[direction].radioLoss = model }
            if let duplicate { result[direction].duplication = duplicate }
            if let reorder { result[direction].reordering = reorder }
            if let corrupt { result[direction].corruption = corrupt }
            result[direction].outages += outage
            result[direction].randomOutages += randomOutage
            // The client is bound again once, not once for each direction.
            result[direction].changes += change.filter { if case .rebind = $0.kind { direction == .up } else { true } }
        }
        return result
    }

    private func lossModel(_ loss: Probability?) throws(Failure) -> LossModel? {
        guard let loss else { return nil }
        guard let burst, loss > .never else { return loss == .never ? LossModel.none : .independent(loss) }
        guard let chain = GilbertElliott(share: loss, meanBurstPackets: burst) else {
            throw Failure(.usage, "no loss process has this share of losses and --burst; a burst is 1 packet or more")
        }
        return .gilbertElliott(chain)
    }
}
