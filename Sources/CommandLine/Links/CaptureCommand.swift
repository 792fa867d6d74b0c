import ArgumentParser
import Foundation
import MastCapture
import MastFiles
import MastPacketTools
import MastTimebase
import MastTransport
import Synchronization

struct CaptureCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture", abstract: "Record packets of a network interface.",
        discussion: """
            Writes them to a capture file, shows on a terminal what passes (packets, the rate each way, what the kernel dropped, \
            the busiest flow), and ends with a summary \
            (Ctrl-C, SIGTERM, --count or --duration). Capturing takes root or CAP_NET_RAW; once the interface and the \
            files are open, root is given up for good: to the user who called sudo, else to `nobody`.

              mast capture --list
              mast capture -i eth0 -w road.pcapng --filter "udp port 4433" --ring 10x100MB
              mast capture -r road.pcapng --dissect
              MAST_KEYLOG=keys.txt mast call HOST SERVICE/METHOD -d JSON
              mast capture -r road.pcapng --dissect --keylog keys.txt

            --dissect takes a conversation for our transport's once an answer in it matches its opening, and then prints \
            both; of one recorded from its middle on, what a key log names, and what goes to or comes from a --port. With \
            --json it is {"datagrams": [ … ], "packets": …}, one datagram a line.
            """)

    @Option(name: [.customShort("i"), .long], help: ArgumentHelp("The interface to listen on; `any` is all of them.", valueName: "name"))
    var interface: String?

    @Flag(help: "List the interfaces.")
    var list = false

    @Option(name: [.customShort("r"), .customLong("read")], help: ArgumentHelp("Read a capture instead of an interface; - is standard input.", valueName: "file"))
    var input: String?

    @Option(name: [.customShort("w"), .customLong("write")], help: ArgumentHelp("Where packets go: pcapng if its name ends so, else pcap; - is standard output.", valueName: "file"))
    var file: String?

    @Option(help: ArgumentHelp("What to take, in libpcap's language: pcap-filter(7).", valueName: "expression"))
    var filter: String?

    @Option(help: ArgumentHelp("Bytes to keep of a packet; its length is kept.", valueName: "bytes"))
    var snaplen = CaptureWriter.longestSnap

    @Option(help: ArgumentHelp("Write a ring of files, as COUNTxSIZE; the oldest is overwritten in place.", valueName: "10x100MB"))
    var ring: RingSize?

    @Option(name: [.customShort("c"), .long], help: ArgumentHelp("Stop after this many packets.", valueName: "n"))
    var count: Int?

    @Option(help: ArgumentHelp("Stop after this long.", valueName: "time"))
    var duration: Interval?

    @Flag(help: "Take what is not addressed to this machine, too, where the network shows it.")
    var promiscuous = false

    @Flag(help: "Print each datagram of our transport on a line: kind, connection IDs, packet number; with --keylog what is inside.")
    var dissect = false

    @Option(help: ArgumentHelp("What MAST_KEYLOG named when one of the ends ran: decrypts its connections. It may grow meanwhile.", valueName: "file"))
    var keylog: String?

    @Option(help: ArgumentHelp("A port whose datagrams are our transport's, whatever is in them.", valueName: "port"))
    var port: [UInt16] = []

    @Option(help: ArgumentHelp("Whom to go on as when started by root; `root` gives nothing up.", valueName: "user"))
    var user: String?

    @Flag(name: [.customShort("q"), .customLong("quiet"), .customLong("no-progress")], help: "No live line on the terminal.")
    var quiet = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard [list, interface != nil, input != nil].filter({ $0 }).count == 1 else {
            throw ValidationError("give one of -i INTERFACE, -r FILE and --list")
        }
        guard (1...CaptureWriter.longestSnap).contains(snaplen) else {
            throw ValidationError("--snaplen must be 1 to \(CaptureWriter.longestSnap)")
        }
        guard count ?? 1 > 0 else { throw ValidationError("--count must be above 0") }
        guard ring == nil || (file ?? "-") != "-" else { throw ValidationError("--ring needs -w FILE") }
        guard keylog == nil || dissect else { throw ValidationError("--keylog needs --dissect") }
        guard !(dissect && file == "-") else { throw ValidationError("--dissect and -w - both want standard output") }
    }

    func run() async throws {
        if list { return try printInterfaces() }
        if let input { return try await read(input) }
        guard let interface else { return }
        var configuration = LiveCapture.Configuration()
        (configuration.snapLength, configuration.isPromiscuous, configuration.filter) = (snaplen, promiscuous, filter)
        let capture = try LiveCapture(interface: interface, configuration)
        if let warning = capture.warning { Output.note(warning) }
        let privileges = try lesserPrivileges()
        // A file of root's own stays root's: it is open already, and `nobody` should own nothing.
        let recorder = try recorder(linkType: capture.linkType, owner: privileges?.name == "nobody" ? nil : privileges)
        if let privileges {
            if let fault = privileges.take() {
                throw Failure(.unavailable, "cannot go on as \(privileges.name): \(fault); --user root captures without giving root up")
            }
            Output.note("going on as \(privileges.name)")
        }
        let requests = Termination.requests()
        // A server's ready line: whoever waits for it knows that nothing is missed from here on.
        Output.note("capture ready: \(interface) \(capture.linkType)")
        var onLine: (@Sendable (String) -> Void)?
        // Lines of results would run into it.
        if !quiet, !output.json, isatty(2) == 1, !(dissect && isatty(1) == 1) { onLine = { Output.progress($0) } }
        let session = CaptureSession(capture, recorder, stopAfter: duration, onLine: onLine)
        try await Termination.run(until: requests, { await session.run() }, stop: { await session.stop() })
        if onLine != nil { Output.endProgress() }
        try finish(recorder, session.statistics, failure: session.failure, linkType: session.linkType)
    }

    private func recorder(linkType: LinkType, owner: LiveCapturePrivileges?) throws -> PacketRecorder {
        let writer = try file.map { path throws(CaptureError) in
            try CaptureRingWriter(
                path: path, ring: ring.map { .init(files: $0.files, bytes: $0.bytes) },
                interface: .init(name: interface ?? "mast0", linkType: linkType), snapLength: snaplen, owner: owner)
        }
        guard dissect else { return PacketRecorder(writer: writer, traffic: nil, snapLength: snaplen, limit: count ?? .max) }
        let traffic = TrafficReader(ports: port, keyLog: try keylog.map { path throws(FileFailure) in try KeyLogFollower(path: path) })
        return PacketRecorder(
            writer: writer, traffic: traffic, snapLength: snaplen, limit: count ?? .max, onDissected: DissectionOutput(isJSON: output.json).print)
    }

    private func lesserPrivileges() throws -> LiveCapturePrivileges? {
        guard geteuid() == 0, user != "root" else { return nil }
        if let user {
            guard let named = LiveCapturePrivileges.named(user) else { throw Failure(.usage, "there is no user \(user)") }
            return named
        }
        let environment = ProcessInfo.processInfo.environment
        return LiveCapturePrivileges.lesser(sudoUser: environment["SUDO_UID"], sudoGroup: environment["SUDO_GID"])
    }

    private func read(_ path: String) async throws {
        let capture = try CaptureFile(path: path, filter: filter)
        let recorder = try recorder(linkType: capture.linkType, owner: nil)
        var strangers = 0
        while !recorder.isFull {
            let more = capture.withNext { record, bytes in
                // One file has one link type here, as most programs expect.
                if record.linkType == capture.linkType || file == nil { recorder.take(record, bytes) } else { strangers += 1 }
            }
            if !more { break }
        }
        if strangers > 0 { Output.note("\(strangers) packets of interfaces with another link type were not written") }
        try finish(recorder, nil, failure: nil, linkType: capture.linkType)
        if let truncation = capture.truncation {
            throw Failure(.badData, "\(path) breaks off after \(capture.packetCount) packets (\(truncation)); everything before the break was used")
        }
    }

    private func finish(_ recorder: PacketRecorder, _ statistics: LiveCapture.Statistics?, failure: String?, linkType: LinkType) throws {
        recorder.writer?.flush()
        let report = CaptureReport(recorder, statistics, linkType: linkType)
        if let remark = recorder.traffic?.remark { Output.note(remark) }
        if dissect, output.json {
            // The list of datagrams may have had none.
            if recorder.dissected == 0 { Output.document("{\"datagrams\":[") }
            Output.document("]," + (try Output.jsonText(report)).dropFirst())
        } else if output.json {
            if file == "-" { Output.errorDocument(try Output.jsonText(report)) } else { try Output.json(report) }
        } else if dissect || file == "-" {
            Output.note(report.text)
        } else {
            Output.line(report.text)
        }
        if let writer = recorder.writer, writer.hasFailed {
            throw Failure(.unavailable, "\(recorder.packets - writer.packetCount) packets could not be written; check the disk")
        }
        if let failure { throw Failure(.unavailable, "the capture ended by itself: \(failure)") }
    }

    private func printInterfaces() throws {
        let interfaces = try LiveCaptureInterface.all()
        if output.json {
            try Output.json(["interfaces": interfaces])
        } else {
            let rows = interfaces.map { [$0.name, $0.isUp ? "up" : "down", $0.isLoopback ? "loopback" : "", $0.about] }
            Output.table([["interface", "state", "", "about"]] + rows, left: [0, 1, 2, 3])
        }
    }
}

/// `10x100MB`.
struct RingSize: ExpressibleByArgument, Hashable, Sendable {
    var files: Int
    var bytes: Int

    init?(argument: String) {
        let parts = argument.split(separator: "x", maxSplits: 1)
        // All files are open at once, and a process has 1,024 descriptors as a rule.
        guard parts.count == 2, let files = Int(parts[0]), (2...500).contains(files), let size = ByteCount(argument: String(parts[1])),
            size.bytes >= 1_000
        else { return nil }
        (self.files, bytes) = (files, size.bytes)
    }
}

/// The last word of `mast capture`.
struct CaptureReport: Encodable {
    var packets: Int
    var bytes: Int
    var durationS: Double
    var linkType: String
    var droppedPackets: Int?
    var interfaceDroppedPackets: Int?
    var writtenPackets: Int?
    var files: [String]?

    init(_ recorder: PacketRecorder, _ statistics: LiveCapture.Statistics?, linkType: LinkType) {
        (packets, bytes, durationS) = (recorder.packets, recorder.bytes, recorder.span.inSeconds)
        self.linkType = linkType.description
        (droppedPackets, interfaceDroppedPackets) = (statistics?.dropped, statistics?.droppedByInterface)
        (writtenPackets, files) = (recorder.writer?.packetCount, recorder.writer?.paths)
    }

    var text: String {
        var parts = ["\(packets) packets", TextLayout.bytes(bytes), "in " + TextLayout.fixed(durationS, 3) + " s"]
        if let droppedPackets { parts.append("\(droppedPackets) dropped by the kernel") }
        if let lost = interfaceDroppedPackets, lost > 0 { parts.append("\(lost) by the interface") }
        if let files, let first = files.first, let last = files.last { parts.append("in \(files.count > 1 ? first + " … " + last : first)") }
        return parts.joined(separator: ", ")
    }
}

/// Prints datagrams as they come: a line each, or as members of one JSON document's list.
private final class DissectionOutput {
    private let isJSON: Bool
    private var isFirst = true

    init(isJSON: Bool) { self.isJSON = isJSON }

    func print(_ record: TrafficRecord) {
        guard isJSON else { return Output.line(record.text) }
        // A record's numbers and texts can all be written as JSON.
        guard let text = try? Output.jsonText(record) else { return }
        Output.document((isFirst ? "{\"datagrams\":[" : ",") + text)
        isFirst = false
    }
}
