import Foundation
import MastCapture
import MastFiles
import MastLinkInference
import MastLinkModel
import MastTimebase

/// A packet that is to be sent through a link.
package struct LinkRunPacket {
    package var at: Instant
    /// What it counts in the link.
    package var bytes: Int
    package var epochNanoseconds: Int64
    /// As captured; made up for a packet that is only a line of text.
    package var frame: [UInt8]
    package var wireBytes: Int
    /// Queues may mark it instead of dropping it.
    package var isECT = false
}

/// Reads the packets of a capture that go one way, or of a text file, one at a time.
package final class LinkRunSource {
    private enum Kind {
        case capture(CaptureFile)
        case lines(UnsafeMutablePointer<FILE>)
    }

    private let kind: Kind
    private let path: String
    private let direction: LinkDirection
    private let extraBytes: Int
    private var takesAll = false
    private var flows = FlowTable()
    private var schedule = PacketSchedule()
    private var buffer: UnsafeMutablePointer<CChar>?
    private var capacity = 0
    private var first: Int64?
    private var latest = Instant.zero
    private var number = 0
    private var opposite = 0
    /// Packets that have no place in the link: not IP, or going the other way.
    package private(set) var skipped = 0
    package private(set) var note: String?

    /// - Parameter extraBytes: counted with every captured packet.
    package static func open(_ path: String, asLines: Bool, direction: LinkDirection, extraBytes: Int) throws -> LinkRunSource {
        if asLines || path != "-" && isText(path) {
            guard let stream = path == "-" ? fdopen(dup(0), "r") : fopen(path, "r") else {
                throw FileFailure(.noInput, "cannot open \(path): \(String(cString: strerror(errno)))")
            }
            return LinkRunSource(.lines(stream), path, direction, extraBytes)
        }
        let source = LinkRunSource(.capture(try CaptureFile(path: path)), path, direction, extraBytes)
        if path != "-" { source.takesAll = try isOneWayTheOther(path, direction) }
        if source.takesAll {
            source.note = "every packet of \(path) goes \(direction.opposite.rawValue) (from its first sender); they are sent \(direction.rawValue)"
        }
        return source
    }

    private init(_ kind: Kind, _ path: String, _ direction: LinkDirection, _ extraBytes: Int) {
        (self.kind, self.path, self.direction, self.extraBytes) = (kind, path, direction, extraBytes)
    }

    deinit {
        free(buffer)
        if case .lines(let stream) = kind { fclose(stream) }
    }

    package var linkType: LinkType {
        if case .capture(let file) = kind { file.linkType } else { .raw }
    }

    package var truncation: String? {
        if case .capture(let file) = kind { file.truncation } else { nil }
    }

    package func emptyReason(_ path: String, _ direction: LinkDirection) -> String {
        opposite > 0
            ? "no packet of \(path) goes \(direction.rawValue), but \(opposite) go \(direction.opposite.rawValue): try --direction \(direction.opposite.rawValue)"
            : "\(path) holds no IP packet"
    }

    package func next() throws -> LinkRunPacket? {
        switch kind {
        case .capture(let file): nextCaptured(file)
        case .lines(let stream): try nextLine(stream)
        }
    }

    private func nextCaptured(_ file: CaptureFile) -> LinkRunPacket? {
        var found: LinkRunPacket?
        while found == nil {
            let more = file.withNext { record, bytes in
                number += 1
                let headers = LinkLayer.decode(bytes, linkType: record.linkType, wireBytes: record.wireBytes)
                let start = first ?? record.epochNanoseconds
                first = start
                if record.hasTimestamp {
                    // Clocks that step back cannot make a packet arrive before those that did.
                    latest = max(latest, Instant(nanoseconds: record.epochNanoseconds &- start))
                }
                let packet = CapturedPacket(
                    number: number, time: latest, epochNanoseconds: record.epochNanoseconds, hasTimestamp: record.hasTimestamp,
                    interface: record.interface, wireBytes: record.wireBytes, capturedBytes: bytes.count, headers: headers)
                guard let ip = headers.ip, let seen = flows.observe(packet) else { skipped += 1; return }
                guard takesAll || seen.direction.linkDirection == direction else {
                    skipped += 1
                    opposite += 1
                    return
                }
                // Inside a tunnel the link carried the outer packet.
                let size = headers.tunnels > 0 ? max(ip.bytes, record.wireBytes - (record.linkType == .ethernet ? 14 : 0)) : ip.bytes
                var frame: [UInt8] = []
                frame.reserveCapacity(bytes.count)
                for index in bytes.indices { frame.append(bytes[index]) }
                found = LinkRunPacket(
                    at: latest, bytes: size + extraBytes, epochNanoseconds: start &+ latest.nanoseconds, frame: frame,
                    wireBytes: record.wireBytes, isECT: ip.ecn != 0)
            }
            if !more { break }
        }
        return found
    }

    private func nextLine(_ stream: UnsafeMutablePointer<FILE>) throws -> LinkRunPacket? {
        while true {
            let count = getline(&buffer, &capacity, stream)
            guard count > 0, let buffer else { return nil }
            var line = UnsafeRawBufferPointer(start: buffer, count: count)
            if line.last == 0x0A { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
            do throws(PacketScheduleError) {
                guard let packet = try schedule.parse(line) else { continue }
                let payload = [UInt8](repeating: 0, count: max(0, min(packet.bytes, 1_500) - 28))
                let frame = CaptureWriter.frame(
                    datagram: payload, from: NetworkAddress(ipv4: 0x0A00_0001, port: 9),
                    to: NetworkAddress(ipv4: 0x0A00_0002, port: 9))
                return LinkRunPacket(
                    at: packet.at, bytes: packet.bytes, epochNanoseconds: packet.at.nanoseconds,
                    frame: Array(frame.prefix(28)), wireBytes: max(28, packet.bytes))
            } catch {
                throw FileFailure(.badData, "\(path) \(error)")
            }
        }
    }

    /// Captures and what they are packed in begin with bytes that no text begins with.
    private static func isText(_ path: String) -> Bool {
        guard let stream = fopen(path, "r") else { return false }
        defer { fclose(stream) }
        return (0..<4).allSatisfy { _ in
            let byte = getc(stream)
            return (0x20...0x7E).contains(byte) || byte == 0x0A || byte == 0x0D || byte == EOF
        }
    }

    /// A capture of one sender has only a way up, whatever it is meant to be.
    private static func isOneWayTheOther(_ path: String, _ direction: LinkDirection) throws -> Bool {
        let file = try CaptureFile(path: path)
        var flows = FlowTable()
        var any = false
        while let packet = file.next() {
            guard let seen = flows.observe(packet) else { continue }
            if seen.direction.linkDirection == direction { return false }
            any = true
        }
        return any
    }
}

extension FlowDirection {
    package var linkDirection: LinkDirection { self == .up ? .up : .down }
}
