#if os(Linux)
    import MastDatagrams
    import MastTimebase
    import MastTransport
    import Synchronization
    import Testing

    /// The kernel's choice among sockets that share a port is ours, for any bytes.
    @Suite(.timeLimit(.minutes(20))) struct SteeringTests {
        // Touched on the loop's thread only.
        private final class Counter: DatagramHandler, @unchecked Sendable {
            var sockets: [any DatagramSocket] = []
            /// Somebody who dialled the port's last owner may go on doing so: that is none of this test's.
            var sender: NetworkAddress?
            var got: [(bytes: [UInt8], socket: Int)] = []

            func received(_ bytes: UnsafeRawBufferPointer, from source: NetworkAddress, on socket: any DatagramSocket) {
                guard source == sender else { return }
                got.append((Array(bytes), sockets.firstIndex { $0 === socket } ?? -1))
            }
            func failed(_ code: Int32, to destination: NetworkAddress, on socket: any DatagramSocket) {}
            func turn(at now: Instant) -> Instant? { nil }
        }

        @Test(arguments: [2, 3, 4]) func theKernelChoosesAsWeDo(shards: Int) async throws {
            let counter = Counter()
            let loop = try DatagramLoops.make(counter)
            var generator = SeededGenerator(seed: UInt64(shards))
            var datagrams: [[UInt8]] = (0..<24).map { [UInt8](repeating: 0xFF, count: $0) }
            for kind in UInt8(0)...16 {
                for _ in 0..<12 { datagrams.append([kind] + (0..<(4 + Int(generator.next() % 60))).map { _ in UInt8(truncatingIfNeeded: generator.next()) }) }
            }
            let sent = datagrams
            let isSteered = try await loop.run {
                var address = NetworkAddress.loopback(port: 0)
                for _ in 0..<shards {
                    let socket = try loop.open(address, .sharesPort)
                    counter.sockets.append(socket)
                    address = socket.localAddress
                }
                let isSteered = counter.sockets[0].steer(ShardChoice.program(shards: shards))
                let sender = try loop.open(.loopback(port: 0))
                counter.sender = sender.localAddress
                // One by one: what leaves in one piece comes to one socket.
                for bytes in sent {
                    sender.send(bytes, to: address)
                    sender.flush()
                }
                return isSteered
            }
            for _ in 0..<1_000 where try await loop.run({ counter.got.count }) < sent.count { await Task.yield() }
            let got = try await loop.run { counter.got }
            await loop.stop()
            guard isSteered else { return }
            #expect(got.count == sent.count)
            for (bytes, socket) in got {
                // Resets are for all, and come to whichever.
                if case .one(let shard) = bytes.withUnsafeBytes({ ShardChoice(of: $0, shards: shards) }) { #expect(socket == shard, "\(bytes.prefix(24))") }
            }
        }
    }
#endif
