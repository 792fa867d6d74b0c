import MastTimebase
import MastTransport
import TestKit
import Testing

/// A stop that overtakes the first bytes of its stream, as happens where packets are lost.
@Suite struct StopTests {
    @Test func aStopBeforeTheFirstBytesIsToldBehindThem() throws {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .seconds(1))
        pair.serverEvents = []
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        pair.filter = { side, _ in side == .server }
        _ = pair.client.write(handle, stream, [1, 2, 3], fin: true, at: pair.now)
        pair.run(for: .milliseconds(1))
        pair.filter = { _, _ in true }
        pair.client.stopSending(handle, stream, code: 7, at: pair.now)
        pair.run(for: .milliseconds(25))
        #expect(told(pair).isEmpty, "nobody knows the stream yet")
        pair.run(for: .seconds(1))
        #expect(told(pair) == ["opened", "stopped 7"])
    }

    @Test func aStopInOrderIsToldOnce() throws {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .seconds(1))
        pair.serverEvents = []
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, [1, 2, 3], fin: true, at: pair.now)
        pair.client.stopSending(handle, stream, code: 7, at: pair.now)
        pair.run(for: .seconds(1))
        #expect(told(pair) == ["opened", "stopped 7"])
    }

    private func told(_ pair: Pair) -> [String] {
        pair.serverEvents.compactMap {
            switch $0 {
            case .streamOpened: "opened"
            case .streamStopped(_, _, let code): "stopped \(code)"
            default: nil
            }
        }
    }
}
