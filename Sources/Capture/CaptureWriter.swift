import MastTimebase

/// Makes the bytes of a capture file: a header once, then a record for each packet. Pure; `CaptureFileWriter`
/// puts them into a file.
package struct CaptureWriter: Sendable {
    package enum Format: Sendable, Hashable {
        /// Nanosecond timestamps, little-endian.
        case pcap
        /// Nanosecond timestamps, one section, little-endian.
        case pcapng
    }

    /// One in a pcap file, any number in pcapng.
    package struct Interface: Sendable, Hashable {
        package var name: String
        package var linkType: LinkType
        package init(name: String = "mast0", linkType: LinkType = .raw) {
            (self.name, self.linkType) = (name, linkType)
        }
    }

    package static let longestSnap = 262_144

    private let format: Format
    private let interfaces: [Interface]
    /// Bytes kept of a frame; the rest is only counted.
    private let snapLength: Int
    private var identification: UInt16 = 0

    package init(_ format: Format, interfaces: [Interface] = [Interface()], snapLength: Int = longestSnap) {
        self.format = format
        self.snapLength = min(max(1, snapLength), Self.longestSnap)
        self.interfaces = interfaces.isEmpty ? [Interface()] : interfaces
    }

    /// The file's beginning.
    package var header: [UInt8] {
        var bytes: [UInt8] = []
        switch format {
        case .pcap:
            bytes.little32(0xA1B2_3C4D)
            bytes.little16(2)
            bytes.little16(4)
            bytes.little32(0)
            bytes.little32(0)
            bytes.little32(UInt32(snapLength))
            bytes.little32(UInt32(truncatingIfNeeded: interfaces.first?.linkType.number ?? 101))
        case .pcapng:
            bytes.block(0x0A0D_0D0A) { body in
                body.little32(0x1A2B_3C4D)
                body.little16(1)
                body.little16(0)
                body.little32(.max)
                body.little32(.max)
            }
            for interface in interfaces {
                bytes.block(1) { body in
                    body.little16(UInt16(truncatingIfNeeded: interface.linkType.number))
                    body.little16(0)
                    body.little32(UInt32(snapLength))
                    body.option(2, Array(interface.name.utf8.prefix(255)))
                    body.option(9, [9])
                    body.option(0, [])
                }
            }
        }
        return bytes
    }

    /// A record that holds a frame, or as much of it as the snap length allows.
    ///
    /// - Parameters:
    ///   - wireBytes: when the frame was longer than what is kept of it.
    ///   - comment: shown by Wireshark; pcapng only.
    package func record(
        frame: [UInt8], wireBytes: Int? = nil, epochNanoseconds: Int64, interface: Int = 0, comment: String? = nil
    ) -> [UInt8] {
        let wire = UInt32(clamping: max(wireBytes ?? frame.count, frame.count))
        let frame = frame.prefix(snapLength)
        let time = UInt64(max(0, epochNanoseconds))
        var bytes: [UInt8] = []
        bytes.reserveCapacity(frame.count + 40)
        switch format {
        case .pcap:
            bytes.little32(UInt32(truncatingIfNeeded: time / 1_000_000_000))
            bytes.little32(UInt32(time % 1_000_000_000))
            bytes.little32(UInt32(frame.count))
            bytes.little32(wire)
            bytes += frame
        case .pcapng:
            bytes.block(6) { body in
                body.little32(UInt32(clamping: min(max(0, interface), interfaces.count - 1)))
                body.little32(UInt32(truncatingIfNeeded: time >> 32))
                body.little32(UInt32(truncatingIfNeeded: time))
                body.little32(UInt32(frame.count))
                body.little32(wire)
                body += frame
                body.pad()
                if let comment {
                    body.option(1, Array(comment.utf8.prefix(4096)))
                    body.option(0, [])
                }
            }
        }
        return bytes
    }

    /// A record for a UDP datagram, its IP and UDP headers (and Ethernet's, by the interface's link type) made up
    /// around it, checksums right. A payload beyond what UDP can carry is cut.
    package mutating func record(
        datagram payload: [UInt8], from source: NetworkAddress, to destination: NetworkAddress,
        epochNanoseconds: Int64, interface: Int = 0, comment: String? = nil
    ) -> [UInt8] {
        let linkType = interface >= 0 && interface < interfaces.count ? interfaces[interface].linkType : .raw
        identification &+= 1
        let frame = Self.frame(
            datagram: payload, from: source, to: destination, identification: identification, linkType: linkType)
        return record(frame: frame, epochNanoseconds: epochNanoseconds, interface: interface, comment: comment)
    }

    /// A datagram with headers made up around it.
    package static func frame(
        datagram payload: [UInt8], from source: NetworkAddress, to destination: NetworkAddress,
        identification: UInt16 = 0, linkType: LinkType = .raw
    ) -> [UInt8] {
        let isIPv4 = source.isIPv4 && destination.isIPv4
        let payload = payload.prefix(65_535 - 8 - (isIPv4 ? 20 : 0))
        let udpBytes = payload.count + 8
        var frame: [UInt8] = []
        frame.reserveCapacity(payload.count + 62)
        if linkType == .ethernet {
            // Locally administered addresses, so that nobody takes them for a device's.
            frame += [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]
            frame.big16(isIPv4 ? 0x0800 : 0x86DD)
        }
        let ipStart = frame.count
        // The pseudo-header of RFC 768 and RFC 8200 section 8.1, as a running sum.
        var sum: UInt32 = 17 + UInt32(udpBytes)
        if let from = source.ipv4, let to = destination.ipv4, isIPv4 {
            frame += [0x45, 0]
            frame.big16(UInt16(clamping: 20 + udpBytes))
            frame.big16(identification)
            frame += [0x40, 0, 64, 17, 0, 0]
            for address in [from, to] {
                frame.big16(UInt16(address >> 16))
                frame.big16(UInt16(address & 0xFFFF))
                sum += (address >> 16) + (address & 0xFFFF)
            }
            let check = checksum(frame[ipStart...], 0)
            frame[ipStart + 10] = UInt8(check >> 8)
            frame[ipStart + 11] = UInt8(check & 0xFF)
        } else {
            frame += [0x60, 0, 0, 0]
            frame.big16(UInt16(clamping: udpBytes))
            frame += [17, 64]
            for address in [source.bytes, destination.bytes] {
                frame += address
                for index in stride(from: 0, to: 16, by: 2) {
                    sum += UInt32(address[index]) << 8 | UInt32(address[index + 1])
                }
            }
        }
        let udpStart = frame.count
        frame.big16(source.port)
        frame.big16(destination.port)
        frame.big16(UInt16(clamping: udpBytes))
        frame.big16(0)
        frame += payload
        let check = checksum(frame[udpStart...], sum)
        // 0 would mean "no checksum".
        frame[udpStart + 6] = check == 0 ? 0xFF : UInt8(check >> 8)
        frame[udpStart + 7] = check == 0 ? 0xFF : UInt8(check & 0xFF)
        return frame
    }

    /// RFC 1071.
    private static func checksum(_ bytes: ArraySlice<UInt8>, _ start: UInt32) -> UInt16 {
        var sum = UInt64(start)
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let low = index + 1 < bytes.endIndex ? bytes[index + 1] : 0
            sum += UInt64(bytes[index]) << 8 | UInt64(low)
            index += 2
        }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}

extension [UInt8] {
    fileprivate mutating func little16(_ value: UInt16) {
        append(UInt8(value & 0xFF))
        append(UInt8(value >> 8))
    }

    fileprivate mutating func little32(_ value: UInt32) {
        little16(UInt16(value & 0xFFFF))
        little16(UInt16(value >> 16))
    }

    fileprivate mutating func big16(_ value: UInt16) {
        append(UInt8(value >> 8))
        append(UInt8(value & 0xFF))
    }

    fileprivate mutating func pad() { while count % 4 != 0 { append(0) } }

    fileprivate mutating func option(_ code: UInt16, _ value: [UInt8]) {
        little16(code)
        little16(UInt16(clamping: value.count))
        self += value
        pad()
    }

    fileprivate mutating func block(_ type: UInt32, _ fill: (inout [UInt8]) -> Void) {
        var body: [UInt8] = []
        fill(&body)
        body.pad()
        little32(type)
        little32(UInt32(clamping: body.count + 12))
        self += body
        little32(UInt32(clamping: body.count + 12))
    }
}
