import Logging
import MastTimebase

/// Says what happens to sockets, the first of each kind at once and the rest in one line now and then: a firewall's rule
/// makes an error of each datagram.
package struct SocketLog: Sendable {
    private struct Kind: Sendable {
        var code: Int32
        var saidAt: Instant
        var unsaid: UInt64 = 0
    }

    /// From one line of a kind to the next.
    static let pause = Interval.seconds(10)

    private let logger: Logger
    /// As many as `SocketCounters` tells apart; more are one kind.
    private var kinds: [Kind] = []

    package init(_ logger: Logger) { self.logger = logger }

    /// A datagram was not sent.
    mutating func failed(_ code: Int32, to destination: NetworkAddress, at now: Instant) {
        guard let index = kinds.firstIndex(where: { $0.code == code }) else {
            guard kinds.count < 32 else { return }
            kinds.append(Kind(code: code, saidAt: now))
            say(code, 1, destination)
            return
        }
        kinds[index].unsaid += 1
        guard now - kinds[index].saidAt >= Self.pause else { return }
        say(code, kinds[index].unsaid, destination)
        (kinds[index].saidAt, kinds[index].unsaid) = (now, 0)
    }

    private func say(_ code: Int32, _ count: UInt64, _ destination: NetworkAddress) {
        let what = count == 1 ? "a datagram was" : "\(count) datagrams were"
        logger.warning("\(what) not sent: \(SocketError.text(code))", metadata: ["errno": "\(code)", "latest": "\(destination)"])
    }

    func gone(_ address: NetworkAddress, _ code: Int32) {
        logger.warning("the socket is gone: \(SocketError.text(code)); opening it again", metadata: ["address": "\(address)"])
    }

    func back(_ address: NetworkAddress) { logger.notice("the socket is open again", metadata: ["address": "\(address)"]) }

    func notBack(_ error: SocketError) { logger.error("the socket cannot be opened again yet: \(error)") }
}
