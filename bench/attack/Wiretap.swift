import Foundation
import MastTimebase
import MastTransport
import Synchronization

/// What an attacker on the path hears of bystanders: their first messages, their packets and where they come from. Root only.
final class Wiretap: Sendable {
    struct Heard: Sendable {
        /// First messages, with their sources; the newest.
        var initiations: [(bytes: [UInt8], source: NetworkAddress)] = []
        fileprivate var firstSeen: Set<UInt64> = []
        /// Packets of established connections, of both directions; the newest.
        var packets: [[UInt8]] = []
        /// Who talks to the server, and the time of the last packet.
        var flows: [NetworkAddress: Instant] = [:]
    }

    // As much as an attack can use: some minutes of first messages, a corpus to spoil.
    private static let mostInitiations = 2_048, mostPackets = 512, mostFlows = 4_096

    private let server: NetworkAddress
    private let state = Mutex(Heard())
    private let isOn = Atomic<Bool>(true)

    init(_ server: NetworkAddress) throws(AttackFailure) {
        self.server = server
        let descriptor = socket(AF_INET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), Int32(IPPROTO_UDP))
        guard descriptor >= 0 else { throw AttackFailure("no raw socket (errno \(errno)); listening needs root") }
        var size: Int32 = 4 << 20
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, 4)
        var patience = timeval(tv_sec: 0, tv_usec: 100_000)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        Thread.detachNewThread { [self] in
            var buffer = [UInt8](repeating: 0, count: 2_048)
            while isOn.load(ordering: .relaxed) {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                if count > 28 { hear(buffer[..<count]) }
            }
            close(descriptor)
        }
    }

    deinit { stop() }
    func stop() { isOn.store(false, ordering: .relaxed) }

    var heard: Heard { state.withLock { $0 } }

    private func hear(_ packet: ArraySlice<UInt8>) {
        let header = Int(packet[0] & 0x0F) * 4
        guard packet.count > header + 8 else { return }
        let word = { (at: Int) in packet[at..<(at + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } }
        let ports = word(header)
        let source = NetworkAddress(ipv4: word(12), port: UInt16(ports >> 16))
        let destination = NetworkAddress(ipv4: word(16), port: UInt16(ports & 0xFFFF))
        let payload = Array(packet[(header + 8)...])
        let isOutward = destination == server && source.isBystander
        guard isOutward || (source == server && destination.isBystander) else { return }
        state.withLock { heard in
            if isOutward, heard.flows.count < Self.mostFlows || heard.flows[source] != nil { heard.flows[source] = Attacker.clock.now() }
            switch PacketHeader.kind(of: payload) {
            case .initiation where isOutward:
                // Each once, also when the attacker sends it again in the bystander's name.
                guard heard.firstSeen.insert(PacketHeader.identifier(payload, at: PacketHeader.longHeaderSize)?.rawValue ?? 0).inserted else { return }
                if heard.initiations.count == Self.mostInitiations { heard.initiations.removeFirst(Self.mostInitiations / 2) }
                heard.initiations.append((payload, source))
            default:
                if heard.packets.count == Self.mostPackets { heard.packets.removeFirst(Self.mostPackets / 2) }
                heard.packets.append(payload)
            }
        }
    }
}

extension NetworkAddress {
    var isBystander: Bool { (ipv4 ?? 0) >> 8 == 0x7F0002 }
}
