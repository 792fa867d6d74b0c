/// The kind of frame a capture holds, by the number that files carry (the registry at tcpdump.org/linktypes.html).
package struct LinkType: Hashable, Sendable, CustomStringConvertible {
    package var number: Int

    package init(_ number: Int) { self.number = number }

    package static let null = LinkType(0)
    package static let ethernet = LinkType(1)
    package static let ppp = LinkType(9)
    package static let pppInHDLC = LinkType(50)
    package static let pppOverEthernet = LinkType(51)
    package static let atm = LinkType(100)
    package static let raw = LinkType(101)
    package static let ciscoHDLC = LinkType(104)
    package static let wifi = LinkType(105)
    package static let frameRelay = LinkType(107)
    package static let loop = LinkType(108)
    package static let enc = LinkType(109)
    package static let linuxSLL = LinkType(113)
    package static let pflog = LinkType(117)
    package static let wifiPrism = LinkType(119)
    package static let wifiRadiotap = LinkType(127)
    /// A number for private use that Apple's recorders write for `pktap`.
    package static let user2 = LinkType(149)
    package static let wifiAVS = LinkType(163)
    package static let ppi = LinkType(192)
    package static let pppWithDirection = LinkType(204)
    package static let ciscoHDLCWithDirection = LinkType(205)
    package static let frameRelayWithDirection = LinkType(206)
    package static let mpls = LinkType(219)
    package static let ipv4 = LinkType(228)
    package static let ipv6 = LinkType(229)
    package static let nflog = LinkType(239)
    package static let netAnalyzer = LinkType(240)
    package static let pktap = LinkType(258)
    package static let linuxSLL2 = LinkType(276)

    /// Those that `LinkLayer` looks inside.
    private static let read: Set<LinkType> = [  // lookup only
        .null, .ethernet, .ppp, .pppInHDLC, .pppOverEthernet, .atm, .raw, .ciscoHDLC, .wifi, .frameRelay, .loop, .enc, .linuxSLL, .pflog,
        .wifiPrism, .wifiRadiotap, .user2, .wifiAVS, .ppi, .pppWithDirection, .ciscoHDLCWithDirection, .frameRelayWithDirection, .mpls,
        .ipv4, .ipv6, .nflog, .netAnalyzer, .pktap, .linuxSLL2,
    ]

    /// What libpcap says in memory differs from the file where systems disagreed once: raw IP is 12 or, on OpenBSD, 14. Some
    /// programs write those into files, too.
    package init(memoryNumber: Int) {
        let number =
            switch memoryNumber {
            case 11: 100
            case 12, 14: 101
            default: memoryNumber
            }
        self.init(number)
    }

    /// The number that libpcap's functions expect.
    package var memoryNumber: Int {
        switch number {
        case 100: 11
        case 101: 12
        default: number
        }
    }

    /// Whether `LinkLayer` can look inside.
    package var isKnown: Bool { Self.read.contains(self) }

    package var description: String { LinkTypeNames.name(of: number) ?? "LINKTYPE \(number)" }
}
