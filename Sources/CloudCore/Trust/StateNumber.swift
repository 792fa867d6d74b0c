/// Which of two states of the center is the newer one: that of the later epoch, and within one epoch the one with the
/// higher count. The count rises with each change. A center that is restored from a copy counts from the copy's numbers
/// on, and raises the epoch: so what it says from then on is newer than all that was said before.
package struct StateNumber: Codable, Hashable, Sendable {
    package var epoch: UInt64
    package var count: UInt64

    package init(epoch: UInt64, count: UInt64) { (self.epoch, self.count) = (epoch, count) }

    /// After one more change in `epoch`.
    package func next(in epoch: UInt64) -> StateNumber { StateNumber(epoch: epoch, count: count &+ 1) }

    /// Of a cloud that was never restored.
    package static let firstEpoch: UInt64 = 1
    /// A number that is not signed is believed up to here, so that nobody can use up the epochs.
    package static let latestEpoch: UInt64 = 1 << 62

    package func write(to writer: inout CanonicalWriter) {
        writer.integer(epoch)
        writer.integer(count)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        epoch = try reader.integer()
        count = try reader.integer()
    }
}

extension StateNumber: Comparable {
    package static func < (left: StateNumber, right: StateNumber) -> Bool { (left.epoch, left.count) < (right.epoch, right.count) }
}

extension StateNumber: ExpressibleByIntegerLiteral {
    /// 0 is before anything; others count in the first epoch.
    package init(integerLiteral count: UInt64) { self.init(epoch: count == 0 ? 0 : Self.firstEpoch, count: count) }
}

extension StateNumber: CustomStringConvertible {
    package var description: String { epoch <= Self.firstEpoch ? "\(count)" : "\(count) of epoch \(epoch)" }
}

/// How far the center's users are, signed: a station shows it to the communication server, and nobody can make it up.
package struct UsersNumber: TrustRecord {
    package static var recordType: String { "users number" }
    package var number: StateNumber

    package init(_ number: StateNumber) { self.number = number }
    package func write(to writer: inout CanonicalWriter) { number.write(to: &writer) }
    package init(from reader: inout CanonicalReader) throws(TrustError) { number = try StateNumber(from: &reader) }
}
