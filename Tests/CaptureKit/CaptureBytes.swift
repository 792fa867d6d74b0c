import Foundation
import MastCapture
import MastTimebase

/// Frames and files made byte by byte, apart from the code under test.
package enum CaptureBytes {
    package static func big(_ value: Int, _ bytes: Int) -> [UInt8] {
        (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * (bytes - 1 - $0))) }
    }
    package static func little(_ value: Int, _ bytes: Int) -> [UInt8] { big(value, bytes).reversed() }

    package static func ipv4(
        proto: UInt8 = 17, from: UInt32 = 0x0A00_0001, to: UInt32 = 0x0A00_0002, id: Int = 1, fragment: Int = 0,
        length: Int? = nil, _ payload: [UInt8]
    ) -> [UInt8] {
        [0x45, 0] + big(length ?? 20 + payload.count, 2) + big(id, 2) + big(fragment, 2) + [64, proto, 0, 0]
            + big(Int(from), 4) + big(Int(to), 4) + payload
    }

    package static func ipv6(next: UInt8 = 17, _ payload: [UInt8]) -> [UInt8] {
        let address = { (last: UInt8) in [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [last] }
        return [0x60, 0, 0, 0] + big(payload.count, 2) + [next, 64] + address(1) + address(2) + payload
    }

    package static func udp(from: Int = 40_000, to: Int = 53, _ payload: [UInt8] = [1, 2, 3]) -> [UInt8] {
        big(from, 2) + big(to, 2) + big(payload.count + 8, 2) + [0, 0] + payload
    }

    package static func tcp(
        from: Int = 40_000, to: Int = 443, sequence: UInt32, acknowledgement: UInt32 = 0, flags: UInt8,
        payload: Int = 0
    ) -> [UInt8] {
        big(from, 2) + big(to, 2) + big(Int(sequence), 4) + big(Int(acknowledgement), 4) + [0x50, flags, 0xFF, 0xFF, 0, 0, 0, 0]
            + [UInt8](repeating: 0x61, count: payload)
    }

    package static func ethernet(type: [UInt8] = [0x08, 0x00], _ payload: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 2, count: 12) + type + payload
    }

    package struct Packet {
        package var timeNs: Int
        package var bytes: [UInt8]
        package var wire: Int?

        package init(timeNs: Int, bytes: [UInt8], wire: Int? = nil) { (self.timeNs, self.bytes, self.wire) = (timeNs, bytes, wire) }
    }

    /// Classic pcap, nanoseconds, little-endian.
    package static func pcap(linkType: Int = 101, _ packets: [Packet]) -> [UInt8] {
        var bytes: [UInt8] = [0x4D, 0x3C, 0xB2, 0xA1] + little(2, 2) + little(4, 2) + little(0, 8) + little(65_535, 4) + little(linkType, 4)
        for packet in packets {
            bytes += little(packet.timeNs / 1_000_000_000, 4) + little(packet.timeNs % 1_000_000_000, 4)
            bytes += little(packet.bytes.count, 4) + little(packet.wire ?? packet.bytes.count, 4) + packet.bytes
        }
        return bytes
    }

    /// RFC 1952, in stored blocks (RFC 1951 section 3.2.4): packed in form, not in size.
    package static func gzip(_ bytes: [UInt8]) -> [UInt8] {
        var packed: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]
        var rest = bytes[...]
        repeat {
            let piece = rest.prefix(1000)
            rest = rest.dropFirst(piece.count)
            packed += [rest.isEmpty ? 1 : 0] + little(piece.count, 2) + little(~piece.count & 0xFFFF, 2) + piece
        } while !rest.isEmpty
        var check: UInt32 = .max
        for byte in bytes {
            check ^= UInt32(byte)
            for _ in 0..<8 { check = check >> 1 ^ (check & 1 == 1 ? 0xEDB8_8320 : 0) }
        }
        return packed + little(Int(~check), 4) + little(bytes.count, 4)
    }

    package static func block(_ type: Int, _ body: [UInt8]) -> [UInt8] {
        let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
        return little(type, 4) + little(padded.count + 12, 4) + padded + little(padded.count + 12, 4)
    }

    package static let section = block(0x0A0D_0D0A, little(0x1A2B_3C4D, 4) + little(1, 2) + little(0, 2) + [UInt8](repeating: 0xFF, count: 8))

    package static func interface(linkType: Int, snapLength: Int = 0, resolution: UInt8? = nil) -> [UInt8] {
        block(1, little(linkType, 2) + [0, 0] + little(snapLength, 4) + (resolution.map { little(9, 2) + little(1, 2) + [$0, 0, 0, 0] + little(0, 4) } ?? []))
    }

    package static func enhancedPacket(interface: Int = 0, ticks: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        block(6, little(interface, 4) + little(Int(ticks >> 32), 4) + little(Int(ticks & 0xFFFF_FFFF), 4)
            + little(bytes.count, 4) + little(bytes.count, 4) + bytes)
    }
}

/// A file that goes when its owner does.
package final class TemporaryFile {
    package let path: String
    package init(_ bytes: [UInt8], suffix: String = "pcap") throws {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("mast-\(UUID().uuidString).\(suffix)").path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }
    deinit { try? FileManager.default.removeItem(atPath: path) }
}

package func packets(of bytes: [UInt8]) throws -> (packets: [CapturedPacket], truncation: String?) {
    let file = try TemporaryFile(bytes)
    let capture = try CaptureFile(path: file.path)
    var packets: [CapturedPacket] = []
    while let packet = capture.next() { packets.append(packet) }
    return (packets, capture.truncation)
}

package func decode(_ bytes: [UInt8], _ linkType: LinkType, wire: Int? = nil) -> PacketHeaders {
    LinkLayer.decode(bytes.span, linkType: linkType, wireBytes: wire ?? bytes.count)
}

extension PacketHeaders {
    package var udp: UDPHeader? { if case .udp(let udp) = transport { udp } else { nil } }
    package var tcp: TCPHeader? { if case .tcp(let tcp) = transport { tcp } else { nil } }
}
