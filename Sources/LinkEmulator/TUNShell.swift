import CTunnel
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif
import MastLinkModel
import MastTimebase

/// A program in a network namespace of its own, whose only way out leads through a link.
///
/// Two TUN devices face each other, one in the namespace and one at the host; everything between them passes through
/// the scenario's two directions, `up` being the way out. One thread does it all: it sleeps until shortly before the
/// next departure and then polls, because sleepers wake up late.
package final class TUNShell {
    package struct Configuration: Sendable {
        package var scenario: LinkScenario
        package var mtu = 1_500
        /// Counted with every packet beside its IP length: 4 to count as Mahimahi's shells do.
        package var extraBytes = 0
        package var command: [String]
        package var environment: [String: String]
        package var resolvConf: String?
        /// The host's resolver, when name queries shall be passed on to it.
        package var resolver: UInt32?
        package var isRecording = false
        /// The link's own time at its first packet.
        package var begin = Interval.zero

        package init(scenario: LinkScenario, command: [String], environment: [String: String]) {
            (self.scenario, self.command, self.environment) = (scenario, command, environment)
        }
    }

    package struct Statistics: Sendable {
        package var up: LinkStatistics
        package var down: LinkStatistics
        /// How late packets left against the model's time.
        package var upLateness: IntervalHistogram
        package var downLateness: IntervalHistogram
        /// How long packets were on the link.
        package var upPassage: IntervalHistogram
        package var downPassage: IntervalHistogram
        /// Packets that a device did not take, or for which there was no memory.
        package var lost: Int
        package var elapsed: Interval
        /// CLOCK_MONOTONIC, nanoseconds, when the link's time was zero; nil if no packet came.
        package var zeroNanoseconds: Int64?
    }

    private let configuration: Configuration
    private let device: TunnelDevice

    /// - Parameter device: stays open at the end.
    package init(_ configuration: Configuration, device: TunnelDevice) {
        (self.configuration, self.device) = (configuration, device)
    }

    /// Runs the command to its end. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
    ///
    /// - Parameters:
    ///   - observe: is told some ten times a second what the link does; packets wait for it.
    ///   - log: gets the events of a direction, if the configuration asks for them.
    /// - Returns: its exit status, 128 + the signal's number if one ended it.
    package func run(observe: ((LinkGauge) -> Void)? = nil, log: (LinkDirection, [LinkEvent]) -> Void) throws(TUNShellError) -> (status: Int32, Statistics) {
        var inside: Int32 = -1
        let child = try spawn(&inside)
        defer { close(inside) }
        let outside = device.descriptor
        mast_timer_slack(1)

        let scenario = configuration.scenario
        var up = TunnelLink(
            scenario.link(.up), from: inside, to: outside, mtu: configuration.mtu, extraBytes: configuration.extraBytes,
            isRecording: configuration.isRecording)
        var down = TunnelLink(
            scenario.link(.down), from: outside, to: inside, mtu: configuration.mtu, extraBytes: configuration.extraBytes,
            isRecording: configuration.isRecording)
        var names = configuration.resolver.flatMap { NameForwarder(resolverAddress: $0) }
        let rewrite = HostRewrite(hostAddress: device.addresses.host4, namePort: names?.port)
        var translation = AddressTranslation(inside: device.addresses.inside4, rebindings: scenario.rebindings)
        let life = TunnelClock()
        up.begin(at: .zero + configuration.begin)
        down.begin(at: .zero + configuration.begin)
        // The link's time begins with its first packet: a timeline does not run off while the program starts.
        var clock = TunnelClock(at: configuration.begin)
        var status: Int32 = 0
        var nextCheck = Instant.zero
        var nextGauge = Instant.zero
        let descriptors = [inside, outside, names?.socket ?? -1, names?.resolver ?? -1]
        let nameBits: UInt32 = 0b1100

        while true {
            var now = clock.now
            if up.isUntouched, down.isUntouched {
                // Exactly: a stall of the host between two readings of its clock is no time of the link's.
                clock = TunnelClock(at: configuration.begin)
                now = .zero + configuration.begin
            }
            if life.now >= nextCheck {
                let ended = waitpid(child, &status, WNOHANG)
                if ended == child || ended < 0 && errno == ECHILD { break }
                nextCheck = life.now + .milliseconds(2)
                // Under load nobody waits below.
                names?.pump()
            }
            if let observe, life.now >= nextGauge {
                nextGauge = life.now + Self.gaugePause
                observe(LinkGauge(time: life.now, up: up.gauge, down: down.gauge))
            }
            let more = (up.takeIn(at: now) { _ in true }, down.takeIn(at: now) { translation.isEmpty || translation.inward($0, at: now) })
            // Nor has a link time that runs back: one that is still to begin is not moved on by such a stall.
            let (settled, time) = (up.isUntouched && down.isUntouched ? now : clock.now, clock)
            up.giveOut(
                at: settled, clock: { time.now },
                prepare: { packet in
                    if !translation.isEmpty { translation.outward(packet, at: settled) }
                    rewrite.inbound(packet)
                }) { log(.up, $0) }
            down.giveOut(at: settled, clock: { time.now }, prepare: rewrite.outbound) { log(.down, $0) }
            if more.0 || more.1 { continue }
            let next = min(up.nextEventTime ?? .distantFuture, down.nextEventTime ?? .distantFuture)
            let pause = min(next - clock.now - Self.pollBefore, Self.longestPause)
            guard pause > .zero else { continue }
            if mast_wait(descriptors, 4, Int(pause.nanoseconds)) & nameBits != 0 { names?.pump() }
        }
        let elapsed = life.now.sinceStart
        let statistics = Statistics(
            up: up.link.statistics, down: down.link.statistics, upLateness: up.lateness, downLateness: down.lateness,
            upPassage: up.passage, downPassage: down.passage,
            lost: up.lost + down.lost, elapsed: elapsed, zeroNanoseconds: up.isUntouched && down.isUntouched ? nil : clock.start)
        return (status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F, statistics)
    }

    /// Sleepers wake up late by 50 µs and more, so the last stretch is polled.
    private static let pollBefore = Interval.microseconds(120)
    private static let gaugePause = Interval.milliseconds(100)
    /// How late the child's end may be noticed.
    private static let longestPause = Interval.milliseconds(10)

    private func spawn(_ tun: inout Int32) throws(TUNShellError) -> pid_t {
        var arguments = configuration.command.map { strdup($0) }
        var environment = configuration.environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") }
        defer { for pointer in arguments + environment { free(pointer) } }
        arguments.append(nil)
        environment.append(nil)
        var inside: Int32 = -1
        var step: UnsafePointer<CChar>?
        var code: Int32 = 0
        let file = configuration.resolvConf.map { strdup($0) }
        defer { free(file ?? nil) }
        let child = device.addresses.withCStrings(isHost: false, mtu: configuration.mtu) { address -> pid_t in
            arguments.withUnsafeMutableBufferPointer { arguments in
                environment.withUnsafeMutableBufferPointer { environment in
                    var request = mast_spawn(
                        address: address, resolv_conf: file ?? nil, arguments: arguments.baseAddress,
                        environment: environment.baseAddress)
                    let child = mast_spawn_process(&request, &inside, &step)
                    code = errno
                    return child
                }
            }
        }
        guard child > 0 else { throw TUNShellError(step: step.map { String(cString: $0) } ?? "cannot start", code: code) }
        tun = inside
        return child
    }
}

/// Time since the shell began, on a clock that nobody sets.
struct TunnelClock {
    let start: Int64

    /// - Parameter now: what it shows as it begins.
    init(at now: Interval = .zero) { start = Self.read() - now.nanoseconds }

    var now: Instant { Instant(nanoseconds: Self.read() - start) }

    private static func read() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

/// Why there is no shell.
package struct TUNShellError: Error, Sendable, CustomStringConvertible {
    package var step: String
    package var code: Int32
    package var isForbidden: Bool { code == EPERM || code == EACCES }
    package var description: String { "\(step): \(String(cString: strerror(code)))" }
}
