/// Datagrams to send, side by side in one piece of memory: each is made where it stands, and handed to the system from there.
package struct DatagramBatch: Sendable {
    package struct Datagram: Sendable, Equatable {
        /// Where its bytes stand.
        package var range: Range<Int>
        package var destination: NetworkAddress
        /// As which it goes: one that is capable may come marked instead of being dropped.
        package var mark: ECNCodepoint
    }

    /// Whoever makes a datagram appends its bytes here, and then calls `close`.
    package var bytes: [UInt8] = []
    package private(set) var datagrams: [Datagram] = []
    /// Where the next one begins.
    private var end = 0

    package init() {}

    package var count: Int { datagrams.count }
    package var isEmpty: Bool { datagrams.isEmpty }

    /// What was appended to `bytes` since the last datagram is one.
    package mutating func close(to destination: NetworkAddress, mark: ECNCodepoint = .notCapable) {
        datagrams.append(Datagram(range: end..<bytes.count, destination: destination, mark: mark))
        end = bytes.count
    }

    package mutating func append(_ datagram: [UInt8], to destination: NetworkAddress, mark: ECNCodepoint = .notCapable) {
        bytes.append(contentsOf: datagram)
        close(to: destination, mark: mark)
    }

    /// Its memory stays for the next.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        datagrams.removeAll(keepingCapacity: true)
        end = 0
    }
}
