import MastTransport

/// A frame of a decrypted packet, and the parts of calls whose heads are complete with it.
package struct FrameRecord: Sendable {
    package var frame: Frame
    package var calls: [CallPart] = []

    package var text: String {
        var parts: [String]
        switch frame {
        case .ping: parts = ["ping"]
        case .ack(let ack):
            let ranges = ack.ranges.map { $0.lowerBound == $0.upperBound ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            parts = ["ack " + ranges.joined(separator: ",") + (ack.path == 0 ? "" : " of path \(ack.path)") + " held \(ack.delayMicroseconds)us"]
            if let marks = ack.marks { parts.append("ect0 \(marks.ect0) ect1 \(marks.ect1) ce \(marks.ce)") }
            if !ack.timestamps.isEmpty {
                parts.append("came " + ack.timestamps.map { "\($0.number) at \(Self.microseconds($0))us" }.joined(separator: ", "))
            }
        case .stream(let stream):
            parts = ["stream \(stream.id.rawValue) \(stream.offset)+\(stream.data.count)" + (stream.fin ? " end" : "")]
            if let deadline = stream.deadlineMicroseconds { parts.append("deadline \(deadline)us") }
        case .maxData(let limit): parts = ["max-data \(limit)"]
        case .maxStreamData(let id, let limit): parts = ["max-stream-data \(id.rawValue) \(limit)"]
        case .maxStreams(let limit): parts = ["max-streams \(limit)"]
        case .resetStream(let id, let code, let size): parts = ["reset-stream \(id.rawValue) code \(code) size \(size)"]
        case .stopSending(let id, let code): parts = ["stop-sending \(id.rawValue) code \(code)"]
        case .pathChallenge: parts = ["path-challenge"]
        case .pathResponse: parts = ["path-response"]
        case .close(let code, let reason): parts = ["close \(code)" + (reason.isEmpty ? "" : " \"\(reason)\"")]
        }
        return (parts + calls.map(\.text)).joined(separator: "  ")
    }

    /// By the receiver's clock. The peer says how many steps, so there may be more than fit.
    fileprivate static func microseconds(_ stamp: ReceiveTimestamp) -> UInt64 {
        let step = UInt64(ReceiveTimestamp.stepMicroseconds)
        return min(stamp.steps, .max / step) * step
    }
}

extension FrameRecord: Encodable {
    private enum CodingKeys: String, CodingKey {
        case frame, path, ranges, delayUs, ecn, receiveTimes, stream, offset, dataBytes, end, deadlineUs, limit, limitBytes, code, sizeBytes, reason, calls
    }

    private struct Marks: Encodable {
        var ect0, ect1, ce: UInt64
    }

    private struct ReceiveTime: Encodable {
        var number, atUs: UInt64
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        func put(_ name: String, _ stream: StreamID? = nil) throws {
            try object.encode(name, forKey: .frame)
            try object.encodeIfPresent(stream?.rawValue, forKey: .stream)
        }
        switch frame {
        case .ping: try put("ping")
        case .ack(let ack):
            try put("ack")
            try object.encode(ack.path, forKey: .path)
            // First and last of each, newest first.
            try object.encode(ack.ranges.map { [$0.lowerBound, $0.upperBound] }, forKey: .ranges)
            try object.encode(ack.delayMicroseconds, forKey: .delayUs)
            try object.encodeIfPresent(ack.marks.map { Marks(ect0: $0.ect0, ect1: $0.ect1, ce: $0.ce) }, forKey: .ecn)
            try object.encode(ack.timestamps.map { ReceiveTime(number: $0.number, atUs: Self.microseconds($0)) }, forKey: .receiveTimes)
        case .stream(let stream):
            try put("stream", stream.id)
            try object.encode(stream.offset, forKey: .offset)
            try object.encode(stream.data.count, forKey: .dataBytes)
            try object.encode(stream.fin, forKey: .end)
            try object.encode(stream.deadlineMicroseconds, forKey: .deadlineUs)
            try object.encode(calls, forKey: .calls)
        case .maxData(let limit):
            try put("maxData")
            try object.encode(limit, forKey: .limitBytes)
        case .maxStreamData(let id, let limit):
            try put("maxStreamData", id)
            try object.encode(limit, forKey: .limitBytes)
        case .maxStreams(let limit):
            try put("maxStreams")
            try object.encode(limit, forKey: .limit)
        case .resetStream(let id, let code, let size):
            try put("resetStream", id)
            try object.encode(code, forKey: .code)
            try object.encode(size, forKey: .sizeBytes)
        case .stopSending(let id, let code):
            try put("stopSending", id)
            try object.encode(code, forKey: .code)
        case .pathChallenge: try put("pathChallenge")
        case .pathResponse: try put("pathResponse")
        case .close(let code, let reason):
            try put("close")
            try object.encode(code, forKey: .code)
            try object.encode(reason, forKey: .reason)
        }
    }
}
