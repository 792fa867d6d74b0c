import MastFiles
import MastTimebase
import MastTransport

/// Takes our transport's datagrams out of recorded ones and, with a key log, reads what is in them. Not for two threads at
/// once.
package final class TrafficReader {
    private let keyLog: KeyLogFollower?
    private var dissector: DatagramDissector
    private var opener = RecordedPacketOpener()
    private var calls = CallStreams()
    /// Data packets opened, and those that were not, by reason.
    package private(set) var opened = 0
    package private(set) var sealed: [RecordedPacketOpener.Reason: Int] = [:]  // lookup only

    /// - Parameter ports: whose datagrams are our transport's, whatever is in them.
    package init(ports: [UInt16], keyLog: KeyLogFollower? = nil) {
        self.keyLog = keyLog
        dissector = DatagramDissector(ports: ports) { [keyLog] in keyLog?.log(naming: $0) != nil }
    }

    /// Bytes of a datagram that are looked at: its clear header and a key, or all where it may be opened.
    package var wantedBytes: Int { keyLog == nil ? 64 : .max }

    package func take(
        _ payload: [UInt8], wireBytes: Int, from source: NetworkAddress, to destination: NetworkAddress, at time: Interval
    ) -> [TrafficRecord] {
        dissector.dissect(payload, wireBytes: wireBytes, from: source, to: destination, at: time).map { datagram in
            var record = TrafficRecord(datagram: datagram)
            if datagram.dissection.kind == .data, let keyLog { record.inside = inside(datagram, keyLog) }
            return record
        }
    }

    private func inside(_ datagram: DissectedDatagram, _ keyLog: KeyLogFollower) -> TrafficRecord.Inside {
        guard let destination = datagram.dissection.destinationID, let log = keyLog.log(naming: destination), let way = log.way(to: destination) else {
            return seal(.noConnection)
        }
        var outcome = opener.open(datagram.bytes, wireBytes: datagram.dissection.datagramBytes, with: log)
        // The host wrote the line before the packet left.
        if outcome == .sealed(.noPhase) || outcome == .sealed(.wrongKeys), keyLog.readMore() {
            outcome = opener.open(datagram.bytes, wireBytes: datagram.dissection.datagramBytes, with: keyLog.log)
        }
        guard case .opened(let payload, let number, let generation) = outcome else {
            if case .sealed(let reason) = outcome { return seal(reason) }
            return .unread
        }
        opened += 1
        var frames: [FrameRecord] = []
        var reader = MastTransport.FrameReader(payload)
        do throws(ProtocolViolation) {
            while let frame = try reader.next() {
                var record = FrameRecord(frame: frame)
                if case .stream(let stream) = frame { record.calls = calls.take(stream, .init(way: way, stream: stream.id), names: keyLog.log) }
                frames.append(record)
            }
        } catch {
            return .frames(frames, number: number, generation: generation, fault: error.reason)
        }
        return .frames(frames, number: number, generation: generation, fault: nil)
    }

    private func seal(_ reason: RecordedPacketOpener.Reason) -> TrafficRecord.Inside {
        sealed[reason, default: 0] += 1
        return .sealed(reason)
    }

    /// What a key log did for this recording; nil without one.
    package var remark: String? {
        guard let keyLog else { return nil }
        var parts = ["\(opened) data packets decrypted"]
        for reason in [RecordedPacketOpener.Reason.noConnection, .noPhase, .wrongKeys, .cut] {
            if let count = sealed[reason] { parts.append("\(count) not: \(reason.rawValue)") }
        }
        if keyLog.log.strangeLines > 0 { parts.append("\(keyLog.log.strangeLines) lines of the key log are not of its format") }
        if keyLog.log.connections == 0 { parts.append("the key log names no connection: is it the file that MAST_KEYLOG named?") }
        return parts.joined(separator: "; ")
    }
}
