import MastTimebase
import MastTransport
import TestKit
import Testing

/// The end of a connection, as `WireFormat` has it.
@Suite struct CloseTests {
    /// Two packets under one number would share a nonce, and tell whoever has both what they differ in.
    @Test func aCloseThatIsSaidAgainHasANumberOfItsOwnEachTime() {
        let stage = Stage()
        guard let handle = stage.accepted() else {
            Issue.record("no connection")
            return
        }
        let before = stage.sent.count
        stage.endpoint.close(handle, code: 7, reason: "done", at: stage.now)
        stage.drain()
        for _ in 0..<6 { stage.say(.ping) }
        let closes = stage.sent[before...]
        #expect(closes.count == 4, "once, and for three packets that still came")
        let numbers = closes.compactMap { WirePacket.number(of: $0.payload) }
        #expect(Set(numbers).count == closes.count)
        #expect(closes.allSatisfy { $0.frames == [.close(code: 0x107, reason: "done")] })
    }
}
