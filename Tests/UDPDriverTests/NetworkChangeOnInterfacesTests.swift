#if os(Linux)
    import Foundation
    import MastRPC
    import MastTimebase
    import MastTransport
    import MastUDPDriver
    import Synchronization
    import Testing

    /// A phone between two networks, with real interfaces: whoever waits for an answer is told over the other one.
    /// Needs root and `ip`. How soon, `NetworkChangeTests` say in virtual time, and `bench/roaming` on this machine's: with `MAST_ROUNDS`
    /// there are as many rounds, and what they took is printed.
    @Suite(.enabled(if: NetworkNamespace.isPossible, "network namespaces need root and ip"), .timeLimit(.minutes(20)), .serialized)
    struct NetworkChangeOnInterfacesTests {
        private static let answerIn = Unary<Int, String>("test.v1.Roaming/answerIn", .readOnly)
        private static let rounds = ProcessInfo.processInfo.environment["MAST_ROUNDS"].flatMap(Int.init)

        enum Change: String, CaseIterable, Sendable {
            /// One interface goes down, and the default route moves to the other.
            case wifiGoesDown
            /// The default route moves while both work, and the old one lets nothing pass any more.
            case routeMoves
            /// For a while there is no way at all.
            case noWayForASecond
            /// It goes down and comes back as it was.
            case wifiGoesAndComes

            var begin: String {
                switch self {
                case .wifiGoesDown: "ip link set wifi down"
                case .routeMoves: "ip route replace default via 10.1.0.3"
                case .noWayForASecond: "ip link set wifi down"
                case .wifiGoesAndComes: "ip link set wifi down"
                }
            }

            var end: String {
                switch self {
                case .wifiGoesDown, .noWayForASecond: "ip route replace default via 10.2.0.2"
                case .routeMoves: "ip route replace default via 10.2.0.2"
                case .wifiGoesAndComes: "ip link set wifi up; ip route replace default via 10.1.0.2"
                }
            }

            /// From begin to end, milliseconds.
            var pause: Int64 {
                switch self {
                case .wifiGoesDown: 0
                case .routeMoves: 100
                case .noWayForASecond: 1_000
                case .wifiGoesAndComes: 300
                }
            }

            var migrations: UInt64 { self == .wifiGoesAndComes ? 0 : 1 }
        }

        enum Lost: String, CaseIterable, Sendable { case question, answer }

        /// Where the route moves, what the other end sends still comes by the old way: no answer is lost.
        static let cases = Change.allCases.flatMap { change in Lost.allCases.filter { change != .routeMoves || $0 == .question }.map { (change, $0) } }

        @Test(arguments: cases) func aCallUnderWayIsAnsweredOverTheOtherNetwork(change: Change, lost: Lost) async throws {
            var taken: [Double] = []
            for _ in 0..<(Self.rounds ?? 1) { taken.append(try await round(change, lost).inSeconds * 1_000) }
            guard Self.rounds != nil else { return }
            taken.sort()
            print("\(change.rawValue), \(lost.rawValue) lost: median \(taken[taken.count / 2]) ms, worst \(taken[taken.count - 1]) ms of \(taken.count)")
        }

        /// - Returns: from when there is to be a way again to when the client has its answer.
        private func round(_ change: Change, _ lost: Lost) async throws -> Interval {
            let (phone, internet) = (try NetworkNamespace(), try NetworkNamespace())
            defer {
                phone.end()
                internet.end()
            }
            try await phone.shell(
                """
                ip link set lo up
                ip link add wifi type veth peer name wifi netns \(internet.thread)
                ip link add cell type veth peer name cell netns \(internet.thread)
                ip addr add 10.1.0.1/24 dev wifi; ip addr add 10.2.0.1/24 dev cell
                ip link set wifi up; ip link set cell up
                """)
            try await internet.shell(
                """
                ip link set lo up; ip addr add 10.9.0.1/32 dev lo
                ip addr add 10.1.0.2/24 dev wifi; ip addr add 10.2.0.2/24 dev cell
                ip link set wifi up; ip link set cell up
                """)
            try await phone.shell("ip route add default via 10.1.0.2")
            return try await withTaskExecutorPreference(internet) {
                try await withUDPHost(bind: NetworkAddress(ipv4: 0x0A09_0001, port: 0)) { server in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            try await server.serve(
                                RPCServer {
                                    Self.answerIn.handle { milliseconds in
                                        try await server.sleep(for: .milliseconds(Int64(milliseconds)))
                                        return "here"
                                    }
                                })
                        }
                        defer { group.cancelAll() }
                        return try await withTaskExecutorPreference(phone) {
                            try await withUDPHost { host in try await Self.call(from: host, in: phone, server, change, lost) }
                        }
                    }
                }
            }
        }

        private static func call(from host: RPCHost, in phone: NetworkNamespace, _ server: RPCHost, _ change: Change, _ lost: Lost) async throws -> Interval {
            let client = host.client(to: server.localAddress, peerKey: server.publicKey)
            let options = CallOptions(deadline: .in(.seconds(20)))
            for _ in 0..<50 { _ = try await client.call(answerIn, 0, options: options) }
            if lost == .question { try await phone.shell(change.begin) }
            async let answer = client.call(answerIn, lost == .answer ? 100 : 0, options: options)
            try await host.sleep(for: .milliseconds(20))
            if lost == .answer { try await phone.shell(change.begin) }
            try await host.sleep(for: .milliseconds(lost == .answer ? max(150, change.pause) : change.pause))
            let back = host.now()
            try await phone.shell(change.end)
            #expect(try await answer == "here")
            let taken = host.now() - back
            #expect(host.socketReport.map { $0.networkChanges > 0 } == true)
            // Seen from the other end, the client is where it is now.
            for _ in 0..<200 where server.connections.first?.statistics?.migrations != change.migrations { try await server.sleep(for: .milliseconds(10)) }
            #expect(server.connections.first?.statistics?.migrations == change.migrations)
            return taken
        }
    }
#endif
