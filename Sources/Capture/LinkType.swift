/// The kind of frame a capture holds, by the number that files carry (the registry at tcpdump.org/linktypes.html).
package struct LinkType: Hashable, Sendable, CustomStringConvertible {
    package var number: Int

    package init(_ number: Int) { self.number = number }

    package static let null = LinkType(0)
    package static let ethernet = LinkType(1)
    package static let ppp = LinkType(9)
    package static let pppInHDLC = LinkType(50)
    package static let pppOverEthernet = LinkType(51)
    package static let ciscoHDLC = LinkType(104)
    package static let pppWithDirection = LinkType(204)
    package static let raw = LinkType(101)
    package static let loop = LinkType(108)
    package static let linuxSLL = LinkType(113)
    package static let ipv4 = LinkType(228)
    package static let ipv6 = LinkType(229)
    package static let linuxSLL2 = LinkType(276)

    /// What libpcap says in memory differs from the file for raw IP: 12 or, on OpenBSD, 14. Some programs write
    /// those into files, too.
    package init(memoryNumber: Int) {
        self.init(memoryNumber == 12 || memoryNumber == 14 ? 101 : memoryNumber)
    }

    /// The number that libpcap's functions expect.
    package var memoryNumber: Int { number == 101 ? 12 : number }

    /// Whether `LinkLayer` can look inside.
    package var isKnown: Bool { Self.names.contains { $0.number == number } }

    package var description: String { Self.names.first { $0.number == number }?.name ?? "LINKTYPE \(number)" }

    private static let names: [(number: Int, name: String)] = [
        (0, "NULL"), (1, "EN10MB"), (9, "PPP"), (50, "PPP_HDLC"), (51, "PPP_ETHER"), (101, "RAW"),
        (104, "C_HDLC"), (108, "LOOP"), (113, "LINUX_SLL"),
        (204, "PPP_WITH_DIR"), (228, "IPV4"), (229, "IPV6"), (276, "LINUX_SLL2"),
    ]
}
