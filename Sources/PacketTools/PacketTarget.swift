import Foundation
import MastCapture
import MastFiles
import MastTimebase

/// Where replayed packets go.
package final class PacketTarget {
    package enum Outcome {
        case sent(bytes: Int, isPadded: Bool)
        case failed
        /// Not of a kind that goes there.
        case skipped
    }

    private enum Kind {
        case file(CaptureFileWriter, path: String, types: [LinkType], packets: RecordedPackets)
        case datagrams(Int32)
        case interface(PacketInjector)
    }

    package let name: String
    private let kind: Kind

    package var isRealTime: Bool { if case .file = kind { false } else { true } }
    package var isForDatagrams: Bool { if case .datagrams = kind { true } else { false } }

    private init(_ name: String, _ kind: Kind) { (self.name, self.kind) = (name, kind) }

    deinit { if case .datagrams(let descriptor) = kind { Foundation.close(descriptor) } }

    /// A capture whose first packet has the time of the original's first.
    package static func file(_ path: String, of packets: RecordedPackets, from source: String, filter: String?) throws -> PacketTarget {
        var types = [packets.linkType]
        // Standard input is read once: of its packets, those of the first link type go to the file.
        if source != "-" {
            let file = try CaptureFile(path: source, filter: filter)
            while file.format == .pcapng, file.withNext({ record, _ in
                if !types.contains(record.linkType) { types.append(record.linkType) }
            }) {}
        }
        let isPlain = path.hasSuffix(".pcap")
        if isPlain, types.count > 1 { throw FileFailure(.usage, "\(source) has several link types, which one pcap file cannot hold; give a name that ends in .pcapng") }
        let writer = try CaptureFileWriter(
            path: path, format: isPlain ? .pcap : .pcapng,
            interfaces: types.enumerated().map { .init(name: "mast\($0.offset)", linkType: $0.element) })
        return PacketTarget(path, .file(writer, path: path, types: types, packets: packets))
    }

    package static func datagrams(_ text: String) throws -> PacketTarget {
        let target = try HostPort(text)
        guard target.port > 0 else { throw FileFailure(.usage, "'\(text)': nothing can be sent to port 0") }
        let host = switch target.host {
        case .address(let address): address.host
        case .name(let name): name
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, "\(target.port)", &hints, &found)
        guard status == 0, let first = found else { throw FileFailure(.unavailable, "\(host) has no address: \(String(cString: gai_strerror(status)))") }
        defer { freeaddrinfo(found) }
        let descriptor = socket(first.pointee.ai_family, first.pointee.ai_socktype, 0)
        guard descriptor >= 0 else { throw FileFailure(.unavailable, "no socket: \(String(cString: strerror(errno)))") }
        guard connect(descriptor, first.pointee.ai_addr, first.pointee.ai_addrlen) == 0 else {
            let reason = String(cString: strerror(errno))
            Foundation.close(descriptor)
            throw FileFailure(.unavailable, "\(text) cannot be reached: \(reason)")
        }
        return PacketTarget(text, .datagrams(descriptor))
    }

    package static func interface(_ name: String) throws -> PacketTarget {
        PacketTarget(name, .interface(try PacketInjector(interface: name)))
    }

    package func send(_ packet: RecordedPackets.Packet) -> Outcome {
        switch kind {
        case .file(let writer, _, let types, let packets):
            guard let interface = types.firstIndex(of: packet.linkType) else { return .skipped }
            let (time, overflow) = packets.firstEpochNanoseconds.addingReportingOverflow(packet.at.nanoseconds)
            writer.write(frame: packet.frame, wireBytes: packet.wireBytes, epochNanoseconds: overflow ? .max : time, interface: interface)
            return writer.hasFailed ? .failed : .sent(bytes: packet.wireBytes, isPadded: false)
        case .datagrams(let descriptor):
            guard let datagram = packet.datagram else { return .skipped }
            var payload = Array(packet.frame[datagram.payload])
            let missing = max(0, datagram.bytes - payload.count)
            payload += [UInt8](repeating: 0, count: missing)
            // The error that an earlier datagram's unreachable port left behind takes one try.
            for _ in 0..<2 where Foundation.send(descriptor, payload, payload.count, 0) == payload.count {
                return .sent(bytes: payload.count, isPadded: missing > 0)
            }
            return .failed
        case .interface(let injector):
            let missing = max(0, packet.wireBytes - packet.frame.count)
            let frame = missing == 0 ? packet.frame : packet.frame + [UInt8](repeating: 0, count: min(missing, 65_535))
            return injector.send(frame, linkType: packet.linkType) ? .sent(bytes: frame.count, isPadded: missing > 0) : .failed
        }
    }

    package func close() throws(FileFailure) {
        if case .file(let writer, let path, _, _) = kind {
            writer.flush()
            if writer.hasFailed { throw FileFailure(.unavailable, "\(path) could not be written") }
        }
    }
}
