import Foundation
import MastCapture
import MastTimebase

/// Good inputs for the mutator: made here, and the beginnings of the recordings in `captures/`.
enum Corpus {
    static let captures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "captures")

    static func big(_ value: Int, _ bytes: Int) -> [UInt8] { (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * (bytes - 1 - $0))) } }

    static func ipv4(_ proto: UInt8, id: Int = 1, fragment: Int = 0, options: Int = 0, _ payload: [UInt8]) -> [UInt8] {
        [0x45 + UInt8(options), 0] + big(20 + 4 * options + payload.count, 2) + big(id, 2) + big(fragment, 2) + [64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
            + [UInt8](repeating: 1, count: 4 * options) + payload
    }

    static func ipv6(_ next: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [0x60, 0, 0, 0] + big(payload.count, 2) + [next, 64] + [UInt8](repeating: 0x20, count: 16) + [UInt8](repeating: 0x21, count: 16) + payload
    }

    static func udp(_ from: Int, _ to: Int, _ payload: [UInt8]) -> [UInt8] { big(from, 2) + big(to, 2) + big(8 + payload.count, 2) + [0, 0] + payload }

    static func tcp(_ sequence: Int, flags: UInt8, options: [UInt8] = [], _ payload: [UInt8] = []) -> [UInt8] {
        let padded = options + [UInt8](repeating: 0, count: (4 - options.count % 4) % 4)
        return big(40_000, 2) + big(443, 2) + big(sequence, 4) + big(77, 4) + [UInt8(5 + padded.count / 4) << 4, flags, 0x20, 0, 0, 0, 0, 0] + padded + payload
    }

    private static let timestamps: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8]
    private static let sack: [UInt8] = [2, 4, 5, 0xB4, 4, 2, 3, 3, 7, 5, 18, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 20, 0, 0, 0, 30]
    private static let rtp: [UInt8] = [0x80, 96, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5, 1, 2, 3, 4]
    private static let rtcp: [UInt8] = [0x81, 200, 0, 12] + [UInt8](repeating: 3, count: 48)
    private static let quic: [UInt8] = [0xC3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 4, 9, 9, 9, 9, 0, 0x44, 0x9E] + [UInt8](repeating: 5, count: 60)

    /// Packets that begin with their IP header.
    static let packets: [[UInt8]] = {
        let inner = ipv4(17, udp(5, 6, rtp))
        let ethernet = [UInt8](repeating: 2, count: 12) + [8, 0] + inner
        return [
            inner, ipv4(17, udp(5, 6, rtcp)), ipv4(17, udp(50_000, 443, quic)), ipv4(17, udp(50_000, 443, [0x41] + [UInt8](repeating: 8, count: 40))),
            ipv4(6, tcp(1, flags: 2, options: sack)), ipv4(6, tcp(2, flags: 0x12, options: timestamps)), ipv4(6, options: 3, tcp(-1, flags: 0x18, options: timestamps, [1, 2, 3])),
            ipv4(6, tcp(5, flags: 0x10, options: sack)), ipv4(6, tcp(9, flags: 4)), ipv4(17, id: 9, fragment: 0x2000, udp(5, 6, [UInt8](repeating: 1, count: 56))),
            ipv4(17, id: 9, fragment: 8, [UInt8](repeating: 1, count: 40)), ipv4(1, [3, 3, 0, 0, 0, 0, 0, 0] + inner), ipv6(17, udp(5, 6, rtp)),
            ipv6(0, [60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 3] + udp(5, 6, [1, 2, 3])),
            ipv6(43, [51, 0, 0, 0, 0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2] + tcp(1, flags: 0x10)), ipv6(58, [1, 0, 0, 0, 0, 0, 0, 0] + ipv6(17, udp(1, 2, [3]))),
            ipv4(17, udp(2152, 2152, [0x36, 0xFF] + big(inner.count + 8, 2) + [0, 0, 0, 9, 0, 7, 0, 0x85, 1, 1, 2, 0] + inner)),
            ipv4(17, udp(9, 4789, [8, 0, 0, 0, 0, 0, 5, 0] + ethernet)), ipv4(17, udp(9, 6081, [1, 0, 0x65, 0x58, 0, 0, 5, 0, 1, 2, 3, 4] + ethernet)),
            ipv4(47, [0xB0, 0, 8, 0] + [UInt8](repeating: 1, count: 12) + inner), ipv4(4, ipv4(4, ipv4(41, ipv6(17, udp(3544, 1, ipv6(59, [])))))),
        ]
    }()

    /// Frames of every link type, each with its type.
    static let frames: [(LinkType, [UInt8])] = packets.flatMap { packet -> [(LinkType, [UInt8])] in
        let isSix = packet[0] >> 4 == 6
        let type: [UInt8] = isSix ? [0x86, 0xDD] : [8, 0]
        let ppp: [UInt8] = isSix ? [0, 0x57] : [0, 0x21]
        let mac = [UInt8](repeating: 2, count: 12)
        let llc = [0xAA, 0xAA, 3, 0, 0, 0] + type + packet
        let wifi = [0x88, 0x01] + [UInt8](repeating: 3, count: 20) + [0, 0, 0, 0]
        let radiotap: [UInt8] = [0, 0, 17, 0, 3, 0, 0, 0] + [UInt8](repeating: 0, count: 8) + [0x20]
        let pktap: [UInt8] = [108, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0] + [UInt8](repeating: 0, count: 24) + [2] + [UInt8](repeating: 0, count: 71)
        return [
            (.raw, packet), (isSix ? .ipv6 : .ipv4, packet), (.ethernet, mac + type + packet), (.ethernet, mac + [0x88, 0xA8, 0, 5, 0x81, 0, 0, 6] + type + packet),
            (.ethernet, mac + [0x88, 0x47, 0, 1, 0, 64, 0, 1, 1, 64] + packet), (.ethernet, mac + [0x88, 0x64, 0x11, 0, 0, 1, 0, 33] + ppp + packet),
            (.ethernet, mac + big(packet.count + 8, 2) + [0xAA, 0xAA, 3, 0, 0, 0] + type + packet), (.null, [isSix ? 30 : 2, 0, 0, 0] + packet),
            (.loop, [0, 0, 0, isSix ? 24 : 2] + packet), (.linuxSLL, [UInt8](repeating: 0, count: 14) + type + packet),
            (.linuxSLL2, type + [UInt8](repeating: 0, count: 18) + packet), (.ppp, [0xFF, 3] + ppp + packet), (.pppInHDLC, [0x0F, 0] + type + packet),
            (.pppOverEthernet, [0x11, 0, 0, 1, 0, 33] + ppp + packet), (.pppWithDirection, [0] + ppp + packet), (.ciscoHDLC, [0x0F, 0] + type + packet),
            (.wifi, wifi + llc), (.wifiRadiotap, radiotap + wifi + [0, 0] + llc), (.wifiPrism, [0, 0, 0, 0x44, 0, 0, 0, 144] + [UInt8](repeating: 0, count: 136) + wifi + llc),
            (.wifiAVS, [0x80, 0x21, 0x10, 1, 0, 0, 0, 64] + [UInt8](repeating: 0, count: 56) + wifi + llc), (.frameRelay, [0x18, 0x41, 3, isSix ? 0x8E : 0xCC] + packet),
            (.frameRelayWithDirection, [1, 0x18, 0x40, 0x21, 3, 0, 0x80, 0, 0, 0] + type + packet), (.ciscoHDLCWithDirection, [0, 0x0F, 0] + type + packet),
            (.nflog, [isSix ? 10 : 2, 0, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0] + big(packet.count + 4, 2).reversed() + [9, 0] + packet), (.atm, llc), (.mpls, [0, 1, 1, 64] + packet),
            (.enc, [0, 0, 0, isSix ? 24 : 2] + [UInt8](repeating: 0, count: 8) + packet), (.pflog, [61, isSix ? 24 : 2] + [UInt8](repeating: 0, count: 62) + packet),
            (.netAnalyzer, [0, 0, 0, 0] + mac + type + packet), (.ppi, [0, 0, 8, 0, 1, 0, 0, 0] + mac + type + packet),
            (.pktap, pktap + mac + type + packet), (.user2, pktap + mac + type + packet),
        ]
    }

    static let linkTypes: [LinkType] = Array(Set(frames.map(\.0))).sorted { $0.number < $1.number }

    static let files: [[UInt8]] = {
        var files: [[UInt8]] = []
        for format in [CaptureWriter.Format.pcap, .pcapng] {
            let writer = CaptureWriter(format, interfaces: [.init(linkType: .raw), .init(linkType: .ethernet)])
            files.append(writer.header + packets.enumerated().flatMap {
                writer.record(frame: $1, epochNanoseconds: Int64($0) * 1_000_000, interface: 0, comment: $0 % 3 == 0 ? "drop: queue" : nil)
            })
        }
        files.append(block(0x0A0D_0D0A, [0x1A, 0x2B, 0x3C, 0x4D, 0, 1, 0, 0] + [UInt8](repeating: 0xFF, count: 8)) + block(1, [0, 101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0x8A, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0])
            + block(6, big(0, 4) + big(1, 4) + big(2, 4) + big(packets[0].count, 4) + big(packets[0].count, 4) + packets[0])
            + block(3, big(packets[1].count, 4) + packets[1]) + block(5, big(0, 4) + [UInt8](repeating: 1, count: 8))
            + block(2, big(0, 2) + big(3, 2) + big(1, 4) + big(2, 4) + big(packets[0].count, 4) + big(packets[0].count, 4) + packets[0]))
        files.append([0xA1, 0xB2, 0xC3, 0xD4, 0, 2, 0, 4] + [UInt8](repeating: 0, count: 8) + [0, 0, 0xFF, 0xFF, 0, 0, 0, 1] + big(1, 4) + big(2, 4) + big(40, 4) + big(60, 4) + frames[2].1.prefix(40))
        for name in ["calls.pcapng", "media.pcapng", "tcp-loopback.pcap", "bulk.pcap"] {
            if let data = try? Data(contentsOf: captures.appending(path: name)) { files.append([UInt8](data.prefix(6_000))) }
        }
        files.append([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1] + [UInt8(truncatingIfNeeded: files[3].count), 0, UInt8(truncatingIfNeeded: ~files[3].count), 0xFF] + files[3])
        return files
    }()

    /// Big-endian.
    private static func block(_ type: Int, _ body: [UInt8]) -> [UInt8] {
        let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
        return big(type, 4) + big(padded.count + 12, 4) + padded + big(padded.count + 12, 4)
    }
}
