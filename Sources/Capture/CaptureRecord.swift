/// What a capture file says about one packet, beside its bytes.
package struct CaptureRecord: Sendable, Hashable {
    /// Since 1970; 0 when the record has no time.
    package var epochNanoseconds: Int64
    package var hasTimestamp: Bool
    package var interface: Int
    package var linkType: LinkType
    package var wireBytes: Int

    package init(
        epochNanoseconds: Int64, hasTimestamp: Bool = true, interface: Int = 0, linkType: LinkType, wireBytes: Int
    ) {
        (self.epochNanoseconds, self.hasTimestamp, self.interface) = (epochNanoseconds, hasTimestamp, interface)
        (self.linkType, self.wireBytes) = (linkType, wireBytes)
    }
}

/// Why a capture could not be opened at all, read or live. A file that breaks off later is not an error: see
/// `CaptureFile.truncation`.
package enum CaptureError: Error, Sendable, Hashable, CustomStringConvertible {
    /// No such file, or it may not be read.
    case cannotOpen(path: String, reason: String)
    /// It is there, but holds no capture.
    case notACapture(path: String, reason: String)
    case badFilter(expression: String, reason: String)
    /// The interface is not there, or may not be listened to.
    case cannotCapture(interface: String, reason: String)
    case cannotWrite(path: String, reason: String)

    package var description: String {
        switch self {
        case .cannotOpen(let path, let reason): "cannot open \(path): \(reason)"
        case .notACapture(let path, let reason): "\(path) is not a pcap or pcapng capture: \(reason)"
        case .cannotCapture(let interface, let reason): "cannot capture on \(interface): \(reason)"
        case .cannotWrite(let path, let reason): "cannot write \(path): \(reason)"
        case .badFilter(let expression, let reason): "the filter '\(expression)' is wrong: \(reason)"
        }
    }
}
