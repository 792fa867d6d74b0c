import ArgumentParser
import Foundation
import MastCapture
import MastFiles
import MastLinkEmulator
import MastLinkModel
import MastTimebase

struct LinkShellCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shell", abstract: "Run any program behind a modelled link, in a network namespace of its own.",
        discussion: """
            Without a command, your shell. Inside, services of this host, those on 127.0.0.1 too, are at $MAST_HOST \
            (IPv6: $MAST_HOST6). Up is the way out of the namespace; the link's time begins with its first packet; --delay is of each direction. Names are resolved \
            as on the host. Ends with the program's own exit code; what the program leaves running ends too.

              mast link shell --rate 12mbit --delay 20ms --loss 1% -- \\
                sh -c 'ping -c 4 $MAST_HOST'
              mast link shell --down lte.down --up lte.up --delay 20ms --log lte -- \\
                sh -c 'iperf3 -c $MAST_HOST'

            Shells may be nested: $MAST_HOST is the outermost host in all of them, reached through every link, so delays and losses add up (this needs nft). \
            The inner one knows it from its network, not from the environment, which sudo may have emptied.

              mast link shell --delay 10ms -- mast link shell --loss 1% -- \\
                sh -c 'ping -c 4 $MAST_HOST'

            The rest of the world is reached if nft is installed: while shells are open, the host forwards packets and hides them behind its own addresses; \
            the last one to end leaves its settings as the first one found them, net.ipv4.ip_forward is never written.

            On a terminal its lowest row shows the rate each way, what waits in the queues and what was lost, while a program \
            writes line by line (--no-progress: never). $MAST_LINK holds the link's name, and your shell's prompt begins with (mast).

            Needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN.
            """)

    @OptionGroup(title: "Link options") var link: LinkOptions

    @Option(help: ArgumentHelp("The devices' largest packet, IP header included.", valueName: "bytes"))
    var mtu = 1_500

    @Option(help: ArgumentHelp("Write the link's events to PREFIX.up.log and PREFIX.down.log, as mm-link logs them.", valueName: "prefix"))
    var log: String?

    @Option(help: ArgumentHelp("Fractional digits of a millisecond in the log, 0 to 6; mm-link has none.", valueName: "digits"))
    var logDecimals = 0

    @Option(help: ArgumentHelp("The link's own time at its first packet: begins further on in a trace or timeline.", valueName: "time"))
    var startAt = Interval.zero

    @Option(help: ArgumentHelp("At the end, write the counts and how exact departures were to this file, as JSON.", valueName: "file"))
    var stats: String?

    @Flag(help: "No live line on the terminal.")
    var noProgress = false

    @Argument(parsing: .postTerminator, help: ArgumentHelp("The program and its arguments, after --.", valueName: "command"))
    var command: [String] = []

    func validate() throws {
        guard (576...65_535).contains(mtu) else { throw ValidationError("--mtu must be 576 to 65535") }
        guard startAt >= .zero else { throw ValidationError("--start-at must not be negative") }
        guard (0...6).contains(logDecimals) else { throw ValidationError("--log-decimals must be 0 to 6") }
    }

    func run() throws {
        let scenario = try link.resolved()
        // The program gets the terminal's signals itself; we go on carrying its packets until it has ended.
        for number in [SIGINT, SIGQUIT, SIGPIPE, SIGHUP] { signal(number, SIG_IGN) }
        // Waits for the program to be there.
        var ending = sigset_t()
        sigemptyset(&ending)
        sigaddset(&ending, SIGTERM)
        sigprocmask(SIG_BLOCK, &ending, nil)

        let device: TunnelDevice
        do throws(TUNShellError) { device = try TunnelDevice(mtu: mtu) } catch { throw Self.failure(error) }
        defer { HostMasquerade.end(of: device) }
        let addresses = device.addresses
        var environment = ProcessInfo.processInfo.environment
        environment["MAST_HOST"] = addresses.outermostHost
        environment["MAST_HOST6"] = addresses.outermostHost6
        environment["MAST_LINK"] = scenario.name
        let words = command.isEmpty ? [environment["SHELL"] ?? "/bin/sh"] : command
        if command.isEmpty {
            Self.mark(&environment)
            if isatty(2) == 1 { Output.note("you are behind the link \(scenario.name); the host is at $MAST_HOST, and exit leads back") }
        }
        var configuration = TUNShell.Configuration(scenario: scenario, command: words, environment: environment)
        configuration.mtu = mtu
        configuration.extraBytes = link.opportunityBytes == 1504 ? 4 : 0
        configuration.isRecording = log != nil
        configuration.begin = startAt
        let names = try HostNames(addresses: addresses)
        defer { names.remove() }
        (configuration.resolvConf, configuration.resolver) = (names.file, names.resolver)
        let logs = try LinkLogFiles(prefix: log, decimals: logDecimals, scenario: scenario)
        if !HostMasquerade.begin(for: device) {
            Output.note(
                addresses.isInsideAnother
                    ? "without nft nothing outside the shell around this one is reachable, $MAST_HOST neither; that shell itself is at \(addresses.host)"
                    : "only this host is reachable from inside: install nft for the rest of the world")
        }

        let shell = TUNShell(configuration, device: device)
        let (status, statistics): (Int32, TUNShell.Statistics)
        do throws(TUNShellError) {
            let gauge = Lock<(LinkGauge?, LinkGaugeLine)>((nil, LinkGaugeLine()))
            let line = noProgress ? nil : StatusLine {
                gauge.withLock { state in
                    guard let now = state.0 else { return "" }
                    return state.1.line(now, format: TextLayout.bitRate, bytes: TextLayout.bytes)
                }
            }
            defer { line?.end() }
            let observe: ((LinkGauge) -> Void)? = line == nil ? nil : { now in gauge.withLock { $0.0 = now } }
            (status, statistics) = try shell.run(observe: observe) { direction, events in logs.take(direction, events) }
        } catch { throw Self.failure(error) }
        try logs.close()
        if let stats { try InputFile.write(Array((try Output.jsonText(LinkShellReport(statistics, scenario)) + "\n").utf8), to: stats) }
        if statistics.lost > 0 { Output.note("\(statistics.lost) packets were lost outside the link: a device did not take them") }
        if status != 0 { throw ExitCode(status) }
    }

    /// Lets the prompt say where it is. A shell's own start files set its prompt, so bash is told after them; the others take
    /// what they find.
    private static func mark(_ environment: inout [String: String]) {
        let mark = "(mast) "
        environment["PROMPT_COMMAND"] = "case $PS1 in '\(mark)'*) ;; *) PS1='\(mark)'\"$PS1\" ;; esac" + (environment["PROMPT_COMMAND"].map { "; " + $0 } ?? "")
        if let prompt = environment["PS1"], !prompt.isEmpty {
            if !prompt.hasPrefix(mark) { environment["PS1"] = mark + prompt }
        } else {
            environment["PS1"] = mark + "$ "
        }
    }

    private static func failure(_ error: TUNShellError) -> Failure {
        error.isForbidden
            ? Failure(.unavailable, "\(error): mast link shell needs root (try sudo), or CAP_NET_ADMIN and CAP_SYS_ADMIN; mast link relay needs neither")
            : Failure(.unavailable, "\(error); mast doctor says what this machine offers")
    }
}

/// What a shell's link did.
struct LinkShellReport: Encodable {
    struct Lateness: Encodable {
        var packets: Int
        var p50Us, p99Us, maxUs: Double

        init(_ histogram: IntervalHistogram) {
            let microseconds = { (share: Double) in Double(histogram.quantile(share)?.nanoseconds ?? 0) / 1_000 }
            (packets, p50Us, p99Us, maxUs) = (histogram.count, microseconds(0.5), microseconds(0.99), Double(histogram.maximum.nanoseconds) / 1_000)
        }
    }

    struct Passage: Encodable {
        var p50Ms, p95Ms, maxMs: Double

        init(_ histogram: IntervalHistogram) {
            let milliseconds = { (share: Double) in Double(histogram.quantile(share)?.nanoseconds ?? 0) / 1e6 }
            (p50Ms, p95Ms, maxMs) = (milliseconds(0.5), milliseconds(0.95), Double(histogram.maximum.nanoseconds) / 1e6)
        }
    }

    var scenario: String
    var seed: UInt64
    var elapsedS: Double
    var up, down: RelayReport.Direction
    var upLateness, downLateness: Lateness
    /// From one end of the link to the other, queue included.
    var upDelay, downDelay: Passage
    var lostOutsideTheLink: Int
    /// CLOCK_MONOTONIC when the link's time was zero.
    var zeroMonotonicNs: Int64?

    init(_ statistics: TUNShell.Statistics, _ scenario: LinkScenario) {
        (self.scenario, seed, elapsedS) = (scenario.name, scenario.seed, statistics.elapsed.inSeconds)
        (up, down) = (RelayReport.Direction(statistics.up), RelayReport.Direction(statistics.down))
        (upLateness, downLateness) = (Lateness(statistics.upLateness), Lateness(statistics.downLateness))
        (upDelay, downDelay) = (Passage(statistics.upPassage), Passage(statistics.downPassage))
        lostOutsideTheLink = statistics.lost
        zeroMonotonicNs = statistics.zeroNanoseconds
    }
}
