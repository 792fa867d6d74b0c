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
            parts = ["ack " + ranges.joined(separator: ",") + " held \(ack.delayMicroseconds)us"]
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
}

extension FrameRecord: Encodable {
    private enum CodingKeys: String, CodingKey {
        case frame, ranges, delayUs, stream, offset, dataBytes, end, deadlineUs, limit, limitBytes, code, sizeBytes, reason, calls
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
            // First and last of each, newest first.
            try object.encode(ack.ranges.map { [$0.lowerBound, $0.upperBound] }, forKey: .ranges)
            try object.encode(ack.delayMicroseconds, forKey: .delayUs)
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
