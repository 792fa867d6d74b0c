import Foundation
import MastTimebase
import MastTransport
import TestKit
import Testing

/// A small run, one event a line, as it stands in the documentation: what a reader learns there is what the code does.
@Suite struct TranscriptTests {
    /// A call of 3,000 bytes with 500 ms to live over a link of 20 ms each way, of whose three packets the second is lost.
    private func oneCall() throws -> Transcript {
        let transcript = Transcript(of: Pair(configuration: Transcript.configuration))
        transcript.loses = { side, number in side == .client && number == 3 }
        let pair = transcript.pair
        let handle = pair.connect()
        transcript.run(for: .seconds(1)) { $0.pair.isConnected(handle) }
        let server = try #require(pair.accepted)

        let opened = pair.client.openStream(handle, deadline: pair.now + .milliseconds(500), at: pair.now)
        let stream = try #require(opened)
        let request = [UInt8](repeating: 7, count: 3_000)
        _ = pair.client.write(handle, stream, request[...], fin: true, at: pair.now)
        transcript.note(.client, "opens stream \(stream), 500 ms to live, and writes 3000 bytes and the end")
        var state = (client: StreamReadState.open, server: StreamReadState.open)
        transcript.run(for: .seconds(1)) { transcript in
            read(transcript, .server, server, stream, &state.server)
            if state.server == .finished, state.client == .open, transcript.lines.allSatisfy({ !$0.contains("answers") }) {
                _ = transcript.pair.server.write(server, stream, [1, 2, 3, 4, 5], fin: true, at: transcript.pair.now)
                transcript.note(.server, "answers with 5 bytes and the end")
            }
            read(transcript, .client, handle, stream, &state.client)
            return state.client == .finished
        }
        pair.client.close(handle, code: 0, reason: "done", at: pair.now)
        transcript.note(.client, "closes")
        transcript.run(for: .seconds(1))
        return transcript
    }

    private func read(
        _ transcript: Transcript, _ side: Pair.Side, _ handle: ConnectionHandle, _ stream: StreamID, _ state: inout StreamReadState
    ) {
        guard state == .open else { return }
        let pair = transcript.pair
        var bytes: [UInt8] = []
        let isHeardOf = side == .client || pair.serverEvents.contains { if case .streamOpened = $0 { true } else { false } }
        guard isHeardOf else { return }
        state =
            side == .client
            ? pair.client.read(handle, stream, into: &bytes, at: pair.now) : pair.server.read(handle, stream, into: &bytes, at: pair.now)
        if !bytes.isEmpty {
            transcript.note(side, "reads \(bytes.count) bytes of stream \(stream)" + (state == .finished ? " and its end" : ""))
        }
    }

    @Test func theDocumentationShowsWhatHappens() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let page = try String(contentsOf: folder.appending(path: "Sources/Transport/Transport.docc/LifeOfADatagram.md"), encoding: .utf8)
        let block = try #require(page.split(separator: "```transcript\n").dropFirst().first?.components(separatedBy: "```").first)
        let lines = try oneCall().lines
        #expect(block.split(separator: "\n").map(String.init) == lines, "it should be:\n\(lines.joined(separator: "\n"))")
    }

    @Test func theSameSeedGivesTheSameLines() throws {
        let (first, second) = (try oneCall().text, try oneCall().text)
        #expect(first == second)
    }
}
