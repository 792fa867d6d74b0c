import MastDatagrams
import MastTimebase
import Testing

/// Which news matter: systems repeat themselves, and most of what they say changes nothing.
@Suite struct NetworkStateTests {
    private static let wifi: UInt32 = 3
    private static let bridge: UInt32 = 9
    private static let address: [UInt8] = [10, 1, 0, 2]
    private static let other: [UInt8] = [10, 2, 0, 2]
    private static let address6: [UInt8] = [0xFD, 0x77] + [UInt8](repeating: 0, count: 13) + [2]

    /// One interface that works, with an address and a default route; and one that has no address.
    private static func known() -> NetworkState {
        var state = NetworkState()
        let list =
            Netlink.link(wifi, flags: 0x41, listed: true) + Netlink.link(bridge, flags: 0x1, listed: true) + Netlink.address(wifi, address, listed: true)
            + Netlink.address(wifi, address6, listed: true) + Netlink.done
        let (change, endsList) = state.apply(list)
        #expect(change == .nothing && endsList)
        #expect(state.apply(Netlink.route(wifi, gateway: [10, 1, 0, 1])).change == .links)
        return state
    }

    static let cases: [(name: String, news: [UInt8], change: NetworkChange)] = [
        ("an interface's statistics", Netlink.link(wifi, flags: 0x41), .nothing),
        ("its carrier goes", Netlink.link(wifi, flags: 0x1), .links),
        ("it is taken down", Netlink.link(wifi, flags: 0x0), .links),
        ("it goes", Netlink.link(wifi, flags: 0x0, type: 17), .links),
        ("one without an address works", Netlink.link(bridge, flags: 0x41), .nothing),
        ("another comes", Netlink.link(20, flags: 0x41), .nothing),
        ("and has an address", Netlink.link(20, flags: 0x41) + Netlink.address(20, other), .links),
        ("an address is renewed", Netlink.address(wifi, address), .nothing),
        ("an address goes", Netlink.address(wifi, address, type: 21), .links),
        ("one goes that nobody knew", Netlink.address(wifi, other, type: 21), .nothing),
        ("one comes that is not usable yet", Netlink.address(wifi, other.reversed(), flags: 0xC0), .nothing),
        ("an address gives way to others", Netlink.address(wifi, address6, flags: 0x20), .routes),
        ("an address may be used no more", Netlink.address(wifi, address6, flags: 0x88), .links),
        ("the default route is told again", Netlink.route(wifi, gateway: [10, 1, 0, 1]), .nothing),
        ("it leads elsewhere", Netlink.route(wifi, gateway: [10, 1, 0, 9]), .links),
        ("it has another metric", Netlink.route(wifi, gateway: [10, 1, 0, 1], metric: 50), .links),
        ("it goes", Netlink.route(wifi, gateway: [10, 1, 0, 1], type: 25), .links),
        ("one goes that nobody knew", Netlink.route(wifi, family: 10, type: 25), .links),
        ("a route to one network comes", Netlink.route(wifi, prefix: 24, to: [10, 9, 0, 0]), .routes),
        ("it goes", Netlink.route(wifi, prefix: 24, to: [10, 9, 0, 0], type: 25), .routes),
        ("both in one datagram", Netlink.route(wifi, prefix: 24, to: [10, 9, 0, 0]) + Netlink.link(wifi, flags: 0), .links),
        ("what is only listed", Netlink.link(wifi, flags: 0, listed: true), .nothing),
    ]

    @Test(arguments: cases.indices) func oneNews(index: Int) {
        var state = Self.known()
        let (name, news, change) = Self.cases[index]
        #expect(state.apply(news).change == change, "\(name)")
    }

    /// What changed is what is known from then on.
    @Test(arguments: cases.indices) func theSameNewsAgainIsNone(index: Int) {
        var state = Self.known()
        let (name, news, _) = Self.cases[index]
        _ = state.apply(news)
        let again = state.apply(news).change
        // Routes to single networks and routes that go are not kept; whoever looks finds nothing changed.
        let isRemembered = !news.isEmpty && ![24, 25].contains(news[4])
        #expect(again == .nothing || !isRemembered, "\(name): \(again)")
    }

    @Test func anAddressIsUsableOnceNobodyElseHasIt() {
        var state = Self.known()
        let new: [UInt8] = Array(Self.address6.dropLast()) + [9]
        #expect(state.apply(Netlink.address(Self.wifi, new, flags: 0xC0)).change == .nothing)
        #expect(state.apply(Netlink.address(Self.wifi, new, flags: 0x80)).change == .links)
    }

    /// More interfaces and routes than there is room for: nothing grows, and what is not known is news.
    @Test func whatFindsNoRoomIsNewsEachTime() {
        var state = NetworkState()
        for index in UInt32(1)...5_000 { _ = state.apply(.address(InterfaceAddress(interface: index, address: NetworkAddress(ipv4: index, port: 0)))) }
        #expect(state.apply(.address(InterfaceAddress(interface: 1, address: NetworkAddress(ipv4: 1, port: 0)))) == .nothing)
        let last = InterfaceAddress(interface: 5_000, address: NetworkAddress(ipv4: 5_000, port: 0))
        #expect(state.apply(.address(last)) == .links)
        #expect(state.apply(.addressGone(last)) == .links)
        for metric in UInt32(1)...300 { _ = state.apply(.route(NetworkRoute(isIPv6: false, interface: 1, metric: metric))) }
        #expect(state.apply(.route(NetworkRoute(isIPv6: false, interface: 1, metric: 300))) == .nothing)
        #expect(state.apply(.route(NetworkRoute(isIPv6: false, interface: 1, metric: 1))) == .links)
    }
}
