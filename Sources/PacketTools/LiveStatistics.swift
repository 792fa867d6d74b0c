import Foundation
import MastCapture
import MastTimebase

/// What passed in the last second of a live capture.
package struct LiveStatistics {
    private struct Count {
        var packets = 0
        var bytes = 0
    }

    /// What came since the last line.
    private struct Slice {
        var total = Count()
        /// Bytes from this host, and to it; what concerns both or neither is in the sum only.
        var (sent, received) = (0, 0)
        var flows: [FlowKey: Count] = [:]
    }

    /// More flows than anybody sees in a second; those beyond are in the sum only.
    private static let mostFlows = 4_096
    private let local: LocalHosts
    private var open = Slice()
    private var begun: Instant?
    private var past: [(begin: Instant, end: Instant, slice: Slice)] = []

    package init(local: LocalHosts) { self.local = local }

    package mutating func add(_ record: CaptureRecord, _ bytes: Span<UInt8>) {
        open.total.packets += 1
        open.total.bytes += record.wireBytes
        let headers = LinkLayer.decode(bytes, linkType: record.linkType, wireBytes: record.wireBytes)
        guard let ip = headers.ip else { return }
        switch (local.contains(ip.source), local.contains(ip.destination)) {
        case (true, false): open.sent += record.wireBytes
        case (false, true): open.received += record.wireBytes
        default: break
        }
        let key = FlowKey.of(protocolNumber: ip.protocolNumber, source: ip.source, destination: ip.destination).key
        guard open.flows[key] != nil || open.flows.count < Self.mostFlows else { return }
        open.flows[key, default: Count()].packets += 1
        open.flows[key, default: Count()].bytes += record.wireBytes
    }

    package mutating func line(at now: Instant, total packets: Int, dropped: Int) -> String {
        past.append((begun ?? now - .milliseconds(250), now, open))
        begun = now
        open = Slice()
        past.removeAll { now - $0.end >= .seconds(1) }
        let seconds = max(0.001, (now - (past.first?.begin ?? now)).inSeconds)
        var all = Slice()
        for slice in past.map(\.slice) {
            all.total.packets += slice.total.packets
            all.total.bytes += slice.total.bytes
            all.sent += slice.sent
            all.received += slice.received
            for (key, count) in slice.flows { all.flows[key, default: Count()].bytes += count.bytes }
        }
        func rate(_ bytes: Int) -> String { TextLayout.bitRate(Double(bytes) * 8 / seconds) }
        let ways = all.sent + all.received > 0 ? "out \(rate(all.sent)), in \(rate(all.received))" : rate(all.total.bytes)
        let top = all.flows.min { ($1.value.bytes, $0.key) < ($0.value.bytes, $1.key) }
            .map { "; \($0.key.protocolName) \($0.key.lower) – \($0.key.higher) \(rate($0.value.bytes))" } ?? ""
        return "\(packets) packets, \(Int((Double(all.total.packets) / seconds).rounded()))/s, \(ways), \(dropped) dropped" + top
    }
}

/// The addresses of this machine's interfaces.
package struct LocalHosts: Sendable {
    /// Without a port.
    private var hosts: Set<NetworkAddress> = []  // lookup only

    package init() {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return }
        defer { freeifaddrs(first) }
        var next = first
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard let address = entry.ifa_addr, [AF_INET, AF_INET6].contains(Int32(address.pointee.sa_family)) else { continue }
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let length = socklen_t(address.pointee.sa_family == sa_family_t(AF_INET) ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
            guard getnameinfo(address, length, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 else { continue }
            let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // Without a link-local address's zone.
            if let host = NetworkAddress(host: String(name.prefix { $0 != "%" }), port: 0) { hosts.insert(host) }
        }
    }

    package init(_ hosts: [NetworkAddress]) { self.hosts = Set(hosts.map { $0.with(port: 0) }) }

    package func contains(_ address: NetworkAddress) -> Bool { hosts.contains(address.with(port: 0)) }
}
