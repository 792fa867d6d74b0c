import Foundation
import MastDatagrams
import MastTimebase
import MastTransport
import Synchronization

enum Attacker {
    static let clock = SystemClock()
    static func sleep(milliseconds: UInt32) { usleep(milliseconds * 1_000) }
}

/// Where one attack happens: whom it is aimed at, when it may run, and what it has done.
final class AttackField: Sendable {
    private struct State {
        var begins: Instant?
        var ends: Instant?
        var closes: Instant?
        var notes: [String] = []
        var failures: [String] = []
        var isReady = false
    }

    let server: NetworkAddress
    let key: PublicKey
    let tap: Wiretap?
    let relay: Relay?
    let seed: UInt64
    /// The server's process was stopped because it took too much: what the attack wanted.
    let isStopped = Atomic<Bool>(false)
    private let packets = Atomic<Int>(0), bytes = Atomic<Int>(0)
    private let state = Mutex(State())

    init(_ server: NetworkAddress, key: PublicKey, tap: Wiretap?, relay: Relay?, seed: UInt64) {
        (self.server, self.key, self.tap, self.relay, self.seed) = (server, key, tap, relay, seed)
    }

    // MARK: time

    /// For the attack's own thread: what it can do beforehand is done, and it begins when this returns.
    func awaitStart() {
        state.withLock { $0.isReady = true }
        // Bounded: preparation and calm together take a minute at most.
        for _ in 0..<120_000 where !hasBegun { Attacker.sleep(milliseconds: 1) }
    }

    private var hasBegun: Bool { state.withLock { $0.begins.map { $0 <= Attacker.clock.now() } ?? false } }
    var isReady: Bool { state.withLock { $0.isReady } }

    func begin(until end: Instant, closing: Instant) { state.withLock { ($0.begins, $0.ends, $0.closes) = (Attacker.clock.now(), end, closing) } }

    var isOn: Bool {
        guard !isStopped.load(ordering: .relaxed) else { return false }
        return state.withLock { $0.ends.map { Attacker.clock.now() < $0 } ?? false }
    }

    /// Keeps what the attack has until the run is over; `idly` 20 times a second.
    func hold(_ idly: () -> Void = {}) {
        while !isStopped.load(ordering: .relaxed), state.withLock({ $0.closes.map { Attacker.clock.now() < $0 } ?? false }) {
            idly()
            Attacker.sleep(milliseconds: 50)
        }
    }

    /// Since the attack began.
    var elapsed: Interval { state.withLock { $0.begins.map { Attacker.clock.now() - $0 } ?? .zero } }

    // MARK: account

    func count(_ packets: Int, bytes: Int) {
        self.packets.add(packets, ordering: .relaxed)
        self.bytes.add(bytes, ordering: .relaxed)
    }

    var sent: (packets: Int, bytes: Int) { (packets.load(ordering: .relaxed), bytes.load(ordering: .relaxed)) }

    /// What else the reader should know.
    func note(_ text: String) { state.withLock { if $0.notes.count < 32 { $0.notes.append(text) } } }
    /// What the server should not have let happen.
    func fail(_ text: String) { state.withLock { if $0.failures.count < 32 { $0.failures.append(text) } } }
    var notes: [String] { state.withLock { $0.notes } }
    var failures: [String] { state.withLock { $0.failures } }

    func random(_ stream: UInt64) -> SeededGenerator { SeededGenerator(seed: seed, stream: stream) }

    // MARK: common loops

    /// Sends until the attack ends: at `rate` a second, or as fast as it goes when nil.
    /// - Parameter send: one datagram; how many bytes it had, 0 if the system did not take it.
    func flood(rate: Int?, _ send: () -> Int) {
        let began = Attacker.clock.now()
        var total = 0
        var refused = 0
        // A bound beside the time: ten million datagrams are more than any machine here sends in a run.
        while isOn, total < 10_000_000 {
            var quota = 64
            if let rate {
                let due = Int((Attacker.clock.now() - began).inSeconds * Double(rate)) - total
                guard due > 0 else {
                    usleep(300)
                    continue
                }
                // What a stall kept back comes at four times the pace, not all at once.
                quota = min(due, max(1, rate / 250))
            }
            var (packets, bytes) = (0, 0)
            for _ in 0..<quota {
                let size = send()
                packets += size > 0 ? 1 : 0
                bytes += size
            }
            count(packets, bytes: bytes)
            total += quota
            refused += quota - packets
        }
        // An attack that this machine held back is no proof of anything.
        if refused * 20 > total { fail("the attack was not made: the system did not take \(refused) of \(total) datagrams") }
    }
}
