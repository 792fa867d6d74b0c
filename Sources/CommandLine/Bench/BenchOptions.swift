import ArgumentParser
import MastLoadGenerator
import MastTimebase

/// Calls a second.
struct CallRate: ExpressibleByArgument {
    var perSecond: Double
    init(_ perSecond: Double) { self.perSecond = perSecond }
    init?(argument: String) {
        guard let rate = LoadSchedule.Shape.rate(argument) else { return nil }
        perSecond = rate
    }
    var defaultValueDescription: String { LoadSchedule.Shape.shown(perSecond) }
}

/// What a load test puts on a server.
struct LoadOptions: ParsableArguments {
    /// What nobody minds, and what tells a median and a p99 of ten calls' weight.
    static let rate = CallRate(100)
    static let length = Interval.seconds(10)
    /// One process's share of what a host may have open, and of its sockets' threads.
    private static let most = (concurrency: 65_536, connections: 64, calls: 1_000_000_000)

    struct Ramp: ExpressibleByArgument {
        let shape: LoadSchedule.Shape
        init?(argument: String) {
            guard let shape = LoadSchedule.Shape(ramp: argument) else { return nil }
            self.shape = shape
        }
    }

    struct Steps: ExpressibleByArgument {
        let shape: LoadSchedule.Shape
        init?(argument: String) {
            guard let shape = LoadSchedule.Shape(steps: argument) else { return nil }
            self.shape = shape
        }
    }

    @Option(name: [.customShort("r"), .customLong("rate"), .customLong("rps")], help: ArgumentHelp("Calls a second, in an open loop; 0 is a closed loop. Default: 100.", valueName: "calls"))
    var rate: CallRate?

    @Option(help: ArgumentHelp("A rate that climbs or falls, then stays: 100..2000/30s.", valueName: "from..to/time"))
    var ramp: Ramp?

    @Option(help: ArgumentHelp("Rates one after the other: 100,500,1000/10s, or 100..1000+100/10s.", valueName: "rates/time"))
    var step: Steps?

    @Flag(help: "A closed loop: -c calls in flight at once, each followed by the next.")
    var closed = false

    @Option(name: [.customShort("z"), .long], help: ArgumentHelp("How long calls are begun. Default: 10s, or what --ramp or --step take.", valueName: "time"))
    var duration: Interval?

    @Option(name: [.customShort("n"), .long], help: ArgumentHelp("How many calls, instead of -z or within it.", valueName: "calls"))
    var total: Int?

    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("The most calls in flight. Those that find no place are sent late, and timed from when they were due.", valueName: "n"))
    var concurrency = 64

    @Option(help: ArgumentHelp("Connections, each with a socket and a thread, that share the calls.", valueName: "n"))
    var connections = 1

    @Option(help: ArgumentHelp("Calls before the run, at its first rate, that do not count.", valueName: "time"))
    var warmup: Interval = .zero

    @Option(name: [.customShort("t"), .long, .customLong("timeout")], help: ArgumentHelp("The most time a call may take, from when it was due.", valueName: "time"))
    var deadline: Interval = .seconds(10)

    @Option(help: ArgumentHelp("A call that the generator itself begins later than this is late. Of more than 1 % the run is void.", valueName: "time"))
    var late: Interval = .milliseconds(1)

    func validate() throws {
        let named = [rate.map { $0.perSecond > 0 } == true ? "-r" : nil, ramp.map { _ in "--ramp" }, step.map { _ in "--step" }].compactMap { $0 }
        guard named.count <= 1 else { throw ValidationError("\(named.joined(separator: " and ")) are different loads; give one of them") }
        if isClosed, let load = named.first { throw ValidationError("a closed loop has no rate; give \(load) or --closed") }
        guard total.map({ $0 >= 1 }) ?? true else { throw ValidationError("-n must be 1 or more") }
        guard total.map({ $0 <= Self.most.calls }) ?? true else { throw ValidationError("-n must be \(Self.most.calls) or less; -z goes by time") }
        guard duration.map({ $0 > .zero }) ?? true else { throw ValidationError("-z must be above 0") }
        guard (1...Self.most.concurrency).contains(concurrency) else { throw ValidationError("-c must be 1 to \(Self.most.concurrency)") }
        guard (1...Self.most.connections).contains(connections) else { throw ValidationError("--connections must be 1 to \(Self.most.connections)") }
        guard connections <= concurrency else {
            throw ValidationError("\(connections) connections need at least as many calls in flight; give -c \(connections) or more")
        }
        let hour = Interval.seconds(3_600)
        guard deadline > .zero, deadline <= hour else { throw ValidationError("--deadline must be above 0 and at most 1h") }
        guard late >= .microseconds(100) else { throw ValidationError("--late must be 100us or more: timers are no more punctual") }
        if let total, !isClosed, duration == nil, schedule.start(of: schedule.warmupCalls + total - 1) == nil {
            throw ValidationError("of this load fewer than -n \(total) calls ever become due; give another load, or -z")
        }
        guard (duration ?? .zero) <= hour * 24 * 30, warmup <= hour else { throw ValidationError("-z must be at most 720h, and --warmup at most 1h") }
    }

    var isClosed: Bool { closed || rate?.perSecond == 0 }
    /// Nobody chose a rate.
    var isStandard: Bool { !isClosed && rate == nil && ramp == nil && step == nil }

    var shape: LoadSchedule.Shape { ramp?.shape ?? step?.shape ?? .constant(isClosed ? 0 : (rate ?? Self.rate).perSecond) }

    /// How long the counted part is at most; nil where the number of calls alone ends it.
    var length: Interval? { duration ?? (total == nil ? LoadSchedule.ownLength(shape) ?? Self.length : nil) }

    var schedule: LoadSchedule { LoadSchedule(shape, calls: total, length: length, warmup: warmup) }
}
