/// What a peer may send on one connection over all its streams, and what of it is held here.
///
/// A byte is held from its arrival until the application is done with it, and only then does its credit come back.
/// Two allowances stand beside the window, so that this stops nobody who means well:
///
/// - the *shelf*: whole messages whose consumer has not come yet give their credit back, up to so many bytes. A reader
///   that lingers, or a handler that works on a large request, does not stop the calls beside it;
/// - *assembly*: a message that does not fit what is left is granted exactly its length (`StreamTable.expect`).
///
/// A reader that keeps up gets a larger window, up to `most` (``WindowGrowth``).
///
///     limit ≤ released + min(whole, shelf) + window + assembly
///
/// is thus what a peer can make this host hold on one connection, whatever it sends and on however many streams.
package struct ReceiveWindow: Sendable {
    package private(set) var window: UInt64
    private let mostWindow: UInt64
    private var growth = WindowGrowth()
    package let shelf: UInt64
    package let assembly: UInt64
    /// The peer may send up to this many bytes in all.
    package private(set) var limit: UInt64
    package private(set) var received: UInt64 = 0
    package private(set) var released: UInt64 = 0
    /// Of what is held, bytes of whole messages.
    package private(set) var whole: UInt64 = 0
    /// Whether the limit has risen and the peer should hear of it.
    package var limitPending = false
    /// False while the peer's source, or the host, holds too much: then the shelf is closed.
    package var isAtEase = true {
        didSet { if isAtEase, !oldValue { renew() } }
    }

    /// - Parameter most: what the window may grow to.
    package init(window: UInt64, most: UInt64? = nil, shelf: UInt64, assembly: UInt64) {
        (self.window, self.shelf, self.assembly, limit) = (window, shelf, assembly, window)
        mostWindow = max(window, most ?? window)
    }

    package var held: UInt64 { received - released }

    /// Bytes never seen before arrived.
    package mutating func receive(_ bytes: UInt64, _ reason: String, _ clock: WindowGrowth.Clock? = nil) throws(ProtocolViolation) {
        received += bytes
        guard received <= limit else { throw ProtocolViolation(code: .flowControl, reason: reason) }
        guard bytes > 0, isAtEase, window < mostWindow, let clock else { return }
        let larger = growth.window(window, most: mostWindow, received: received, held: held - min(held, whole), clock)
        guard larger > window else { return }
        window = larger
        renew()
    }

    /// `bytes` of what is held are whole messages now.
    package mutating func complete(_ bytes: UInt64) {
        whole += min(bytes, held - min(held, whole))
        renew()
    }

    /// The application is done with `bytes`, of which `whole` had been reported as whole.
    package mutating func release(_ bytes: UInt64, whole wholeBytes: UInt64) {
        released += min(bytes, held)
        whole -= min(wholeBytes, whole)
        renew()
    }

    private var base: UInt64 { released + (isAtEase ? min(whole, shelf) : 0) }

    private mutating func renew() {
        // Half a window: worth a frame (as most QUIC stacks do).
        guard base + window >= limit + window / 2 else { return }
        limit = base + window
        limitPending = true
    }

    /// Makes sure that `bytes` more can come; all of them or none.
    package mutating func grant(_ bytes: UInt64) -> Bool {
        guard received + bytes > limit else { return true }
        guard received + bytes <= base + window + assembly else { return false }
        limit = received + bytes
        limitPending = true
        return true
    }
}
