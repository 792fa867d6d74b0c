#if os(Linux)
    import CDatagrams
    import Foundation
    import MastTimebase

    /// A socket on an `EpollLoop`, whose thread alone touches it.
    final class EpollSocket: DatagramSocket {
        private unowned let loop: EpollLoop
        let tag: UInt64
        private(set) var descriptor: Int32
        private(set) var localAddress: NetworkAddress
        private let isIPv6: Bool
        private let abilities: SocketAbilities
        var counters = SocketCounters()
        /// Datagrams in the loop's batch that are this socket's, and their bytes.
        private var pending = 0
        private var pendingBytes = 0
        /// What a full socket did not take: one batch at most.
        private var backlog: [(bytes: [UInt8], destination: NetworkAddress, mark: ECNCodepoint)] = []
        /// When a socket that is gone is to be tried again.
        private(set) var retryAt: Instant?
        private var retryPause = Interval.zero

        /// From one attempt to open a socket again to the next: soon, for a moment's trouble; seldom, for a port that another holds.
        private static let retryPauses: (first: Interval, most: Interval) = (.milliseconds(100), .seconds(5))
        /// ICMP messages taken at a time.
        private static let errorsInTurn = 64

        init(_ loop: EpollLoop, tag: UInt64, _ address: NetworkAddress, _ abilities: SocketAbilities) throws(SocketError) {
            (self.loop, self.tag, self.abilities, isIPv6) = (loop, tag, abilities, !address.isIPv4)
            (descriptor, localAddress) = try BoundSocket.open(address, abilities, tellsErrors: true)
            let code = loop.watch(self)
            if code < 0 {
                mast_close(descriptor)
                throw SocketError(code: -code, address: address)
            }
        }

        var isFull: Bool { !backlog.isEmpty }

        // MARK: sending

        func send(_ bytes: UnsafeRawBufferPointer, to destination: NetworkAddress, mark: ECNCodepoint) {
            let room = Int(loop.outgoing.pointee.count) * Int(loop.outgoing.pointee.size)
            guard bytes.count <= room else {
                counters.fail(EMSGSIZE)
                return loop.failed(EMSGSIZE, to: destination, on: self)
            }
            guard descriptor >= 0, backlog.isEmpty else { return counters.fail(descriptor < 0 ? ENOTCONN : EAGAIN) }
            if loop.sender !== self {
                loop.sender?.flush()
                loop.sender = self
            }
            if pending == Int(loop.outgoing.pointee.count) || pendingBytes + bytes.count > room { flush() }
            guard backlog.isEmpty, descriptor >= 0 else { return counters.fail(descriptor < 0 ? ENOTCONN : EAGAIN) }
            let batch = loop.outgoing.pointee
            if let base = bytes.baseAddress { memcpy(batch.bytes + pendingBytes, base, bytes.count) }
            batch.offsets[pending] = pendingBytes
            batch.lengths[pending] = bytes.count
            batch.endpoints[pending] = destination.endpoint
            batch.marks[pending] = mark.rawValue
            counters.copied += UInt64(bytes.count)
            pending += 1
            pendingBytes += bytes.count
        }

        func send(_ datagrams: borrowing DatagramBatch) {
            loop.sender?.flush()
            guard descriptor >= 0, backlog.isEmpty else {
                return counters.fail(descriptor < 0 ? ENOTCONN : EAGAIN, count: UInt64(datagrams.count))
            }
            let most = Int(loop.outgoing.pointee.count)
            var first = 0
            datagrams.bytes.withUnsafeBytes { bytes in
                let own = loop.outgoing.pointee.bytes
                // The system takes them from here, before this returns.
                loop.outgoing.pointee.bytes = UnsafeMutableRawPointer(mutating: bytes.baseAddress)?.assumingMemoryBound(to: UInt8.self)
                defer { loop.outgoing.pointee.bytes = own }
                while first < datagrams.count {
                    let batch = loop.outgoing.pointee
                    let count = min(most, datagrams.count - first)
                    for index in 0..<count {
                        let datagram = datagrams.datagrams[first + index]
                        batch.offsets[index] = datagram.range.lowerBound
                        batch.lengths[index] = datagram.range.count
                        batch.endpoints[index] = datagram.destination.endpoint
                        batch.marks[index] = datagram.mark.rawValue
                    }
                    first += count
                    guard descriptor >= 0, backlog.isEmpty else {
                        counters.fail(descriptor < 0 ? ENOTCONN : EAGAIN, count: UInt64(count))
                        continue
                    }
                    pending = count
                    flush()
                }
            }
        }

        func steer(_ program: [UInt64]) -> Bool { descriptor >= 0 && mast_udp_steer(descriptor, program, Int32(program.count)) == 0 }

        func flush() {
            let count = pending
            (pending, pendingBytes) = (0, 0)
            guard count > 0 else { return }
            guard descriptor >= 0 else { return counters.fail(ENOTCONN, count: UInt64(count)) }
            let batch = loop.outgoing
            var first = 0
            var isSecondTry = false
            while first < count {
                let sent = Int(mast_udp_send(descriptor, isIPv6 ? 1 : 0, batch, Int32(first), Int32(count)))
                if sent > 0 {
                    counters.sent += UInt64(sent)
                    first += sent
                    isSecondTry = false
                    continue
                }
                let code = Int32(-sent)
                if code == EAGAIN || code == EWOULDBLOCK {
                    keep(first..<count)
                    return
                }
                if SocketError.isEnd(code) {
                    counters.fail(code, count: UInt64(count - first))
                    return isGone(code)
                }
                // An error about an earlier datagram may have been told in this one's place: once more.
                if !isSecondTry {
                    takeErrors()
                    isSecondTry = true
                    continue
                }
                let destination = NetworkAddress(batch.pointee.endpoints[first])
                counters.fail(code)
                first += 1
                isSecondTry = false
                loop.failed(code, to: destination, on: self)
            }
        }

        private func keep(_ range: Range<Int>) {
            let batch = loop.outgoing.pointee
            for index in range {
                let bytes = UnsafeRawBufferPointer(start: batch.bytes + batch.offsets[index], count: batch.lengths[index])
                counters.copied += UInt64(bytes.count)
                backlog.append((Array(bytes), NetworkAddress(batch.endpoints[index]), ECNCodepoint(rawValue: batch.marks[index]) ?? .notCapable))
            }
            loop.wantWrite(self, true)
        }

        /// The system takes datagrams again.
        func continueSending() {
            guard descriptor >= 0, !backlog.isEmpty else { return }
            loop.wantWrite(self, false)
            let waiting = backlog
            backlog = []
            for (bytes, destination, mark) in waiting { send(bytes, to: destination, mark: mark) }
            flush()
        }

        // MARK: trouble

        /// What the network said of datagrams sent earlier.
        func takeErrors() {
            for _ in 0..<Self.errorsInTurn {
                guard descriptor >= 0 else { return }
                var error = mast_network_error()
                guard mast_udp_take_error(descriptor, &error) > 0 else { return }
                if error.is_local != 0 { continue }
                counters.networkErrors += 1
                loop.networkError(error.code, to: NetworkAddress(error.destination), on: self)
            }
        }

        /// The socket itself is no more: another takes its place, on the same port.
        func isGone(_ code: Int32) {
            guard descriptor >= 0 else { return }
            loop.log?.gone(localAddress, code)
            release()
            retryPause = Self.retryPauses.first
            retryAt = loop.now
            loop.isBroken(self)
        }

        func reopen(at now: Instant) {
            guard descriptor < 0 else { return }
            do throws(SocketError) {
                (descriptor, localAddress) = try BoundSocket.open(localAddress, abilities, tellsErrors: true)
                let code = loop.watch(self)
                guard code == 0 else {
                    mast_close(descriptor)
                    descriptor = -1
                    throw SocketError(code: -code, address: localAddress)
                }
                retryAt = nil
                counters.reopened += 1
                loop.log?.back(localAddress)
                // Whoever waits for it gets a turn.
                loop.wake()
            } catch {
                loop.log?.notBack(error)
                retryAt = now + retryPause
                retryPause = min(retryPause * 2, Self.retryPauses.most)
            }
        }

        private func release() {
            if loop.sender === self { loop.sender = nil }
            if backlog.count + pending > 0 { counters.fail(ENOTCONN, count: UInt64(backlog.count + pending)) }
            (pending, pendingBytes, backlog) = (0, 0, [])
            loop.unwatch(self)
            mast_close(descriptor)
            descriptor = -1
        }

        func close() {
            guard descriptor >= 0 || retryAt != nil else { return }
            flush()
            if descriptor >= 0 { release() }
            retryAt = nil
            loop.forget(self)
        }
    }
#endif
