import MastDatagrams
import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// Moves one host's datagrams over one UDP socket, on a thread of its own.
package final class UDPEndpointDriver: EndpointDriver {
    private struct State {
        var address = NetworkAddress(ipv4: 0, port: 0)
        var counters = SocketCounters()
        var networkChanges: UInt64 = 0
        var handedOver: UInt64 = 0
        var stalls: (count: UInt64, longest: Interval) = (0, .zero)
    }

    /// An existential in a reference: what an atomic can hold.
    private final class LoopBox: Sendable {
        let loop: any DatagramLoop
        init(_ loop: any DatagramLoop) { self.loop = loop }
    }

    private final class LoopReference: Sendable {
        private let box = AtomicLazyReference<LoopBox>()
        func set(_ loop: any DatagramLoop) { _ = box.storeIfNil(LoopBox(loop)) }
        func wake() { box.load()?.loop.wake() }
    }

    private let clock: SystemClock
    private let state = Mutex(State())
    /// Set once. Every call and every answer of the host asks for it, from any thread, so it is behind no lock.
    private let loop = LoopReference()

    private let thread = LoopThread()
    /// A flush was asked for on the loop's own thread, which flushes before it waits.
    private let isFlushWanted = Atomic(false)

    let executor: LoopExecutor

    /// - Parameter clock: the same for all cores of a host.
    init(clock: SystemClock = SystemClock()) {
        self.clock = clock
        let loop = loop
        executor = LoopExecutor(clock: clock, thread: thread) { loop.wake() }
    }

    package var handlerExecutor: (any TaskExecutor)? { executor }

    package func now() -> Instant { clock.now() }
    package func wallTime() -> WallTime { clock.wallTime() }
    package var localAddress: NetworkAddress { state.withLock { $0.address } }
    package func residentMemoryBytes() -> UInt64? { ProcessMemory.residentBytes() }

    /// As of the socket's last turn.
    package func socketReport() -> SocketReport? {
        let (counters, changes, handedOver, stalls) = state.withLock { ($0.counters, $0.networkChanges, $0.handedOver, $0.stalls) }
        return SocketReport(
            notSent: counters.failures.map { .init(errno: $0.code, reason: SocketError.text($0.code), count: $0.count) },
            unusable: counters.unusable, networkErrors: counters.networkErrors, reopened: counters.reopened,
            networkChanges: changes, handedOver: handedOver, stalls: stalls.count, longestStallMs: stalls.longest.inSeconds * 1_000)
    }

    package func scheduleFlush() {
        if thread.isCurrent { isFlushWanted.store(true, ordering: .relaxed) } else { loop.wake() }
    }

    /// Another turn.
    func wake() { loop.wake() }

    /// On the loop's thread: whether a flush was asked for there since the last time.
    func takeFlushWanted() -> Bool {
        guard isFlushWanted.load(ordering: .relaxed) else { return false }
        isFlushWanted.store(false, ordering: .relaxed)
        return true
    }

    package func lookUp(_ name: String, port: UInt16, _ answer: @escaping @Sendable (Result<[NetworkAddress], NameLookupError>) -> Void) {
        SystemResolver.lookUp(name, port: port, answer)
    }

    /// On the loop's thread, before anything else.
    func claimThread() { thread.claim() }

    func attach(_ loop: any DatagramLoop, at address: NetworkAddress) {
        state.withLock { $0.address = address }
        self.loop.set(loop)
    }

    func noteNetworkChange() { state.withLock { $0.networkChanges += 1 } }

    /// On the loop's thread.
    func note(_ counters: SocketCounters, handedOver: UInt64) {
        let stalls = (executor.stalls, executor.longestStall)
        state.withLock { ($0.counters, $0.stalls, $0.handedOver) = (counters, stalls, handedOver) }
    }
}

/// A host on its loop's thread: what comes is handed to it in batches, what it has to say is sent, and it is woken in time,
/// whatever becomes of the socket.
///
/// `@unchecked Sendable` is proved by confinement: made before the loop, touched on the loop's thread only.
final class HostPump: DatagramHandler, @unchecked Sendable {
    /// Datagrams handed to the socket in one go, and taken from the host under one lock.
    private static let batch = 64
    /// Handlers run, and what they say is sent, for so long before the socket is read again.
    private static let timeInTurn = Interval.milliseconds(4)
    /// Batches sent before the socket is read again.
    private static let batchesInTurn = 16

    private let host: RPCHost
    private let driver: UDPEndpointDriver
    private var socket: (any DatagramSocket)?
    /// Of the datagrams at hand; kept for its memory.
    private var places: [ReceivedPlace] = []
    private var transmits = DatagramBatch()
    private var ways = Ways { LocalSource.of(datagramsTo: $0) }
    private var effects = HostEffects()
    /// Which of the host's cores this is, and what others' sockets got for each.
    private let shard: Int
    private let inboxes: [ShardInbox]
    private let wakeShard: (Int) -> Void
    private var handedOver: UInt64 = 0
    /// Empty but while it is handed on.
    private var handed: [ReceivedDatagram] = []

    /// - Parameter inboxes: one for each core; none for a host of one.
    init(host: RPCHost, driver: UDPEndpointDriver, shard: Int = 0, inboxes: [ShardInbox] = [], wakeShard: @escaping (Int) -> Void = { _ in }) {
        (self.host, self.driver, self.shard, self.inboxes, self.wakeShard) = (host, driver, shard, inboxes, wakeShard)
    }

    func use(_ socket: any DatagramSocket) { self.socket = socket }

    func steer(_ program: [UInt64]) -> Bool { socket?.steer(program) ?? false }

    func received(_ arrivals: inout DatagramArrivals, on socket: any DatagramSocket) {
        let now = driver.now()
        places.removeAll(keepingCapacity: true)
        for arrival in arrivals.places {
            let place = ReceivedPlace(
                range: arrival.range, source: arrival.source, mark: arrival.notes.mark, takenAt: arrival.notes.age.map { now - $0 })
            guard inboxes.count > 1 else {
                places.append(place)
                continue
            }
            let choice = arrivals.bytes.withUnsafeBytes { ShardChoice(of: UnsafeRawBufferPointer(rebasing: $0[place.range]), shards: inboxes.count) }
            switch choice {
            case .one(shard): places.append(place)
            case .one(let other): handOver(arrivals.bytes[place.range], place, to: other)
            case .all:
                for other in inboxes.indices where other != shard { handOver(arrivals.bytes[place.range], place, to: other) }
                places.append(place)
            }
        }
        host.receive(&arrivals.bytes, places, &effects, at: now)
    }

    /// Of a loop that knows no batches.
    func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket, _ notes: ArrivalNotes) {
        let now = driver.now()
        var datagrams = [ReceivedDatagram(bytes: Array(bytes), source: source, mark: notes.mark, takenAt: notes.age.map { now - $0 })]
        host.receive(&datagrams, count: 1, &effects, at: now)
    }

    private func handOver(_ bytes: ArraySlice<UInt8>, _ place: ReceivedPlace, to other: Int) {
        handedOver += 1
        let datagram = ReceivedDatagram(bytes: Array(bytes), source: place.source, mark: place.mark, takenAt: place.takenAt)
        if inboxes[other].put(datagram) { wakeShard(other) }
    }

    /// What other cores' sockets got for this one.
    private func takeHanded() {
        guard inboxes.count > 1 else { return }
        inboxes[shard].take(into: &handed)
        guard !handed.isEmpty else { return }
        host.receive(&handed, count: handed.count, &effects, at: driver.now())
        handed.removeAll(keepingCapacity: true)
    }

    func failed(_ code: Int32, to destination: NetworkAddress, on socket: any DatagramSocket) {
        host.hint(PathHint(errno: code), about: destination, at: driver.now())
        // It may come after a turn.
        driver.wake()
    }

    func networkChanged(_ change: NetworkChange, at now: Instant) {
        driver.noteNetworkChange()
        let news = ways.look()
        switch change {
        case .links: host.networkChanged(moved: news.moved, at: driver.now())
        case .routes: if !news.found.isEmpty { host.networkChanged(to: news.found, moved: news.moved, at: driver.now()) }
        case .nothing: break
        }
    }

    func turn(at now: Instant) -> Instant? {
        takeHanded()
        _ = driver.executor.run()
        // The host's clock is the driver's, which began before the loop's.
        let begin = driver.now()
        for _ in 0..<Self.batchesInTurn {
            // What was wanted until here, this does.
            _ = driver.takeFlushWanted()
            // A full socket: the host keeps its packets, and the socket's room brings us back.
            let room = socket.map { !$0.isFull } ?? false
            let (more, wakeup) = host.turn(into: &transmits, &effects, limit: room ? Self.batch : 0, at: driver.now())
            if let socket {
                for datagram in transmits.datagrams where transmits.bytes[datagram.range.lowerBound] == PacketKind.initiation.rawValue {
                    ways.note(datagram.destination)
                }
                if !transmits.isEmpty { socket.send(transmits) }
                driver.note(socket.counters, handedOver: handedOver)
            }
            transmits.removeAll()
            // What was resumed may have something to send.
            if driver.executor.run() || driver.takeFlushWanted() {
                // What comes meanwhile is not to wait for handlers.
                if driver.now() - begin >= Self.timeInTurn { return now }
                continue
            }
            if !more { return wakeup.map { now + ($0 - begin) } }
        }
        return now
    }

    /// A last word before the socket closes.
    func finish() {
        _ = turn(at: driver.now())
        driver.executor.stop()
    }
}
