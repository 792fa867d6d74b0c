import MastTimebase
import MastTransport
import TestKit
import Testing

/// Opening a stream opens all below it (RFC 9000 section 2.1); a number is not a stream's worth of memory.
@Suite struct StreamNumberTests {
    /// A connected pair whose client has numbers for `count` streams, and nothing sent on any.
    private func opened(_ count: Int, streams: UInt64 = 1_024) -> (Pair, ConnectionHandle, ConnectionHandle, [StreamID])? {
        var configuration = TransportConfiguration()
        configuration.maximumStreams = streams
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        let ids = (0..<count).compactMap { _ in pair.client.openStream(handle, deadline: nil, at: pair.now) }
        guard let server = pair.accepted, ids.count == count else { return nil }
        return (pair, handle, server, ids)
    }

    @Test func onePacketOnTheLastStreamAllocatesThatStreamAlone() throws {
        let (pair, handle, server, ids) = try #require(opened(1_024))
        _ = pair.client.write(handle, ids[1_023], [1], fin: true, at: pair.now)
        pair.run(for: .milliseconds(200))
        #expect(pair.server.statistics(server)?.streams == 1)
        #expect(pair.serverEvents.filter { if case .streamOpened = $0 { true } else { false } }.count == 1)
    }

    @Test func theStreamsBelowOpenWithTheirOwnFirstFrameInAnyOrder() throws {
        let (pair, handle, server, ids) = try #require(opened(64))
        for index in [63, 5, 0, 62, 31, 4, 6] { _ = pair.client.write(handle, ids[index], [UInt8(index)], fin: true, at: pair.now) }
        for index in 0..<64 { _ = pair.client.write(handle, ids[index], [UInt8(index)], fin: true, at: pair.now) }
        pair.run(for: .milliseconds(200))
        var seen: [StreamID] = []
        for case .streamOpened(_, let stream, _) in pair.serverEvents {
            var bytes: [UInt8] = []
            let state = pair.server.read(server, stream, into: &bytes, at: pair.now)
            #expect(state == .finished && bytes == [UInt8(stream.index)])
            seen.append(stream)
        }
        #expect(seen.sorted() == ids)
    }

    @Test func aStreamThatIsOverStaysOverWhateverOpensAboveIt() throws {
        let (pair, handle, server, ids) = try #require(opened(8))
        for index in [7, 3] {
            _ = pair.client.write(handle, ids[index], [9], fin: true, at: pair.now)
            pair.run(for: .milliseconds(100))
            var bytes: [UInt8] = []
            _ = pair.server.read(server, ids[index], into: &bytes, at: pair.now)
            _ = pair.server.write(server, ids[index], [], fin: true, at: pair.now)
            pair.run(for: .milliseconds(100))
            _ = pair.client.read(handle, ids[index], into: &bytes, at: pair.now)
        }
        #expect(pair.server.statistics(server)?.streams == 0)
        // The client's own stop for a stream that both have forgotten creates nothing.
        pair.client.stopSending(handle, ids[3], code: 1, at: pair.now)
        pair.run(for: .milliseconds(100))
        #expect(pair.server.statistics(server)?.streams == 0)
        #expect(pair.isEstablished(handle))
    }

    @Test func aResetOfAnImplicitStreamIsAnsweredAndFreesIt() throws {
        let (pair, handle, server, ids) = try #require(opened(16))
        _ = pair.client.write(handle, ids[15], [1], fin: false, at: pair.now)
        pair.client.reset(handle, ids[2], code: 7, at: pair.now)
        pair.client.stopSending(handle, ids[2], code: 7, at: pair.now)
        pair.run(for: .milliseconds(300))
        #expect(pair.server.statistics(server)?.streams == 1)
        let announced = pair.serverEvents.contains { if case .streamOpened(_, ids[2], _) = $0 { true } else { false } }
        #expect(!announced)
    }

    @Test func theLimitCountsStreamsThatAreOnlyImplied() throws {
        let (pair, handle, server, ids) = try #require(opened(8, streams: 8))
        #expect(pair.client.openStream(handle, deadline: nil, at: pair.now) == nil)
        _ = pair.client.write(handle, ids[7], [1], fin: true, at: pair.now)
        pair.run(for: .milliseconds(200))
        // One stream over, seven implied: a quarter of the limit is needed before more numbers come.
        var bytes: [UInt8] = []
        _ = pair.server.read(server, ids[7], into: &bytes, at: pair.now)
        _ = pair.server.write(server, ids[7], [], fin: true, at: pair.now)
        pair.run(for: .milliseconds(200))
        #expect(pair.client.openStream(handle, deadline: nil, at: pair.now) == nil)
    }
}
