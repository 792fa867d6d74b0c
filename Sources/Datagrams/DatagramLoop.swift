import CDatagrams
import MastTimebase

/// A thread on which UDP sockets stand: what comes in goes to a handler, and after each turn the handler says when it
/// wants to be back. Time goes on whatever becomes of a socket.
///
/// Two of them exist: `EpollLoop`, Linux's own, and `NIODatagramLoop`, for Apple's systems.
package protocol DatagramLoop: AnyObject, Sendable {
    /// Time since the loop was made, on a clock that nobody sets.
    var now: Instant { get }

    /// Opens a socket; on the loop's own thread only.
    /// - Parameter address: port 0 lets the system choose. The unspecified IPv6 address also takes IPv4.
    func open(_ address: NetworkAddress, _ abilities: SocketAbilities) throws(SocketError) -> any DatagramSocket

    /// A turn is wanted, soon. From any thread, many times, cheaply.
    func wake()

    /// Runs `body` on the loop's thread, before a turn.
    /// - Throws: ``SocketError`` when the loop has stopped, else what `body` throws.
    func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R

    /// Closes every socket and ends the thread; the handler gets no further turn. May be called again.
    func stop() async
}

extension DatagramLoop {
    package func open(_ address: NetworkAddress) throws(SocketError) -> any DatagramSocket { try open(address, []) }
}

/// What a socket can do beyond sending and receiving, where the system can.
package struct SocketAbilities: OptionSet, Sendable {
    package let rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }

    /// What it sends is never cut up on the way: too large is too large (EMSGSIZE), and is said.
    package static let whole = SocketAbilities(rawValue: Int32(MAST_UDP_WHOLE))
    /// ``ArrivalNotes`` say what the system knows.
    package static let notes = SocketAbilities(rawValue: Int32(MAST_UDP_STAMPS))
    /// It shares its port with others of this user that say so too.
    package static let sharesPort = SocketAbilities(rawValue: Int32(MAST_UDP_SHARED))
}

/// What the system says of a datagram that came, beside its bytes.
package struct ArrivalNotes: Sendable, Equatable {
    package var mark: ECNCodepoint
    /// For how long the system had it, at most a second; nil where it does not say.
    package var age: Interval?
    /// Several came in one piece, and the age is that of the first of them.
    package var isOfSeveral: Bool

    package init(mark: ECNCodepoint = .notCapable, age: Interval? = nil, isOfSeveral: Bool = false) {
        (self.mark, self.age, self.isOfSeveral) = (mark, age, isOfSeveral)
    }
}

/// Datagrams that came together, side by side in one piece of memory.
package struct DatagramArrivals: ~Copyable {
    package struct Place: Sendable {
        package var range: Range<Int>
        package var source: NetworkAddress
        package var notes: ArrivalNotes
    }

    package var bytes: [UInt8]
    package var places: [Place] = []

    /// - Parameter size: bytes of that memory, of which the system gives none before it is written to.
    init(size: Int) { bytes = [UInt8](unsafeUninitializedCapacity: size) { $1 = size } }
}

/// Whose datagrams they are. Its methods run on the loop's thread, one at a time.
package protocol DatagramHandler: AnyObject {
    /// Datagrams came. They may be changed where they are; the memory is the loop's again when this returns.
    func received(_ arrivals: inout DatagramArrivals, on socket: any DatagramSocket)

    /// A datagram came. The bytes are gone when this returns.
    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket)

    /// The same, for whoever wants to know more of it.
    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket, _ notes: ArrivalNotes)

    /// The system said something about sending to `destination`: a datagram was not sent, or one sent earlier came back as
    /// an ICMP message, which anybody may have forged.
    func failed(_ code: Int32, to destination: NetworkAddress, on socket: any DatagramSocket)

    /// The system's interfaces, addresses or routes changed. Only on a loop that was asked to hear of it.
    func networkChanged(_ change: NetworkChange, at now: Instant)

    /// Do what is due, send what there is.
    /// - Returns: when to come back at the latest; nil only when something happens; the past for at once.
    func turn(at now: Instant) -> Instant?
}

extension DatagramHandler {
    package func received(_ arrivals: inout DatagramArrivals, on socket: any DatagramSocket) {
        arrivals.bytes.withUnsafeBytes { bytes in
            for place in arrivals.places {
                received(UnsafeRawBufferPointer(rebasing: bytes[place.range]), from: place.source, on: socket, place.notes)
            }
        }
    }
    package func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket) {}
    package func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket, _ notes: ArrivalNotes) {
        received(bytes, from: source, on: socket)
    }
    package func networkChanged(_ change: NetworkChange, at now: Instant) {}
}

/// A UDP socket on a loop's thread. An error about one datagram is one lost datagram, counted by reason; a socket that is
/// gone is opened again on the same port.
package protocol DatagramSocket: AnyObject {
    /// Where it is bound.
    var localAddress: NetworkAddress { get }
    /// The system takes no more for now: what is sent meanwhile is lost. A turn follows when it does.
    var isFull: Bool { get }
    var counters: SocketCounters { get }

    /// Copies the bytes into the next batch, which leaves when it is full or flushed.
    /// - Parameter mark: as which it goes, where the system can say so.
    func send(_ bytes: UnsafeRawBufferPointer, to destination: NetworkAddress, mark: ECNCodepoint)
    /// Sends them all from where they are, where the system can.
    func send(_ batch: borrowing DatagramBatch)
    func flush()
    func close()
    /// Of sockets that share a port: chooses the one that takes a datagram, for all of them.
    /// - Parameter program: of the classic packet filter; see `mast_udp_steer`.
    /// - Returns: false where the system cannot.
    func steer(_ program: [UInt64]) -> Bool
}

extension DatagramSocket {
    package func send(_ batch: borrowing DatagramBatch) {
        batch.bytes.withUnsafeBytes { bytes in
            for datagram in batch.datagrams {
                send(UnsafeRawBufferPointer(rebasing: bytes[datagram.range]), to: datagram.destination, mark: datagram.mark)
            }
        }
        flush()
    }
    package func steer(_ program: [UInt64]) -> Bool { false }
    package func send(_ bytes: UnsafeRawBufferPointer, to destination: NetworkAddress) { send(bytes, to: destination, mark: .notCapable) }
    package func send(_ bytes: [UInt8], to destination: NetworkAddress, mark: ECNCodepoint = .notCapable) {
        bytes.withUnsafeBytes { send($0, to: destination, mark: mark) }
    }
}

package enum DatagramLoops {
    /// The system's own: `EpollLoop` on Linux.
    /// - Parameters:
    ///   - isPunctual: sleepers of its thread wake up on time rather than together with others.
    ///   - hearsNetwork: the handler is told when interfaces, addresses or routes change, where the system says so.
    package static func make(
        _ handler: sending any DatagramHandler, log: SocketLog? = nil, isPunctual: Bool = false, hearsNetwork: Bool = false
    ) throws(SocketError) -> any DatagramLoop {
        #if os(Linux)
            try EpollLoop(handler, log: log, isPunctual: isPunctual, hearsNetwork: hearsNetwork)
        #else
            NIODatagramLoop(handler, log: log, hearsNetwork: hearsNetwork)
        #endif
    }
}
