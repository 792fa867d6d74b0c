import ArgumentParser
import Foundation
import MastCapture
import MastDatagrams
import MastLinkEmulator
import MastLinkModel
import MastTimebase
import MastUDPDriver

struct LinkRelayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay", abstract: "Carry datagrams between programs as a modelled link would.",
        discussion: """
            Listens for UDP and passes everything to the target through the link, and the answers back. Prints \
            `mast relay ready: ADDRESS target ADDRESS`, and its counts when it ends (SIGTERM, Ctrl-C or --duration).

              mast link relay --target 127.0.0.1:4600 --listen 4700 \\
                --down-rate 12mbit --delay 30ms --outage hold:10s+2s
            """)

    @Option(help: ArgumentHelp("Where datagrams go, as host:port.", valueName: "host"))
    var target: String

    @Option(help: ArgumentHelp("Where clients send to: address:port, or a port on the loopback interface; 0 lets the system choose.", valueName: "address"))
    var listen = NetworkAddress.loopback(port: 0)

    @OptionGroup(title: "Link options") var link: LinkOptions

    @Flag(help: "Give each client a link of its own, instead of one cell for all.")
    var perClient = false

    @Option(help: ArgumentHelp("Stop after this long.", valueName: "time"))
    var duration: Interval?

    @Option(help: ArgumentHelp("Write what passes to a capture file (pcapng if its name ends so, else pcap).", valueName: "file"))
    var record: String?

    @Option(help: ArgumentHelp("Which end of the link to record: client or target.", valueName: "end"))
    var recordAt: RecordingEnd = .client

    @Option(help: ArgumentHelp("Bytes to record of each packet, IP header included; its length is kept.", valueName: "bytes"))
    var recordBytes = CaptureWriter.longestSnap

    @Option(help: ArgumentHelp("Write the link's events to PREFIX.up.log and PREFIX.down.log, as mm-link logs them.", valueName: "prefix"))
    var log: String?

    @Option(help: ArgumentHelp("Fractional digits of a millisecond in the log, 0 to 6; mm-link has none.", valueName: "digits"))
    var logDecimals = 0

    @Flag(help: ArgumentHelp("End when standard input does.", visibility: .hidden))
    var followParent = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (28...CaptureWriter.longestSnap).contains(recordBytes) else {
            throw ValidationError("--record-bytes must be 28 (the headers) to \(CaptureWriter.longestSnap)")
        }
        guard (0...6).contains(logDecimals) else { throw ValidationError("--log-decimals must be 0 to 6") }
        if perClient, log != nil { throw ValidationError("--log is of one cell; leave --per-client out") }
    }

    func run() async throws {
        let scenario = try link.resolved()
        let addresses = try await lookUp(try HostPort(target))
        var configuration = UDPRelayConfiguration(listen: listen, target: addresses[0], scenario: scenario)
        configuration.targets = addresses
        configuration.logger = ServerOptions.logger("mast.relay", .notice)
        configuration.sharing = perClient ? .perClient : .oneCell
        let recording = try record.map { path throws(CaptureError) in try RelayRecording(path, at: recordAt, snapLength: recordBytes) }
        if let recording { configuration.tap = { recording.take($0) } }
        let logs = RelayLog(try LinkLogFiles(prefix: log, decimals: logDecimals, scenario: scenario))
        if log != nil { configuration.log = { logs.files.take($0, $1) } }
        let requests = Termination.requests(followParent: followParent)
        let relay = try await UDPRelay.start(configuration)
        Output.line("mast relay ready: \(relay.localAddress) target \(addresses[0])")
        let duration = duration
        try await Termination.run(until: requests) {
            // A relay has no work of its own to wait for.
            try await Task.sleep(for: duration.map { .nanoseconds($0.nanoseconds) } ?? .seconds(86_400 * 365))
        }
        let (statistics, elapsed) = (try await relay.statistics(), try await relay.now().sinceStart)
        await relay.stop()
        if let recording, let lost = recording.finish() {
            Output.note("\(recording.path): \(lost) packets could not be written; check the disk")
        }
        try logs.files.close()
        let report = RelayReport(statistics, scenario, elapsed: elapsed, recorded: recording?.count)
        if output.json { try Output.json(report) } else { Output.text(report.text) }
    }
}

/// The relay writes its logs on one thread only, and they are closed after its end.
private final class RelayLog: @unchecked Sendable {
    let files: LinkLogFiles
    init(_ files: LinkLogFiles) { self.files = files }
}

/// Where along the link a recording is made.
enum RecordingEnd: String, ExpressibleByArgument, CaseIterable, Sendable {
    case client, target
}

/// Writes the datagrams at one end of a relay's link to a capture file, in order of time.
private final class RelayRecording: Sendable {
    let path: String
    private let end: RecordingEnd
    private let began: Int64
    private let writer: UncheckedWriter

    /// The relay calls its tap on one thread only, and `finish` follows the relay's end.
    private final class UncheckedWriter: @unchecked Sendable {
        let file: CaptureFileWriter
        /// In order of time.
        var waiting: [RelayedDatagram] = []
        init(_ file: CaptureFileWriter) { self.file = file }
    }

    /// A delivery bears the model's time and is made a little later, when something else may have come: what is
    /// younger than this waits for its place.
    private static let settling = Interval.milliseconds(250)
    private static let mostWaiting = 65_536

    init(_ path: String, at end: RecordingEnd, snapLength: Int) throws(CaptureError) {
        (self.path, self.end) = (path, end)
        began = SystemClock().wallTime().milliseconds * 1_000_000
        writer = UncheckedWriter(
            try CaptureFileWriter(path: path, format: path.hasSuffix("ng") ? .pcapng : .pcap, snapLength: snapLength))
    }

    var count: Int { writer.file.packetCount }

    func take(_ datagram: RelayedDatagram) {
        // The near end of the way up is where packets arrive, its far end where they are delivered.
        let wanted: RelayedDatagram.Stage = (datagram.direction == .up) == (end == .client) ? .arrived : .delivered
        guard datagram.stage == wanted else { return }
        let place = (writer.waiting.lastIndex { $0.at <= datagram.at } ?? -1) + 1
        writer.waiting.insert(datagram, at: place)
        let newest = writer.waiting.last?.at ?? datagram.at
        guard let first = writer.waiting.first, newest - first.at > Self.settling * 2 || writer.waiting.count >= Self.mostWaiting
        else { return }
        write(max(1, writer.waiting.firstIndex { newest - $0.at <= Self.settling } ?? 0))
    }

    /// The first `count` that wait.
    private func write(_ count: Int) {
        for datagram in writer.waiting.prefix(count) { write(datagram) }
        writer.waiting.removeFirst(count)
    }

    private func write(_ datagram: RelayedDatagram) {
        let near = end == .client ? datagram.client : datagram.upstream ?? datagram.client
        let (source, destination) = datagram.direction == .up ? (near, datagram.target) : (datagram.target, near)
        writer.file.write(
            datagram: datagram.payload, from: source, to: destination, epochNanoseconds: began + datagram.at.nanoseconds)
    }

    /// - Returns: how many packets were lost, if the disk refused.
    func finish() -> Int? {
        write(writer.waiting.count)
        writer.file.flush()
        return writer.file.hasFailed ? writer.file.droppedCount : nil
    }
}
