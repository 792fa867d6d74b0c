import Foundation
import MastCapture
import MastFiles
import MastLinkModel
import MastTimebase

/// Packets on their way through one direction of a link, in virtual time.
package struct LinkRun {
    package private(set) var link: Link
    package private(set) var packets = 0
    package private(set) var delays = IntervalHistogram()
    package private(set) var lastAt = Instant.zero
    /// When the last packet left the server.
    package private(set) var lastServedAt = Instant.zero
    private var sinks: LinkRunSinks
    private var outcomes: [LinkOutcome] = []
    private var events: [LinkEvent] = []

    package init(link: Link, sinks: LinkRunSinks) {
        (self.link, self.sinks) = (link, sinks)
        self.link.isRecording = true
    }

    package mutating func offer(_ packet: LinkRunPacket) throws {
        link.advance(to: packet.at, &outcomes)
        try drain()
        let id = UInt64(packets)
        packets += 1
        lastAt = packet.at
        sinks.expect(id, packet)
        link.offer(LinkPacket(id: id, bytes: packet.bytes, isECT: packet.isECT), at: packet.at)
    }

    /// Carries on until everything has come out that ever does.
    package mutating func finish() throws {
        link.advance(to: lastAt, &outcomes)
        try drain()
        while let next = link.nextEventTime {
            link.advance(to: next, &outcomes)
            try drain()
        }
        try sinks.finish()
    }

    private mutating func drain() throws {
        outcomes.removeAll(keepingCapacity: true)
        link.takeEvents(&events)
        for event in events {
            if case .departure(let waited) = event.kind {
                delays.add(waited)
                lastServedAt = event.at
            }
            try sinks.take(event)
        }
        events.removeAll(keepingCapacity: true)
    }
}

/// Where the events of a run go.
package struct LinkRunSinks {
    private struct Passenger {
        var at: Instant
        var bytes: Int
        var epochNanoseconds: Int64
        var frame: [UInt8]
        var wireBytes: Int
    }

    /// A line of the CSV file, which are in order of arrival.
    private struct Line {
        var at: Instant
        var bytes: Int
        var departure: Instant?
        var end: Instant?
        var outcome: String?
    }

    /// A record of the capture file that waits for its place in time, or for its packet's fate.
    private struct Record {
        var id: UInt64
        var epochNanoseconds: Int64
        var isDelivery: Bool
        var comment: String?
        var isReady: Bool
        /// Nothing of its packet follows.
        var isLast = false
    }

    private let format: LinkLog
    private var qlog: LinkQLog?
    private var logFile: BufferedFile?
    private var csvFile: BufferedFile?
    private let capture: CaptureFileWriter?
    private let capturePath: String
    private var passengers: [UInt64: Passenger] = [:]  // lookup only
    private var records: [Record] = []
    private var firstRecord = 0
    /// Records already forgotten, and where among all of them a packet's arrival stands.
    private var forgotten = 0
    private var arrivals: [UInt64: Int] = [:]  // lookup only
    private var text: [UInt8] = []
    /// The first `writtenLines` are in the file; the first of all is of packet `firstLine`.
    private var lines: [Line] = []
    private var writtenLines = 0
    private var firstLine: UInt64 = 0

    package init(
        scenario: LinkScenario, direction: LinkDirection, linkType: LinkType, out: String?, log: String?, logDecimals: Int,
        csv: String?, qlog: String? = nil
    ) throws {
        format = LinkLog(decimals: logDecimals)
        logFile = try log.map { path throws(FileFailure) in try BufferedFile(path) }
        csvFile = try csv.map { path throws(FileFailure) in try BufferedFile(path) }
        self.qlog = try qlog.map { path throws(FileFailure) in try LinkQLog(path, scenario: scenario.name, direction: direction) }
        capturePath = out ?? ""
        capture = try out.map { path throws(CaptureError) in
            try CaptureFileWriter(
                path: path, format: .pcapng,
                interfaces: [.init(name: "before the link", linkType: linkType), .init(name: "after the link", linkType: linkType)])
        }
        try logFile?.write(format.header(scenario[direction], direction: direction, seed: scenario.seed))
        try csvFile?.write(Array("arrivalS,bytes,departureS,deliveryS,outcome\n".utf8))
    }

    package mutating func expect(_ id: UInt64, _ packet: LinkRunPacket) {
        if csvFile != nil { lines.append(Line(at: packet.at, bytes: packet.bytes)) }
        guard capture != nil else { return }
        passengers[id] = Passenger(
            at: packet.at, bytes: packet.bytes, epochNanoseconds: packet.epochNanoseconds, frame: packet.frame,
            wireBytes: packet.wireBytes)
    }

    package mutating func take(_ event: LinkEvent) throws {
        if logFile != nil {
            format.append(event, to: &text)
            if text.count > 1 << 16 { try flushLog() }
        }
        if csvFile != nil { try note(event) }
        try qlog?.take(event)
        guard let passenger = passengers[event.id] else { return }
        switch event.kind {
        case .opportunity, .note: break
        case .mark:
            if let number = arrivals[event.id] { records[number - forgotten].comment = "mast: congestion marked (CE) at \(Self.seconds(event.at)) s" }
        case .copy:
            // Its arrival is written as it stands: what becomes of the packet itself shows in a record of its own.
            if let number = arrivals.removeValue(forKey: event.id) { records[number - forgotten].isReady = true }
            let epoch = passenger.epochNanoseconds + (event.at - passenger.at).nanoseconds
            records.append(
                Record(id: event.id, epochNanoseconds: epoch, isDelivery: true, comment: "mast: a duplicate, made by the link", isReady: true))
            writeReady()
        case .arrival:
            if capture != nil {
                arrivals[event.id] = forgotten + records.count
                records.append(
                    Record(id: event.id, epochNanoseconds: passenger.epochNanoseconds, isDelivery: false, isReady: false))
            }
        case .departure: break
        case .delivery: try settle(event, passenger, nil)
        case .drop(let reason): try settle(event, passenger, reason)
        }
    }

    /// Fills in the packet's line, and writes what is complete up to the first that is not.
    private mutating func note(_ event: LinkEvent) throws {
        let index = Int(truncatingIfNeeded: event.id &- firstLine)
        guard lines.indices.contains(index) else { return }
        switch event.kind {
        case .departure: lines[index].departure = event.at
        case .delivery: (lines[index].end, lines[index].outcome) = (event.at, "delivered")
        case .drop(let reason): lines[index].outcome = reason.rawValue
        default: return
        }
        while writtenLines < lines.count, let outcome = lines[writtenLines].outcome {
            try write(lines[writtenLines], outcome)
            writtenLines += 1
        }
        if writtenLines > 4_096, writtenLines * 2 > lines.count {
            lines.removeFirst(writtenLines)
            firstLine += UInt64(writtenLines)
            writtenLines = 0
        }
    }

    private mutating func write(_ line: Line, _ outcome: String) throws {
        var row: [UInt8] = []
        row.reserveCapacity(64)
        Self.append(line.at, to: &row)
        row += Array(",\(line.bytes),".utf8)
        if let departure = line.departure { Self.append(departure, to: &row) }
        row.append(UInt8(ascii: ","))
        if let end = line.end { Self.append(end, to: &row) }
        row += Array(",\(outcome)\n".utf8)
        try csvFile?.write(row)
    }

    private mutating func settle(_ event: LinkEvent, _ passenger: Passenger, _ reason: LinkDropReason?) throws {
        let epoch = passenger.epochNanoseconds + (event.at - passenger.at).nanoseconds
        if let number = arrivals.removeValue(forKey: event.id) {
            let place = number - forgotten
            records[place].isReady = true
            if let reason {
                records[place].comment = "mast: dropped (\(reason.rawValue)) at \(Self.seconds(event.at)) s"
                records[place].isLast = true
            }
        }
        if reason == nil {
            records.append(Record(id: event.id, epochNanoseconds: epoch, isDelivery: true, isReady: true, isLast: true))
        }
        writeReady()
    }

    /// Writes records in order of time, up to the first packet whose fate is open.
    private mutating func writeReady(all: Bool = false) {
        while firstRecord < records.count, all || records[firstRecord].isReady {
            let record = records[firstRecord]
            firstRecord += 1
            guard let passenger = passengers[record.id] else { continue }
            capture?.write(
                frame: passenger.frame, wireBytes: passenger.wireBytes, epochNanoseconds: record.epochNanoseconds,
                interface: record.isDelivery ? 1 : 0, comment: record.comment)
            if record.isLast { passengers[record.id] = nil }
        }
        if firstRecord > 4_096, firstRecord * 2 > records.count {
            records.removeFirst(firstRecord)
            forgotten += firstRecord
            firstRecord = 0
        }
    }

    private mutating func flushLog() throws {
        try logFile?.write(text)
        text.removeAll(keepingCapacity: true)
    }

    package mutating func finish() throws {
        try flushLog()
        try logFile?.close()
        // What never came out.
        for line in lines[writtenLines...] { try write(line, line.outcome ?? "waiting") }
        try csvFile?.close()
        try qlog?.close()
        writeReady(all: true)
        capture?.flush()
        if let capture, capture.hasFailed { throw FileFailure(.unavailable, "cannot write \(capturePath); check the disk") }
    }

    package static func seconds(_ instant: Instant) -> String {
        var text: [UInt8] = []
        append(instant, to: &text)
        return String(decoding: text, as: UTF8.self)
    }

    /// With all nine decimals.
    private static func append(_ instant: Instant, to text: inout [UInt8]) {
        text += Array("\(instant.nanoseconds / 1_000_000_000).".utf8)
        let fraction = max(0, instant.nanoseconds % 1_000_000_000)
        var place: Int64 = 100_000_000
        while place > 0 {
            text.append(UInt8(ascii: "0") + UInt8(fraction / place % 10))
            place /= 10
        }
    }
}
