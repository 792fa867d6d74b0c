import CaptureKit
import MastCapture
import MastTimebase
import Testing

/// Link types that are not a network's own framing: radios, frame relay, and what recorders put before a packet.
@Suite struct RecorderHeaderTests {
    private typealias B = CaptureBytes

    private static let v4 = CaptureBytes.ipv4(CaptureBytes.udp())
    private static let llc: [UInt8] = [0xAA, 0xAA, 3, 0, 0, 0, 8, 0]

    /// A data frame to an access point.
    private static func wifi(_ kind: UInt8 = 0x08, flags: UInt8 = 0x01, sequence: Int = 0x120, more: [UInt8] = [], _ payload: [UInt8] = llc + v4) -> [UInt8] {
        [kind, flags, 0, 0] + [UInt8](repeating: 2, count: 18) + B.little(sequence, 2) + more + payload
    }

    /// With a time stamp and flags, then a rate.
    private static func radiotap(flags: UInt8 = 0, isExtended: Bool = false) -> [UInt8] {
        let words = isExtended ? B.little(0x8000_0007, 4) + B.little(0, 4) : B.little(7, 4)
        let time = [UInt8](repeating: 0, count: (4 + words.count) % 8 == 0 ? 8 : 12)
        let fields = words + time + [flags, 4]
        return [0, 0] + B.little(4 + fields.count, 2) + fields
    }

    private static func pktap(_ type: Int, flags: Int = 0) -> [UInt8] {
        B.little(108, 4) + B.little(1, 4) + B.little(type, 4) + [UInt8](repeating: 0x65, count: 24) + B.little(flags, 4) + [UInt8](repeating: 0, count: 68)
    }

    private static func nflog(family: UInt8, isBig: Bool) -> [UInt8] {
        let number = isBig ? B.big : B.little
        let prefix = number(4 + 5, 2) + number(10, 2) + [0x69, 0x6E, 0x3A, 0x20, 0, 0, 0, 0]
        let payload = number(4 + v4.count, 2) + number(9, 2) + v4
        return [family, 0, 0, 5] + number(8, 2) + number(1, 2) + [8, 0, 3, 0] + prefix + payload
    }

    private static let frames: [(LinkType, [UInt8], String)] = [
        (.wifi, wifi(), "802.11"),
        (.wifi, wifi(flags: 0x03, more: [UInt8](repeating: 2, count: 6)), "802.11 between access points"),
        (.wifi, wifi(0x88, more: [0, 0]), "802.11 with QoS"),
        (.wifi, wifi(0x88, flags: 0x81, more: [0, 0, 1, 2, 3, 4]), "802.11 with QoS and HT control"),
        (.wifi, wifi(0x88, more: [0x80, 0] + [UInt8](repeating: 2, count: 12) + [0, 39]), "the first of an aggregate"),
        (.wifiRadiotap, radiotap() + wifi(), "radiotap"),
        (.wifiRadiotap, radiotap(isExtended: true) + wifi(), "radiotap with two words of presence"),
        (.wifiRadiotap, radiotap(flags: 0x20) + wifi(0x88, more: [0, 0, 0, 0]), "radiotap with a padded header"),
        (.wifiRadiotap, radiotap(isExtended: true).dropLast(2) + [0x20, 4] + wifi(0x88, more: [0, 0, 0, 0]), "both"),
        (.wifiRadiotap, radiotap(flags: 0xDF) + wifi(0x88, more: [0, 0]), "radiotap with every other flag"),
        (.wifiRadiotap, [0, 0] + B.little(9, 2) + B.little(4, 4) + [0x20] + wifi(0x88, more: [0, 0]), "radiotap without flags"),
        (.wifiPrism, B.little(0x44, 4) + B.little(144, 4) + [UInt8](repeating: 0, count: 136) + wifi(), "Prism of a little-endian host"),
        (.wifiPrism, B.big(0x44, 4) + B.big(144, 4) + [UInt8](repeating: 0, count: 136) + wifi(), "Prism of a big-endian host"),
        (.wifiPrism, B.big(0x8021_1001, 4) + B.big(64, 4) + [UInt8](repeating: 0, count: 56) + wifi(), "AVS under Prism's number"),
        (.wifiAVS, B.big(0x8021_1001, 4) + B.big(64, 4) + [UInt8](repeating: 0, count: 56) + wifi(), "AVS"),
        (.frameRelay, [0x18, 0x41, 3, 0xCC] + v4, "frame relay"),
        (.frameRelay, [0x18, 0x40, 0x21, 3, 0, 0x80, 0, 0, 0, 8, 0] + v4, "frame relay with SNAP"),
        (.frameRelay, [0x18, 0x41, 3, 0, 0x80, 0, 0x80, 0xC2, 0, 7] + B.ethernet(v4), "Ethernet over frame relay"),
        (.frameRelay, [0x18, 0x41, 8, 0] + v4, "Cisco's frame relay"),
        (.frameRelayWithDirection, [1, 0x18, 0x41, 3, 0xCC] + v4, "frame relay with direction"),
        (.ciscoHDLCWithDirection, [0, 0x0F, 0, 8, 0] + v4, "Cisco HDLC with direction"),
        (.nflog, nflog(family: 2, isBig: false), "NFLOG of a little-endian host"),
        (.nflog, nflog(family: 2, isBig: true), "NFLOG of a big-endian host"),
        (.nflog, nflog(family: 7, isBig: false), "NFLOG of a bridge"),
        (.pktap, pktap(1) + B.ethernet(v4), "PKTAP around Ethernet"),
        (.pktap, pktap(12) + v4, "PKTAP around raw IP"),
        (.user2, pktap(0) + [2, 0, 0, 0] + v4, "PKTAP under Apple's own number"),
        (.ppi, [0, 0] + B.little(8, 2) + B.little(105, 4) + wifi(), "PPI around 802.11"),
        (.mpls, [0, 1, 0, 64, 0, 1, 1, 64] + v4, "MPLS"),
        (.atm, llc + v4, "ATM"),
        (.enc, [2, 0, 0, 0] + [UInt8](repeating: 1, count: 8) + v4, "decrypted IPsec"),
        (.pflog, [61, 2] + [UInt8](repeating: 0, count: 62) + v4, "OpenBSD's packet filter log"),
        (.netAnalyzer, [1, 2, 3, 4] + B.ethernet(v4), "netANALYZER"),
    ]

    private func decode(_ bytes: [UInt8], _ type: LinkType) -> PacketHeaders { LinkLayer.decode(bytes.span, linkType: type, wireBytes: bytes.count) }

    @Test func eachLeadsToTheSamePacket() {
        for (type, frame, name) in Self.frames {
            let headers = decode(frame, type)
            #expect(headers.ip?.source == NetworkAddress("10.0.0.1:40000") && headers.ip?.bytes == 31, "\(name)")
            #expect(type.isKnown, "\(name)")
        }
    }

    @Test func aCutFrameIsNoPacket() {
        for (type, frame, name) in Self.frames {
            for length in 0..<frame.count - Self.v4.count + 19 {
                #expect(decode(Array(frame.prefix(length)), type).ip == nil, "\(length) bytes of \(name)")
            }
        }
    }

    @Test func whatIsEncryptedOrNoDataIsNotRead() {
        #expect(decode(Self.wifi(flags: 0x41), .wifi).ip == nil, "encrypted")
        #expect(decode(Self.wifi(sequence: 0x121), .wifi).ip == nil, "a later fragment")
        #expect(decode(Self.wifi(0x48), .wifi).ip == nil, "no data")
        #expect(decode(Self.wifi(0x80), .wifi).ip == nil, "a beacon")
    }

    @Test func pktapTellsWhichWayAPacketGoes() {
        #expect(decode(Self.pktap(12, flags: 1) + Self.v4, .pktap).isOutgoing == false)
        #expect(decode(Self.pktap(12, flags: 2) + Self.v4, .pktap).isOutgoing == true)
        #expect(decode(Self.pktap(12) + Self.v4, .pktap).isOutgoing == nil)
    }

    @Test func recordersInsideEachOtherEnd() {
        var frame: [UInt8] = []
        for _ in 0..<500 { frame += [0, 0] + B.little(8, 2) + B.little(192, 4) }
        #expect(decode(frame + Self.v4, .ppi).ip == nil)
    }

    @Test func everyNumberOfTheRegistryHasItsName() {
        let names = [
            1: "EN10MB", 105: "IEEE802_11", 107: "FRELAY", 127: "IEEE802_11_RADIOTAP", 119: "IEEE802_11_PRISM", 163: "IEEE802_11_AVS", 149: "USER2",
            189: "USB_LINUX", 195: "IEEE802_15_4_WITHFCS", 239: "NFLOG", 249: "USBPCAP", 258: "PKTAP", 270: "LORATAP", 276: "LINUX_SLL2", 301: "DECT_NR",
        ]
        for (number, name) in names { #expect(LinkType(number).description == name) }
        #expect(LinkType(9_999).description == "LINKTYPE 9999" && LinkType(-1).description == "LINKTYPE -1" && LinkType(.max).description.hasPrefix("LINKTYPE"))
        #expect(!LinkType(189).isKnown && !LinkType(270).isKnown)
    }

    @Test func aFileOfALinkTypeThatIsNotReadSaysSo() throws {
        let file = try TemporaryFile(B.pcap(linkType: 195, (1...3).map { .init(timeNs: $0, bytes: [1, 2, 3]) }))
        let capture = try CaptureFile(path: file.path)
        while capture.next() != nil {}
        #expect(capture.notes == [CaptureNote(.linkTypeNotRead, 3, linkType: "IEEE802_15_4_WITHFCS")])
    }

    @Test func damagedOptionsAreCountedAndTheirPacketsRead() throws {
        // A length of 0, one past the header, and a kind without a length.
        for options in [[8, 0, 1, 1], [5, 200, 0, 0], [1, 1, 1, 8]] as [[UInt8]] {
            let tcp = B.tcp(sequence: 7, flags: 0x10)
            let damaged = Array(tcp[..<12]) + [0x60] + tcp[13...] + options
            let headers = decode(B.ipv4(proto: 6, damaged), .raw)
            #expect(headers.ip?.hasDamagedOptions == true, "\(options)")
            guard case .tcp(let read) = headers.transport else { Issue.record("unread"); continue }
            #expect(read.sequence == 7 && read.payloadBytes == 0)
            let ip = [0x46] + B.ipv4(length: 35, B.udp())[1..<20] + options + B.udp()
            #expect(decode(Array(ip), .raw).ip?.hasDamagedOptions == true)
        }
        let whole: [UInt8] = [2, 4, 5, 0xB4, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 9, 9]
        let tcp = B.tcp(sequence: 7, flags: 0x10)
        let packet = B.ipv4(proto: 6, Array(tcp[..<12]) + [0xA0] + tcp[13...] + whole)
        for length in 40...packet.count {
            let headers = LinkLayer.decode(packet.span.extracting(first: length), linkType: .raw, wireBytes: packet.count)
            #expect(headers.ip?.hasDamagedOptions == false, "cut at \(length)")
        }
    }
}
