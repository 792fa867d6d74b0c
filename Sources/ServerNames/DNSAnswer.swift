import MastTimebase

/// The addresses that a DNS answer gives a name (RFC 1035, RFC 3596), which is the one that was asked for: aliases between are
/// passed over.
struct DNSAnswer {
    let name: String
    /// Without ports.
    let addresses: [NetworkAddress]

    /// More records are not looked at.
    private static let mostRecords = 256

    /// nil: no answer, an error, or no address in it.
    init?(_ message: [UInt8]) {
        var cursor = ByteCursor(message)
        guard cursor.skip(2), let flags = cursor.int(2), flags & 0x8000 != 0, flags & 0x7A0F == 0, cursor.int(2) == 1, let count = cursor.int(2),
            cursor.skip(4), let question = Self.question(&cursor), cursor.skip(4)
        else { return nil }
        var addresses: [NetworkAddress] = []
        for _ in 0..<min(count, Self.mostRecords) {
            guard Self.skipName(&cursor), let kind = cursor.int(2), let group = cursor.int(2), cursor.skip(4), var data = cursor.block(lengthBytes: 2)
            else { break }
            guard group == 1 else { continue }
            if kind == 1, data.rest == 4, let address = data.number(4) {
                addresses.append(NetworkAddress(ipv4: UInt32(truncatingIfNeeded: address), port: 0))
            } else if kind == 28, data.rest == 16, let high = data.number(8), let low = data.number(8) {
                addresses.append(NetworkAddress(high: high, low: low, port: 0))
            }
        }
        guard !addresses.isEmpty else { return nil }
        (name, self.addresses) = (question, addresses)
    }

    /// A question is never abbreviated.
    private static func question(_ cursor: inout ByteCursor) -> String? {
        var name: [UInt8] = []
        while let length = cursor.int(1) {
            if length == 0 { return HostName.text(name) }
            guard length < 64, name.count < 254, let label = cursor.take(length) else { return nil }
            if !name.isEmpty { name.append(UInt8(ascii: ".")) }
            name += label
        }
        return nil
    }

    private static func skipName(_ cursor: inout ByteCursor) -> Bool {
        while let length = cursor.int(1) {
            if length == 0 { return true }
            if length & 0xC0 == 0xC0 { return cursor.skip(1) }
            guard length < 64, cursor.skip(length) else { return false }
        }
        return false
    }
}
