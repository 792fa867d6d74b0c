/// A stream's number: bit 0 says who opened it (0 the connection's initiator), the rest counts.
package struct StreamID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(index: UInt64, openedByInitiator: Bool) { rawValue = index << 1 | (openedByInitiator ? 0 : 1) }
    package var index: UInt64 { rawValue >> 1 }
    package var openedByInitiator: Bool { rawValue & 1 == 0 }
    package static func < (a: StreamID, b: StreamID) -> Bool { a.rawValue < b.rawValue }
    package var description: String { String(rawValue) }
    /// As its number: the synthesised one takes three times as long, and streams are looked up many times a call.
    package func _rawHashValue(seed: Int) -> Int { rawValue._rawHashValue(seed: seed) }
}
