import MastDatagrams
import MastTimebase
import Testing

/// What the kernel's messages say (rtnetlink(7), linux/rtnetlink.h, linux/if_addr.h), byte by byte.
@Suite struct NetworkMessageTests {
    private static let host = NetworkAddress(ipv4: 0x0A01_0002, port: 0)
    private static let host6 = NetworkAddress(high: 0xFD77_0000_0000_0000, low: 2, port: 0)
    private static let bytes: [UInt8] = [10, 1, 0, 2]
    private static let bytes6: [UInt8] = [0xFD, 0x77] + [UInt8](repeating: 0, count: 13) + [2]

    static let cases: [(name: String, bytes: [UInt8], message: NetworkMessage?)] = [
        ("up and running", Netlink.link(3, flags: 0x1_1043), .link(index: 3, isWorking: true)),
        ("up, but without a carrier", Netlink.link(3, flags: 0x1003), .link(index: 3, isWorking: false)),
        ("down", Netlink.link(3, flags: 0x1002), .link(index: 3, isWorking: false)),
        ("an interface that is gone", Netlink.link(3, flags: 0x1002, type: 17), .linkGone(index: 3)),
        ("a port that left its bridge", Netlink.link(3, flags: 0x1_1043, family: 7, type: 17), nil),
        ("loopback", Netlink.link(1, flags: 0x1_0049), nil),
        ("IPv4", Netlink.address(3, bytes), .address(InterfaceAddress(interface: 3, address: host))),
        ("IPv4, gone", Netlink.address(3, bytes, type: 21), .addressGone(InterfaceAddress(interface: 3, address: host))),
        ("IPv6", Netlink.address(3, bytes6, flags: 0x80), .address(InterfaceAddress(interface: 3, address: host6))),
        (
            "IPv6 that others are asked about", Netlink.address(3, bytes6, flags: 0xC0),
            .address(InterfaceAddress(interface: 3, address: host6, isUsable: false))
        ),
        ("the same in the old field", Netlink.address(3, bytes6, oldFlags: 0xC0), .address(InterfaceAddress(interface: 3, address: host6, isUsable: false))),
        ("that another has", Netlink.address(3, bytes6, flags: 0x88), .address(InterfaceAddress(interface: 3, address: host6, isUsable: false))),
        ("deprecated", Netlink.address(3, bytes6, flags: 0x20), .address(InterfaceAddress(interface: 3, address: host6, isPreferred: false))),
        ("ours, and not the other end's", Netlink.address(3, bytes, peer: [10, 1, 0, 1]), .address(InterfaceAddress(interface: 3, address: host))),
        ("of the link alone", Netlink.address(3, bytes6, scope: 253), nil),
        ("of this machine alone", Netlink.address(1, [127, 0, 0, 1], scope: 254), nil),
        ("an address of no length we know", Netlink.address(3, [1, 2, 3]), nil),
        ("default route", Netlink.route(3, gateway: [10, 1, 0, 1], metric: 600), .route(NetworkRoute(isIPv6: false, interface: 3, gateway: [10, 1, 0, 1], metric: 600))),
        ("default route, gone", Netlink.route(3, gateway: [10, 1, 0, 1], type: 25), .routeGone(NetworkRoute(isIPv6: false, interface: 3, gateway: [10, 1, 0, 1]))),
        ("IPv6's", Netlink.route(3, family: 10, metric: 1_024), .route(NetworkRoute(isIPv6: true, interface: 3, metric: 1_024))),
        ("to one network", Netlink.route(3, prefix: 24, to: [10, 1, 0, 0]), .route(NetworkRoute(isIPv6: false, prefix: 24, interface: 3))),
        ("in a table of a VPN's", Netlink.route(3, table: 252, wideTable: 51_820), .route(NetworkRoute(isIPv6: false, table: 51_820, interface: 3))),
        ("to nowhere", Netlink.route(0, prefix: 8, to: [10, 0, 0, 0], kind: 7), .route(NetworkRoute(isIPv6: false, prefix: 8, interface: 0))),
        ("to this machine", Netlink.route(3, prefix: 32, to: bytes, table: 255, kind: 2), nil),
        ("to everybody there", Netlink.route(3, prefix: 32, to: [10, 1, 0, 255], table: 255, kind: 3), nil),
        ("to link-local addresses", Netlink.route(3, prefix: 64, family: 10, to: [0xFE, 0x80] + [UInt8](repeating: 0, count: 14)), nil),
        ("to a group", Netlink.route(3, prefix: 8, family: 10, to: [0xFF] + [UInt8](repeating: 0, count: 15)), nil),
        ("from a cache", Netlink.route(3, flags: 0x200), nil),
        ("of another family", Netlink.route(3, family: 28), nil),
        ("the end of a list", Netlink.done, .endOfList),
        ("a list that is refused", Netlink.refused, .endOfList),
        ("a neighbour", Netlink.message(28, [UInt8](repeating: 0, count: 12)), nil),
        ("no more than a header", Netlink.message(16, []), nil),
    ]

    @Test(arguments: cases.indices) func oneMessage(index: Int) {
        let (name, bytes, expected) = Self.cases[index]
        var reader = NetworkMessageReader(bytes)
        #expect(reader.next()?.message == expected, "\(name)")
        #expect(reader.next() == nil)
    }

    @Test func severalInOneDatagram() {
        var reader = NetworkMessageReader(Self.cases.flatMap(\.bytes))
        var messages: [NetworkMessage] = []
        while let (message, _) = reader.next() { messages.append(message) }
        #expect(messages == Self.cases.compactMap(\.message))
    }

    @Test func whatIsListedIsToldFromNews() {
        var reader = NetworkMessageReader(Netlink.link(3, flags: 0x41, listed: true) + Netlink.link(3, flags: 0x41))
        #expect(reader.next()?.isListed == true)
        #expect(reader.next()?.isListed == false)
    }

    /// Cut anywhere, it says a beginning of what it said, and ends.
    @Test func aCutDatagramSaysABeginning() {
        let all = Self.cases.compactMap(\.message)
        let bytes = Self.cases.flatMap(\.bytes)
        for length in 0..<bytes.count {
            var reader = NetworkMessageReader(Array(bytes[..<length]))
            var messages: [NetworkMessage] = []
            while let (message, _) = reader.next() { messages.append(message) }
            #expect(all.starts(with: messages), "\(length) bytes")
        }
    }

    /// Lengths and kinds of any value, anywhere: it ends, after no more messages than there is room for.
    @Test(arguments: 1...20 as ClosedRange<UInt64>) func anyBytesEnd(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let good = Self.cases.flatMap(\.bytes)
        for _ in 0..<500 {
            var bytes = good
            for _ in 0..<(1 + Int(generator.next() % 8)) { bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next() >> (generator.next() % 7)) }
            var reader = NetworkMessageReader(bytes)
            var state = NetworkState()
            var count = 0
            while reader.next() != nil { count += 1 }
            _ = state.apply(bytes)
            #expect(count <= bytes.count / 16)
        }
    }
}
