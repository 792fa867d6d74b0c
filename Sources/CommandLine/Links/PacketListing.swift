import MastCapture
import MastLinkInference
import MastTimebase

/// `mast inspect --packets`: a line, or an object, for each packet of a flow. What is printed goes out as it comes; nothing is
/// kept.
struct PacketListing {
    let path: String
    let part: CapturePartOptions
    let most: Int?

    /// What ends the JSON object behind its packets.
    private struct Tail: Encodable {
        var startUnixS: Double?
        var totalPackets: Int
        var truncated: Bool
        var truncationReason: String?

        enum CodingKeys: CodingKey { case startUnixS, totalPackets, truncated, truncationReason }
        func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode(startUnixS, forKey: .startUnixS)
            try object.encode(totalPackets, forKey: .totalPackets)
            try object.encode(truncated, forKey: .truncated)
            try object.encode(truncationReason, forKey: .truncationReason)
        }
    }

    private struct Ends: Encodable {
        var `protocol`: String
        var client: String
        var server: String
        init(_ state: FlowState) { (self.protocol, client, server) = (state.key.protocolName, state.client.description, state.server.description) }
    }

    /// So much is gathered before it is written.
    private static let chunk = 32_768

    func print(asJSON: Bool) throws {
        let chosen = try part.chosenFlow(path) ?? CapturePartOptions.find(.number(1), path, part)
        let ends = Ends(chosen.state)
        if part.flow == nil { Output.note("the flow with most bytes, \(ends.protocol) \(ends.client) - \(ends.server); --flow chooses another") }
        let file = try CaptureFile(path: path, filter: part.filter)
        let start = file.startEpochNanoseconds
        let times = try part.times(start: start, path)
        let startUnixS = start.map { Double($0) / 1e9 }
        var list = PacketList(chosen)
        var (shown, total) = (0, 0)
        var text = ""
        if asJSON {
            let (file, flow) = (try Output.jsonText(path), try Output.jsonText(ends))
            text = "{\"file\":\(file),\"flow\":\(flow),\"packets\":["
        } else {
            let origin = startUnixS.map { TextLayout.date(unixSeconds: $0) } ?? "the first packet"
            text = "\(ends.protocol) \(ends.client) - \(ends.server); times since \(origin)\n" + PacketLine.head + "\n"
        }
        while let packet = file.next() {
            // What came before is followed, so that a line is told as in the whole.
            guard let line = list.take(packet), times?.contains(packet.time) ?? true else { continue }
            total += 1
            guard shown < most ?? .max else { continue }
            if asJSON {
                if shown > 0 { text += "," }
                text += try Output.jsonText(line)
            } else {
                text += line.text + "\n"
            }
            shown += 1
            if text.utf8.count >= Self.chunk {
                Output.piece(text, isJSON: asJSON)
                text = ""
            }
        }
        if asJSON {
            let tail = try Output.jsonText(
                Tail(startUnixS: startUnixS, totalPackets: total, truncated: file.truncation != nil, truncationReason: file.truncation))
            text += "]," + tail.dropFirst() + "\n"
        } else if total > shown {
            text += "and \(total - shown) more (--most shows so many)\n"
        }
        Output.piece(text, isJSON: asJSON)
        if let truncation = file.truncation {
            throw Failure(.badData, "\(path) breaks off (\(truncation)); what is shown is all before the break")
        }
    }
}
