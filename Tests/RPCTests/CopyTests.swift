import MastRPC
import MastTimebase
import MastTransport
import Testing

/// How often a download's bytes are moved about in memory, between its messages and its datagrams.
@Suite struct CopyTests {
    @Test func aDownloadIsCopiedOnceAtEachEnd() throws {
        let (messages, size) = (100, 32 << 10)
        let server = RPCServer {
            Echo.blob.handle { _, writer in
                for index in 0..<messages { try await writer.send(ByteString([UInt8](repeating: UInt8(index), count: size))) }
            }
        }
        try World(delay: .milliseconds(1)).pair(server) { client, here, there in
            let count = try await client.stream(Echo.blob, Line(text: "")) { chunks in
                var count = 0
                for try await chunk in chunks {
                    #expect(chunk.bytes.count == size && chunk.bytes.first == UInt8(count) && chunk.bytes.last == UInt8(count))
                    count += 1
                }
                return count
            }
            #expect(count == messages)
            let bytes = Double(messages * size)
            let ours = try #require(here.host.connections.first)
            let into = here.host.withEndpoint { [handle = ours.handle] endpoint, _ in endpoint.copied(handle).in }
            let theirs = try #require(there.host.connections.first)
            let out = there.host.withEndpoint { [handle = theirs.handle] endpoint, _ in endpoint.copied(handle).out }
            // A message's beginning is moved once more, to where the rest of it will be.
            #expect(Double(into) >= bytes && Double(into) < bytes * 1.1)
            #expect(Double(out) >= bytes && Double(out) < bytes * 1.02)
        }
    }
}
