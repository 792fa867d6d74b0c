#if os(Linux)
    import CDatagrams
    import Foundation
    import MastTimebase
    import Synchronization

    /// Linux's loop: one thread that waits in epoll for its sockets, for time and for whoever wakes it; datagrams come and go
    /// in batches (recvmmsg, sendmmsg).
    ///
    /// `@unchecked Sendable` is proved by confinement: what is not a lock's or an atomic's is touched on `thread` only, which
    /// begins after `init` and never ends before `stop` has been heard.
    final class EpollLoop: DatagramLoop, @unchecked Sendable {
        private enum State: UInt8, AtomicRepresentable {
            /// Works, and looks for news before it waits.
            case working
            /// Waits, or is about to.
            case waiting
            /// Somebody wants a turn.
            case woken
        }

        private struct Tasks {
            var waiting: [@Sendable (_ isAlive: Bool) -> Void] = []
            var isOver = false
            var ends: [CheckedContinuation<Void, Never>] = []
        }

        /// What one read takes: any datagram of UDP (65,507 bytes at most). The odd rest keeps places apart in the cache.
        private static let receivePlaces: (count: Int32, bytes: Int32) = (32, 65_536 + 1_472)
        /// One send's worth: 64 datagrams as our transport makes them, or a few large ones.
        private static let sendPlaces: (count: Int32, bytes: Int32) = (64, 2_048)
        /// Reads of one socket before the handler has its turn: 1,024 datagrams.
        private static let readsInTurn = 32
        private static let eventsInTurn: Int32 = 64
        /// Sockets' tags count from 1.
        private static let networkTag = UInt64.max - 1

        private let clock = SystemClock()
        private let poll: OpaquePointer
        private let isPunctual: Bool
        private let state = Atomic(State.working)
        private let tasks = Mutex(Tasks())

        // The thread's own.
        /// Let go at the end: it knows whoever holds the loop.
        private var handler: (any DatagramHandler)?
        private let incoming: UnsafeMutablePointer<mast_batch>
        /// What stands in `incoming`'s places.
        private var arrivals = DatagramArrivals(size: Int(EpollLoop.receivePlaces.count) * Int(EpollLoop.receivePlaces.bytes))
        let outgoing: UnsafeMutablePointer<mast_batch>
        /// A few.
        private var sockets: [EpollSocket] = []
        private var nextTag: UInt64 = 1
        /// Whose datagrams stand in `outgoing`.
        var sender: EpollSocket?
        var log: SocketLog?
        /// Sockets that are gone, and not back yet.
        private var broken: [EpollSocket] = []
        private var isStopping = false
        private var network: EpollNetwork?

        init(_ handler: sending any DatagramHandler, log: SocketLog?, isPunctual: Bool, hearsNetwork: Bool) throws(SocketError) {
            (self.handler, self.log, self.isPunctual) = (handler, log, isPunctual)
            guard let poll = mast_poll_new() else { throw SocketError(code: errno) }
            guard let incoming = mast_batch_new(Self.receivePlaces.count, Self.receivePlaces.bytes, 0),
                let outgoing = mast_batch_new(Self.sendPlaces.count, Self.sendPlaces.bytes, 1)
            else {
                mast_poll_free(poll)
                throw SocketError(code: ENOMEM)
            }
            (self.poll, self.incoming, self.outgoing) = (poll, incoming, outgoing)
            if hearsNetwork, let network = EpollNetwork(), mast_poll_add(poll, network.descriptor, Self.networkTag) == 0 { self.network = network }
            let thread = Thread { self.work() }
            thread.name = "mast-sockets"
            thread.start()
        }

        deinit {
            mast_batch_free(incoming)
            mast_batch_free(outgoing)
            mast_poll_free(poll)
        }

        var now: Instant { clock.now() }

        // MARK: from other threads

        func wake() {
            // Whoever works looks once more before it waits; only a waiting thread needs the system's help.
            if state.exchange(.woken, ordering: .acquiringAndReleasing) == .waiting { mast_poll_wake(poll) }
        }

        func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
            try await withCheckedThrowingContinuation { continuation in
                submit { isAlive in
                    guard isAlive else { return continuation.resume(throwing: SocketError.stopped) }
                    continuation.resume(with: Result { try body() })
                }
            }
        }

        func stop() async {
            await withCheckedContinuation { continuation in
                let isOver = tasks.withLock { tasks in
                    if !tasks.isOver { tasks.ends.append(continuation) }
                    return tasks.isOver
                }
                if isOver { return continuation.resume() }
                submit { isAlive in if isAlive { self.isStopping = true } }
            }
        }

        private func submit(_ task: @escaping @Sendable (Bool) -> Void) {
            let isOver = tasks.withLock { tasks in
                if !tasks.isOver { tasks.waiting.append(task) }
                return tasks.isOver
            }
            if isOver { task(false) } else { wake() }
        }

        // MARK: the thread

        func open(_ address: NetworkAddress, _ abilities: SocketAbilities) throws(SocketError) -> any DatagramSocket {
            let socket = try EpollSocket(self, tag: nextTag, address, abilities)
            sockets.append(socket)
            nextTag += 1
            return socket
        }

        private func work() {
            if isPunctual { mast_poll_be_punctual() }
            withUnsafeTemporaryAllocation(of: mast_event.self, capacity: Int(Self.eventsInTurn)) { events in
                var next: Instant?
                while true {
                    wait(until: next, events)
                    perform()
                    if isStopping { break }
                    if let change = network?.take(at: now) { handler?.networkChanged(change, at: now) }
                    next = handler?.turn(at: now)
                    sender?.flush()
                    if !broken.isEmpty, let retry = repair() { next = min(next ?? retry, retry) }
                    if let due = network?.due { next = min(next ?? due, due) }
                }
            }
            for socket in sockets { socket.close() }
            handler = nil
            network = nil
            let rest = tasks.withLock { tasks in
                defer { tasks = Tasks(isOver: true) }
                return tasks
            }
            for task in rest.waiting { task(false) }
            for end in rest.ends { end.resume() }
        }

        private func wait(until next: Instant?, _ events: UnsafeMutableBufferPointer<mast_event>) {
            let time = next.map { max(0, min(($0 - now).nanoseconds, Interval.seconds(86_400).nanoseconds)) } ?? -1
            let mayWait = time != 0 && state.compareExchange(expected: .working, desired: .waiting, ordering: .acquiringAndReleasing).exchanged
            let count = mast_poll_wait(poll, mayWait ? time : 0, events.baseAddress, Self.eventsInTurn)
            // What was wanted until here is done in the turn that follows.
            state.store(.working, ordering: .sequentiallyConsistent)
            for event in events.prefix(Int(max(0, count))) {
                if event.tag == Self.networkTag {
                    hearNetwork()
                    continue
                }
                // An earlier event of this turn may have closed it.
                guard let socket = sockets.first(where: { $0.tag == event.tag }) else { continue }
                if event.broken != 0 { socket.takeErrors() }
                if event.writable != 0 { socket.continueSending() }
                if event.readable != 0 || event.broken != 0 { read(socket) }
            }
        }

        private func hearNetwork() {
            guard let network, !network.read(at: now) else { return }
            mast_poll_remove(poll, network.descriptor)
            self.network = nil
        }

        /// Opens again what is gone.
        /// - Returns: when to try the rest.
        private func repair() -> Instant? {
            let now = now
            for socket in broken where socket.retryAt.map({ $0 <= now }) ?? false { socket.reopen(at: now) }
            broken.removeAll { $0.retryAt == nil }
            return broken.compactMap(\.retryAt).min()
        }

        private func perform() {
            let due = tasks.withLock { tasks in
                defer { tasks.waiting = [] }
                return tasks.waiting
            }
            for task in due { task(true) }
        }

        private func read(_ socket: EpollSocket) {
            for _ in 0..<Self.readsInTurn {
                guard socket.descriptor >= 0 else { return }
                let count = arrivals.bytes.withUnsafeMutableBufferPointer { bytes in
                    // The places are cut out of this; nothing keeps them beyond the call.
                    incoming.pointee.bytes = bytes.baseAddress
                    defer { incoming.pointee.bytes = nil }
                    return mast_udp_receive(socket.descriptor, incoming)
                }
                guard count != 0 else { return }
                guard count > 0 else {
                    // An ICMP error that waits is told by the read as well; only the end of the socket matters here.
                    if SocketError.isEnd(-count) { socket.isGone(-count) }
                    continue
                }
                let batch = incoming.pointee
                for index in 0..<Int(count) {
                    let source = NetworkAddress(batch.endpoints[index])
                    let length = batch.lengths[index]
                    guard source.port != 0, length <= Int(batch.size) else {
                        socket.counters.received += 1
                        socket.counters.unusable += 1
                        continue
                    }
                    let place = batch.offsets[index]..<(batch.offsets[index] + length)
                    let age = batch.ages[index]
                    let notes = ArrivalNotes(
                        mark: ECNCodepoint(rawValue: batch.marks[index] & 3) ?? .notCapable, age: age < 0 ? nil : min(.nanoseconds(age), .seconds(1)),
                        isOfSeveral: batch.segments[index] < length)
                    var start = place.lowerBound
                    repeat {
                        let end = min(place.upperBound, start + max(1, batch.segments[index]))
                        socket.counters.received += 1
                        arrivals.places.append(.init(range: start..<end, source: source, notes: notes))
                        start = end
                    } while start < place.upperBound
                }
                hand(to: handler, socket)
                if count < Self.receivePlaces.count { return }
            }
        }

        /// Taken out for as long as the handler has it: it may want something of the loop.
        private func hand(to handler: (any DatagramHandler)?, _ socket: EpollSocket) {
            var taken = DatagramArrivals(size: 0)
            swap(&taken, &arrivals)
            if !taken.places.isEmpty { handler?.received(&taken, on: socket) }
            taken.places.removeAll(keepingCapacity: true)
            swap(&taken, &arrivals)
        }

        // MARK: for its sockets

        func failed(_ code: Int32, to destination: NetworkAddress, on socket: EpollSocket) {
            log?.failed(code, to: destination, at: now)
            handler?.failed(code, to: destination, on: socket)
        }

        func networkError(_ code: Int32, to destination: NetworkAddress, on socket: EpollSocket) {
            handler?.failed(code, to: destination, on: socket)
        }

        func watch(_ socket: EpollSocket) -> Int32 { mast_poll_add(poll, socket.descriptor, socket.tag) }
        func wantWrite(_ socket: EpollSocket, _ wants: Bool) { _ = mast_poll_want_write(poll, socket.descriptor, socket.tag, wants ? 1 : 0) }
        func unwatch(_ socket: EpollSocket) { mast_poll_remove(poll, socket.descriptor) }
        func isBroken(_ socket: EpollSocket) { broken.append(socket) }
        func forget(_ socket: EpollSocket) { sockets.removeAll { $0 === socket } }
    }
#endif
