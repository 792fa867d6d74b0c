/// Versions of the wire format.
package enum WireVersion {
    package static let current: UInt8 = 2
}
