import MastTimebase

/// Bytes as the kernel sends them, written down field by field (rtnetlink(7)); numbers in this machine's order.
enum Netlink {
    static func number<N: FixedWidthInteger>(_ value: N) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

    static func padded(_ bytes: [UInt8]) -> [UInt8] { bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4) }

    /// struct nlmsghdr: length 4, type 2, flags 2, sequence 4, port 4.
    static func message(_ type: UInt16, flags: UInt16 = 0, _ body: [UInt8]) -> [UInt8] {
        padded(number(UInt32(16 + body.count)) + number(type) + number(flags) + number(UInt32(0)) + number(UInt32(0)) + body)
    }

    /// struct rtattr: length 2, type 2.
    static func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] { padded(number(UInt16(4 + value.count)) + number(type) + value) }

    static func link(_ index: UInt32, flags: UInt32, family: UInt8 = 0, type: UInt16 = 16, listed: Bool = false) -> [UInt8] {
        message(
            type, flags: listed ? 2 : 0,
            [family, 0] + number(UInt16(1)) + number(index) + number(flags) + number(UInt32(0)) + attribute(3, Array("eth0".utf8) + [0]))
    }

    /// - Parameter flags: as an attribute (IFA_FLAGS), where given.
    static func address(
        _ interface: UInt32, _ bytes: [UInt8], scope: UInt8 = 0, flags: UInt32? = nil, oldFlags: UInt8 = 0x80, peer: [UInt8]? = nil, type: UInt16 = 20,
        listed: Bool = false
    ) -> [UInt8] {
        let attributes =
            peer.map { attribute(1, $0) + attribute(2, bytes) } ?? (bytes.count == 4 ? attribute(1, bytes) + attribute(2, bytes) : attribute(1, bytes))
        return message(
            type, flags: listed ? 2 : 0,
            [bytes.count == 4 ? 2 : 10, bytes.count == 4 ? 24 : 64, oldFlags, scope] + number(interface) + attributes
                + (flags.map { attribute(8, number($0)) } ?? []))
    }

    static func route(
        _ interface: UInt32, prefix: UInt8 = 0, family: UInt8 = 2, to: [UInt8] = [], gateway: [UInt8] = [], table: UInt8 = 254, wideTable: UInt32? = nil,
        metric: UInt32? = nil, kind: UInt8 = 1, flags: UInt32 = 0, type: UInt16 = 24
    ) -> [UInt8] {
        var body: [UInt8] = [family, prefix, 0, 0, table, 3, 0, kind] + number(flags)
        if !to.isEmpty { body += attribute(1, to) }
        if !gateway.isEmpty { body += attribute(5, gateway) }
        if let wideTable { body += attribute(15, number(wideTable)) }
        if let metric { body += attribute(6, number(metric)) }
        return message(type, body + attribute(4, number(interface)))
    }

    static let done = message(3, flags: 2, number(Int32(0)))
    static let refused = message(2, number(Int32(-16)) + [UInt8](repeating: 0, count: 16))
}
