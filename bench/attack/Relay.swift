import Foundation
import MastTimebase
import Synchronization

/// The attacker on the path of one client: passes its packets on, and when told to, lets a copy of each overtake it from
/// another address, or passes on nothing.
final class Relay: Sendable {
    let address: NetworkAddress
    private let isOn = Atomic<Bool>(true), isCopying = Atomic<Bool>(false), isCut = Atomic<Bool>(false)
    private let copiedPackets = Atomic<Int>(0), copiedBytes = Atomic<Int>(0), strayPackets = Atomic<Int>(0)

    init(to server: NetworkAddress) throws(AttackFailure) {
        let front = try HostileSocket(.attacker(200), to: nil)
        address = NetworkAddress.attacker(200).with(port: front.localPort)
        let honest = try HostileSocket(.attacker(201), to: server)
        let overtaking = try HostileSocket(.attacker(202), to: server)
        Thread.detachNewThread { [self] in
            var client: NetworkAddress?
            var held: [[UInt8]] = []
            while isOn.load(ordering: .relaxed) {
                _ = HostileSocket.wait([front, honest, overtaking], milliseconds: held.isEmpty ? 100 : 1)
                // The originals, a moment behind their copies.
                for packet in held { honest.send(packet) }
                held = []
                // At most a socket buffer's worth at a time.
                for _ in 0..<64 {
                    guard let (bytes, source) = front.receiveWithSource() else { break }
                    client = source
                    if isCut.load(ordering: .relaxed) { continue }
                    guard isCopying.load(ordering: .relaxed) else {
                        honest.send(bytes)
                        continue
                    }
                    overtaking.send(bytes)
                    copiedPackets.add(1, ordering: .relaxed)
                    copiedBytes.add(bytes.count, ordering: .relaxed)
                    held.append(bytes)
                }
                while let bytes = honest.receive() { if let client, !isCut.load(ordering: .relaxed) { front.send(bytes, to: client) } }
                // What goes to the copies' address is never passed on.
                while overtaking.receive() != nil { strayPackets.add(1, ordering: .relaxed) }
            }
        }
    }

    deinit { stop() }
    func stop() { isOn.store(false, ordering: .relaxed) }
    func cut(_ does: Bool) { isCut.store(does, ordering: .relaxed) }
    func copies(_ does: Bool) { isCopying.store(does, ordering: .relaxed) }
    var copied: (packets: Int, bytes: Int) { (copiedPackets.load(ordering: .relaxed), copiedBytes.load(ordering: .relaxed)) }
    var strays: Int { strayPackets.load(ordering: .relaxed) }
}
