import Foundation
import MastDatagrams
import MastTimebase
import Testing

/// An error about one datagram is one lost datagram.
@Suite(.timeLimit(.minutes(20))) struct SocketTests {
    @Test(arguments: LoopKind.allCases) func datagramsOfAnySizeArriveUnchanged(kind: LoopKind) async throws {
        try await OpenLoop.with(kind) { sender in
            try await OpenLoop.with(kind) { receiver in
                let payloads = [0, 1, 1_200, 9_000, 65_507].map { size in (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) } }
                for payload in payloads { try await sender.send(payload, to: receiver.address) }
                #expect(await receiver.peer.arrivals(payloads.count) == payloads.map { .init(bytes: $0, source: sender.address) })
            }
        }
    }

    /// Runs of one size go and come in one piece where the system can: nobody sees the seams.
    @Test(arguments: LoopKind.allCases) func aBatchArrivesDatagramByDatagramAndInOrder(kind: LoopKind) async throws {
        try await OpenLoop.with(kind) { sender in
            try await OpenLoop.with(kind) { first in
                try await OpenLoop.with(kind) { second in
                    // Runs of equal sizes that end with a shorter one, a longer one, an empty one, and the other destination.
                    let sizes = [1_200, 1_200, 1_200, 700, 1_200, 1_200, 1_300, 0, 1_300, 1_300, 5, 5, 5, 4]
                    let datagrams = (0..<60).map { number in
                        ([UInt8](repeating: UInt8(number), count: sizes[number % sizes.count]), number / 20 % 2 == 0 ? first.address : second.address)
                    }
                    try await sender.send(datagrams)
                    for receiver in [first, second] {
                        let expected = datagrams.filter { $0.1 == receiver.address }.map(\.0)
                        #expect(await receiver.peer.arrivals(expected.count).map(\.bytes) == expected)
                    }
                    #expect(try await sender.counters().sent == 60)
                }
            }
        }
    }

    /// Many more than one call of the system takes, of several sizes and to two destinations.
    @Test func aBatchLeavesFromWhereItIs() async throws {
        try await OpenLoop.with(.system) { sender in
            try await OpenLoop.with(.system) { first in
                try await OpenLoop.with(.system) { second in
                    let sizes = [1_200, 1_200, 700, 1_300, 5]
                    var batch = DatagramBatch()
                    var expected: [NetworkAddress: [[UInt8]]] = [:]
                    for number in 0..<150 {
                        let bytes = [UInt8](repeating: UInt8(number), count: sizes[number % sizes.count])
                        let destination = number / 20 % 2 == 0 ? first.address : second.address
                        batch.append(bytes, to: destination)
                        expected[destination, default: []].append(bytes)
                    }
                    try await sender.send(batch)
                    for receiver in [first, second] {
                        let wanted = expected[receiver.address] ?? []
                        #expect(await receiver.peer.arrivals(wanted.count).map(\.bytes) == wanted)
                    }
                    #expect(try await sender.counters().sent == 150)
                    #if os(Linux)
                        #expect(try await sender.counters().copied == 0)
                        try await sender.send([1, 2, 3], to: first.address)
                        #expect(try await sender.counters().copied == 3)
                    #endif
                }
            }
        }
    }

    /// More than fits one message goes as several.
    @Test func aBatchOfThousandsOfBytesPassesAsManyPieces() async throws {
        try await OpenLoop.with(.system) { sender in
            try await OpenLoop.with(.system) { receiver in
                let datagrams = (0..<64).map { ([UInt8](repeating: UInt8($0), count: 2_000), receiver.address) }
                try await sender.send(datagrams)
                #expect(await receiver.peer.arrivals(64).map(\.bytes) == datagrams.map(\.0))
            }
        }
    }

    /// EINVAL: the answer to a datagram from port 0 can go nowhere.
    @Test(arguments: LoopKind.allCases) func aDatagramToPortZeroLosesItselfAlone(kind: LoopKind) async throws {
        try await OpenLoop.with(kind) { sender in
            try await OpenLoop.with(kind) { receiver in
                for round in 1...3 {
                    try await sender.send([0], to: receiver.address.with(port: 0))
                    _ = await sender.peer.failures(round)
                }
                // A loop that had to open its socket again may lose what is sent meanwhile, so until one arrives.
                let got = try await repeating(until: receiver) { try await sender.send([7], to: receiver.address) }
                #expect(got.allSatisfy { $0 == .init(bytes: [7], source: sender.address) })
                let counters = try await sender.counters()
                #expect(counters.failures.first { $0.code == EINVAL }?.count == 3)
            }
        }
    }

    @Test func ofABatchOnlyTheBadOnesAreLost() async throws {
        try await OpenLoop.with(.system) { sender in
            try await OpenLoop.with(.system) { receiver in
                let bad = receiver.address.with(port: 0)
                for number in UInt8(0)..<200 { try await sender.send([number], to: number % 3 == 0 ? bad : receiver.address) }
                let expected = (UInt8(0)..<200).filter { $0 % 3 != 0 }
                #expect(await receiver.peer.arrivals(expected.count).map { $0.bytes[0] } == expected)
                let counters = try await sender.counters()
                #expect(counters.failures == [.init(code: EINVAL, count: 67)])
                #expect(counters.sent == UInt64(expected.count))
                #expect(await sender.peer.failures(67).allSatisfy { $0 == .init(code: EINVAL, destination: bad) })
            }
        }
    }

    @Test(arguments: LoopKind.allCases) func anAddressOfAnotherFamilyLosesItselfAlone(kind: LoopKind) async throws {
        try await OpenLoop.with(kind) { sender in
            try await OpenLoop.with(kind) { receiver in
                try await sender.send([0], to: NetworkAddress(high: 0, low: 1, port: 9))
                let got = try await repeating(until: receiver) { try await sender.send([7], to: receiver.address) }
                #expect(got.first?.bytes == [7])
            }
        }
    }

    /// A closed port answers with an ICMP message: it is told with its address, and costs no other datagram.
    @Test func icmpErrorsAreToldWithTheirAddress() async throws {
        try await OpenLoop.with(.system) { sender in
            try await OpenLoop.with(.system) { receiver in
                let closed = try await closedPort()
                for number in UInt8(0)..<50 {
                    try await sender.send([number], to: closed)
                    try await sender.send([number], to: receiver.address)
                }
                #expect(await receiver.peer.arrivals(50).map { $0.bytes[0] } == Array(UInt8(0)..<50))
                #expect(await sender.peer.failures(50).allSatisfy { $0 == .init(code: ECONNREFUSED, destination: closed) })
                let counters = try await sender.counters()
                #expect(counters.failed == 0 && counters.networkErrors >= 50 && counters.sent == 100)
            }
        }
    }

    /// As after `ss -K`, or on waking on a phone.
    @Test func aSocketThatIsGoneIsOpenedAgainOnTheSamePort() async throws {
        try await OpenLoop.with(.system) { first in
            try await OpenLoop.with(.system) { second in
                try destroy(first.address)
                // The loop finds out by the next datagram it sends, which is lost with the socket.
                let got = try await repeating(until: second) { try await first.send([1], to: second.address) }
                #expect(got.first?.source == first.address)
                _ = try await repeating(until: first) { try await second.send([2], to: first.address) }
                #expect(try await first.counters().reopened == 1)
            }
        }
    }

    @Test(arguments: LoopKind.allCases) func timeGoesOnWithoutASocket(kind: LoopKind) async throws {
        try await OpenLoop.with(kind) { open in
            let time = open.loop.now + .milliseconds(30)
            open.peer.want(time)
            open.loop.wake()
            await open.peer.turn(after: time)
        }
    }

    @Test(arguments: LoopKind.allCases) func afterItsEndALoopSaysSo(kind: LoopKind) async throws {
        let peer = LoopPeer()
        let loop: any DatagramLoop = kind == .nio ? NIODatagramLoop(peer, log: nil) : try DatagramLoops.make(peer)
        await loop.stop()
        await loop.stop()
        await #expect(throws: SocketError.self) { try await loop.run {} }
    }

    @Test(arguments: [
        ("an address in use", EADDRINUSE, "in use"), ("a foreign address", EADDRNOTAVAIL, "no address of this machine"), ("a low port", EACCES, "1024"),
        ("no IPv6", EAFNOSUPPORT, "no IPv6"), ("no descriptors", EMFILE, "ulimit"),
    ])
    func aRefusalSaysWhatToDo(_ what: String, code: Int32, word: String) {
        #expect(SocketError(code: code, address: .loopback(port: 80)).description.contains(word))
    }

    // MARK: means

    /// Sends again and again until something arrives.
    private func repeating(until receiver: OpenLoop, _ send: @escaping @Sendable () async throws -> Void) async throws -> [LoopPeer.Arrival] {
        try await withThrowingTaskGroup(of: [LoopPeer.Arrival]?.self) { group in
            group.addTask { await receiver.peer.arrivals(1) }
            group.addTask {
                while !Task.isCancelled {
                    try await send()
                    await Task.yield()
                }
                return nil
            }
            defer { group.cancelAll() }
            while let result = try await group.next() { if let result { return result } }
            return []
        }
    }

    /// A port at which nobody listens: one that was the system's choice a moment ago.
    private func closedPort() async throws -> NetworkAddress {
        let loop = try DatagramLoops.make(LoopPeer())
        let address = try await loop.run { try loop.open(.loopback(port: 0)).localAddress }
        await loop.stop()
        return address
    }

    /// Puts something that is no socket in the place of the one at `address`.
    private func destroy(_ address: NetworkAddress) throws {
        for descriptor in Int32(3)..<4_096 {
            var name = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let code = withUnsafeMutablePointer(to: &name) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
            }
            guard code == 0, name.sin_family == sa_family_t(AF_INET), UInt16(bigEndian: name.sin_port) == address.port,
                UInt32(bigEndian: name.sin_addr.s_addr) == address.ipv4
            else { continue }
            let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)
            dup2(nothing, descriptor)
            close(nothing)
            return
        }
        Issue.record("no socket of this process is at \(address)")
    }
}
