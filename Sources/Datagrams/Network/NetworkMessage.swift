import MastTimebase

/// One message of rtnetlink, as far as it concerns us (rtnetlink(7)). Numbers are in the machine's own order, addresses in
/// the network's.
package enum NetworkMessage: Sendable, Equatable {
    /// - Parameter isWorking: it is up, and there is somebody at the other end (IFF_UP and IFF_RUNNING).
    case link(index: UInt32, isWorking: Bool)
    case linkGone(index: UInt32)
    case address(InterfaceAddress)
    case addressGone(InterfaceAddress)
    case route(NetworkRoute)
    case routeGone(NetworkRoute)
    /// The list that was asked for is at its end, or refused.
    case endOfList
}

/// An address that another machine can send to. Its port is 0.
package struct InterfaceAddress: Sendable, Equatable {
    package var interface: UInt32
    package var address: NetworkAddress
    /// Not while others are still asked whether it is theirs (IFA_F_TENTATIVE, IFA_F_DADFAILED).
    package var isUsable: Bool
    /// Chosen for what begins now (not IFA_F_DEPRECATED).
    package var isPreferred: Bool

    package init(interface: UInt32, address: NetworkAddress, isUsable: Bool = true, isPreferred: Bool = true) {
        (self.interface, self.address, self.isUsable, self.isPreferred) = (interface, address, isUsable, isPreferred)
    }
}

/// A way for packets to other machines.
package struct NetworkRoute: Sendable, Equatable {
    package var isIPv6: Bool
    package var table: UInt32
    /// Bits of the destination that must agree; 0 for the default route.
    package var prefix: UInt8
    package var interface: UInt32
    /// Empty when the destination is on the interface's own network.
    package var gateway: [UInt8]
    /// The smallest wins.
    package var metric: UInt32

    package init(isIPv6: Bool, table: UInt32 = 254, prefix: UInt8 = 0, interface: UInt32, gateway: [UInt8] = [], metric: UInt32 = 0) {
        (self.isIPv6, self.table, self.prefix, self.interface, self.gateway, self.metric) = (isIPv6, table, prefix, interface, gateway, metric)
    }
}

/// The messages of one datagram, one after the other. Whatever the bytes, it ends: each message takes at least its header's.
package struct NetworkMessageReader: Sendable {
    private enum Kind {
        static let error: UInt16 = 2
        static let done: UInt16 = 3
        static let newLink: UInt16 = 16
        static let goneLink: UInt16 = 17
        static let newAddress: UInt16 = 20
        static let goneAddress: UInt16 = 21
        static let newRoute: UInt16 = 24
        static let goneRoute: UInt16 = 25
    }

    private static let headerSize = 16
    private let bytes: [UInt8]
    private var offset = 0

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next message that concerns us, and whether it belongs to a list rather than being news; nil at the end, and where
    /// the bytes make no sense any more.
    package mutating func next() -> (message: NetworkMessage, isListed: Bool)? {
        while let length = number(UInt32.self, at: offset), let kind = number(UInt16.self, at: offset + 4), let flags = number(UInt16.self, at: offset + 6) {
            let start = offset
            guard length >= Self.headerSize, length <= bytes.count - start else { return nil }
            let end = start + Int(length)
            offset = start + (Int(length) + 3) & ~3
            // NLM_F_MULTI
            if let message = message(kind, start + Self.headerSize, end) { return (message, flags & 2 != 0) }
        }
        return nil
    }

    private func message(_ kind: UInt16, _ start: Int, _ end: Int) -> NetworkMessage? {
        switch kind {
        case Kind.done, Kind.error: .endOfList
        case Kind.newLink, Kind.goneLink: link(start, end, isGone: kind == Kind.goneLink)
        case Kind.newAddress: address(start, end).map { .address($0) }
        case Kind.goneAddress: address(start, end).map { .addressGone($0) }
        case Kind.newRoute: route(start, end).map { .route($0) }
        case Kind.goneRoute: route(start, end).map { .routeGone($0) }
        default: nil
        }
    }

    /// struct ifinfomsg: family 1, padding 1, type 2, index 4, flags 4, change 4.
    private func link(_ start: Int, _ end: Int, isGone: Bool) -> NetworkMessage? {
        // What a bridge says of its ports comes as a message of the family AF_BRIDGE (7), and is no interface that goes.
        guard end - start >= 16, bytes[start] != 7, let index = number(UInt32.self, at: start + 4), let flags = number(UInt32.self, at: start + 8) else {
            return nil
        }
        // IFF_LOOPBACK: no way to another machine.
        guard flags & 0x8 == 0 else { return nil }
        return isGone ? .linkGone(index: index) : .link(index: index, isWorking: flags & 0x41 == 0x41)
    }

    /// struct ifaddrmsg: family 1, prefix 1, flags 1, scope 1, index 4.
    private func address(_ start: Int, _ end: Int) -> InterfaceAddress? {
        guard end - start >= 8, let interface = number(UInt32.self, at: start + 4), bytes[start + 3] < Scope.link else { return nil }
        let family = bytes[start]
        var flags = UInt32(bytes[start + 2])
        var found: NetworkAddress?
        attributes(from: start + 8, to: end) { kind, value in
            switch kind {
            // IFA_LOCAL is ours where IFA_ADDRESS is the other end of a point-to-point link.
            case 1: if found == nil { found = ipAddress(family, value) }
            case 2: found = ipAddress(family, value) ?? found
            case 8: flags = number(UInt32.self, in: value) ?? flags
            default: break
            }
        }
        return found.map { InterfaceAddress(interface: interface, address: $0, isUsable: flags & 0x48 == 0, isPreferred: flags & 0x20 == 0) }
    }

    /// struct rtmsg: family 1, bits of destination 1, of source 1, type of service 1, table 1, protocol 1, scope 1, type 1, flags 4.
    private func route(_ start: Int, _ end: Int) -> NetworkRoute? {
        guard end - start >= 12, let family = Family(rawValue: bytes[start]), let flags = number(UInt32.self, at: start + 8) else { return nil }
        // RTM_F_CLONED: an entry of a cache. Types: to a machine, to nowhere (blackhole, unreachable, prohibited).
        guard flags & 0x200 == 0, [1, 6, 7, 8].contains(bytes[start + 7]) else { return nil }
        var route = NetworkRoute(isIPv6: family == .ipv6, table: UInt32(bytes[start + 4]), prefix: bytes[start + 1], interface: 0)
        var isOfOneLink = false
        attributes(from: start + 12, to: end) { kind, value in
            switch kind {
            // To one link's own addresses and to groups: no way to another network.
            case 1: isOfOneLink = family == .ipv6 && value.count >= 2 && (value.first == 0xFF || (value.first == 0xFE && value[value.startIndex + 1] & 0xC0 == 0x80))
            case 4: route.interface = number(UInt32.self, in: value) ?? 0
            case 5: route.gateway = Array(value)
            case 6: route.metric = number(UInt32.self, in: value) ?? 0
            case 15: route.table = number(UInt32.self, in: value) ?? route.table
            default: break
            }
        }
        // RT_TABLE_LOCAL: this machine's own addresses, which have messages of their own.
        return isOfOneLink || route.table == 255 ? nil : route
    }

    private enum Family: UInt8 { case ipv4 = 2, ipv6 = 10 }
    private enum Scope { static let link: UInt8 = 253 }

    private func ipAddress(_ family: UInt8, _ value: ArraySlice<UInt8>) -> NetworkAddress? {
        func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch Family(rawValue: family) {
        case .ipv4: return value.count == 4 ? NetworkAddress(ipv4: UInt32(truncatingIfNeeded: integer(value)), port: 0) : nil
        case .ipv6: return value.count == 16 ? NetworkAddress(high: integer(value.prefix(8)), low: integer(value.suffix(8)), port: 0) : nil
        case nil: return nil
        }
    }

    /// struct rtattr: length 2, type 2 (its low 14 bits), value, padding to four bytes.
    private func attributes(from start: Int, to end: Int, _ body: (UInt16, ArraySlice<UInt8>) -> Void) {
        var offset = start
        while offset + 4 <= end, let length = number(UInt16.self, at: offset), let kind = number(UInt16.self, at: offset + 2) {
            guard length >= 4, offset + Int(length) <= end else { return }
            body(kind & 0x3FFF, bytes[(offset + 4)..<(offset + Int(length))])
            offset += (Int(length) + 3) & ~3
        }
    }

    private func number<N: FixedWidthInteger & BitwiseCopyable>(_ type: N.Type, in value: ArraySlice<UInt8>) -> N? {
        value.count == MemoryLayout<N>.size ? number(type, at: value.startIndex) : nil
    }

    private func number<N: FixedWidthInteger & BitwiseCopyable>(_: N.Type, at offset: Int) -> N? {
        guard offset >= 0, offset <= bytes.count - MemoryLayout<N>.size else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: N.self) }
    }
}
