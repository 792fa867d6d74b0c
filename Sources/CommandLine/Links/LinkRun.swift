import Foundation
import MastCapture
import MastLinkModel
import MastTimebase

/// Packets on their way through one direction of a link, in virtual time.
struct LinkRun {
    private(set) var link: Link
    private(set) var packets = 0
    private(set) var delays = IntervalHistogram()
    private(set) var lastAt = Instant.zero
    private var sinks: LinkRunSinks
    private var outcomes: [LinkOutcome] = []
    private var events: [LinkEvent] = []

    init(link: Link, sinks: LinkRunSinks) {
        (self.link, self.sinks) = (link, sinks)
        self.link.isRecording = true
    }

    mutating func offer(_ packet: LinkRunPacket) throws {
        link.advance(to: packet.at, &outcomes)
        try drain()
        let id = UInt64(packets)
        packets += 1
        lastAt = packet.at
        sinks.expect(id, packet)
        link.offer(LinkPacket(id: id, bytes: packet.bytes), at: packet.at)
    }

    /// Carries on until everything has come out that ever does.
    mutating func finish() throws {
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
            if case .departure(let waited) = event.kind { delays.add(waited) }
            try sinks.take(event)
        }
        events.removeAll(keepingCapacity: true)
    }
}

/// Where the events of a run go.
struct LinkRunSinks {
    private struct Passenger {
        var at: Instant
        var bytes: Int
        var epochNanoseconds: Int64
        var frame: [UInt8]
        var wireBytes: Int
        var departure: Instant?
    }

    /// A record of the capture file that waits for its place in time, or for its packet's fate.
    private struct Record {
        var id: UInt64
        var epochNanoseconds: Int64
        var isDelivery: Bool
        var comment: String?
        var isReady: Bool
    }

    private let format: LinkLog
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

    init(
        scenario: LinkScenario, direction: LinkDirection, linkType: LinkType, out: String?, log: String?, logDecimals: Int,
        csv: String?
    ) throws {
        format = LinkLog(decimals: logDecimals)
        logFile = try log.map { path throws(Failure) in try BufferedFile(path) }
        csvFile = try csv.map { path throws(Failure) in try BufferedFile(path) }
        capturePath = out ?? ""
        capture = try out.map { path throws(CaptureError) in
            try CaptureFileWriter(
                path: path, format: .pcapng,
                interfaces: [.init(name: "before the link", linkType: linkType), .init(name: "after the link", linkType: linkType)])
        }
        try logFile?.write(format.header(scenario[direction], direction: direction, seed: scenario.seed))
        try csvFile?.write(Array("arrivalS,bytes,departureS,deliveryS,outcome\n".utf8))
    }

    mutating func expect(_ id: UInt64, _ packet: LinkRunPacket) {
        guard capture != nil || csvFile != nil else { return }
        passengers[id] = Passenger(
            at: packet.at, bytes: packet.bytes, epochNanoseconds: packet.epochNanoseconds,
            frame: capture == nil ? [] : packet.frame, wireBytes: packet.wireBytes)
    }

    mutating func take(_ event: LinkEvent) throws {
        if logFile != nil {
            format.append(event, to: &text)
            if text.count > 1 << 16 { try flushLog() }
        }
        guard var passenger = passengers[event.id] else { return }
        switch event.kind {
        case .opportunity, .mark, .note: break
        case .arrival:
            if capture != nil {
                arrivals[event.id] = forgotten + records.count
                records.append(
                    Record(id: event.id, epochNanoseconds: passenger.epochNanoseconds, isDelivery: false, isReady: false))
            }
        case .departure:
            passenger.departure = event.at
            passengers[event.id] = passenger
        case .delivery: try settle(event, passenger, nil)
        case .drop(let reason): try settle(event, passenger, reason)
        }
    }

    private mutating func settle(_ event: LinkEvent, _ passenger: Passenger, _ reason: LinkDropReason?) throws {
        if csvFile != nil {
            let fields = [
                Self.seconds(passenger.at), "\(passenger.bytes)", passenger.departure.map(Self.seconds) ?? "",
                reason == nil ? Self.seconds(event.at) : "", reason?.rawValue ?? "delivered",
            ]
            try csvFile?.write(Array((fields.joined(separator: ",") + "\n").utf8))
        }
        guard capture != nil else {
            passengers[event.id] = nil
            return
        }
        let epoch = passenger.epochNanoseconds + (event.at - passenger.at).nanoseconds
        if let number = arrivals.removeValue(forKey: event.id) {
            let place = number - forgotten
            records[place].isReady = true
            if let reason {
                records[place].comment = "mast: dropped (\(reason.rawValue)) at \(Self.seconds(event.at)) s"
            }
        }
        if reason == nil {
            records.append(Record(id: event.id, epochNanoseconds: epoch, isDelivery: true, isReady: true))
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
            if record.isDelivery || record.comment != nil { passengers[record.id] = nil }
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

    mutating func finish() throws {
        try flushLog()
        try logFile?.close()
        // What never came out.
        let settled = Set(records[firstRecord...].lazy.filter(\.isReady).map(\.id))
        for id in passengers.keys.sorted() where !settled.contains(id) {
            guard let passenger = passengers[id] else { continue }
            try csvFile?.write(Array("\(Self.seconds(passenger.at)),\(passenger.bytes),,,waiting\n".utf8))
        }
        try csvFile?.close()
        writeReady(all: true)
        capture?.flush()
        if let capture, capture.hasFailed { throw Failure(.unavailable, "cannot write \(capturePath); check the disk") }
    }

    static func seconds(_ instant: Instant) -> String {
        let fraction = String(instant.nanoseconds % 1_000_000_000)
        return "\(instant.nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 9 - fraction.count) + fraction
    }
}
