/// Names a connection of one endpoint; never used again for another.
package struct ConnectionHandle: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var number: UInt64
    package init(number: UInt64) { self.number = number }
    package static func < (a: ConnectionHandle, b: ConnectionHandle) -> Bool { a.number < b.number }
    package var description: String { "c\(number)" }
    /// As its number: see `StreamID`.
    package func _rawHashValue(seed: Int) -> Int { number._rawHashValue(seed: seed) }
}
