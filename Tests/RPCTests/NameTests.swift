import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Testing

/// A peer by name: several addresses, of which the first that answers with the peer's key wins (RFC 8305).
@Suite struct NameTests {
    private static let who = Unary<String, String>("test.v1.Who/am", .readOnly)
    private static let port: UInt16 = 4600
    private let world = World()

    /// The server of key number `key` at an address of its own, which says which one it is.
    private func server(_ key: UInt16, at place: UInt32) -> World.Node {
        world.node(key, life: UInt64(place), at: NetworkAddress(ipv4: 0x0A00_0000 + place, port: Self.port))
    }

    private func address(_ place: UInt32) -> NetworkAddress { NetworkAddress(ipv4: 0x0A00_0000 + place, port: 0) }
    private let nobody = NetworkAddress(high: 0xFD00_0000_0000_0000, low: 1, port: 0)

    private func run<T: Sendable>(_ servers: [World.Node], _ body: @escaping @Sendable (World.Node) async throws -> T) throws -> T {
        let here = world.node(2)
        return try world.time.run(limit: .seconds(60)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in servers {
                    group.addTask { try await node.host.serve(RPCServer { Self.who.handle { _ in node.address.host } }) }
                }
                let value = try await body(here)
                group.cancelAll()
                return value
            }
        }
    }

    private static let options = CallOptions(deadline: .in(.seconds(5)))

    @Test func aSilentAddressCostsAQuarterOfASecond() throws {
        let live = server(1, at: 7)
        world.wire.setName("cloud.example", [nobody, address(7)])
        let (answer, took) = try run([live]) { here in
            let began = here.host.now()
            let answer = try await here.host.client(to: "cloud.example:4600", peerKey: live.host.publicKey).call(Self.who, "", options: Self.options)
            return (answer, here.host.now() - began)
        }
        #expect(answer == "10.0.0.7")
        // The pause, then a handshake and a call of 20 ms each, and the acknowledgement that may be awaited.
        #expect(took >= Dialing.attemptDelay + .milliseconds(40) && took < Dialing.attemptDelay + .milliseconds(60))
    }

    @Test func aHintThatNobodyIsThereBringsTheNextAddressAtOnce() throws {
        let live = server(1, at: 7)
        world.wire.setName("cloud.example", [address(66), address(7)])
        let took = try run([live]) { here in
            let (client, began) = (try here.host.client(to: "cloud.example:4600", peerKey: live.host.publicKey), here.host.now())
            async let answer = client.call(Self.who, "", options: Self.options)
            try await here.host.sleep(for: .milliseconds(5))
            here.host.hint(.networkUnreachable, about: address(66).with(port: Self.port), at: here.host.now())
            #expect(try await answer == "10.0.0.7")
            return here.host.now() - began
        }
        #expect(took < .milliseconds(60))
    }

    @Test func anAddressWithAnotherKeyLoses() throws {
        let (stranger, live) = (server(3, at: 66), server(1, at: 7))
        world.wire.setName("cloud.example", [address(66), address(7)])
        let answer = try run([stranger, live]) { here in
            try await here.host.client(to: "cloud.example:4600", peerKey: live.host.publicKey).call(Self.who, "", options: Self.options)
        }
        #expect(answer == "10.0.0.7")
    }

    @Test func aNameIsLookedUpAnewForEachDialling() throws {
        let (first, second) = (server(1, at: 7), server(1, at: 8))
        world.wire.setName("cloud.example", [address(7)])
        let answers = try run([first, second]) { here in
            let client = try here.host.client(to: "cloud.example:4600", peerKey: first.host.publicKey)
            let before = try await client.call(Self.who, "", options: Self.options)
            world.wire.setName("cloud.example", [address(8)])
            client.close()
            return [before, try await client.call(Self.who, "", options: Self.options)]
        }
        #expect(answers == ["10.0.0.7", "10.0.0.8"])
    }

    @Test func ofTwoThatAnswerOneConnectionIsLeft() throws {
        let (first, second) = (server(1, at: 7), server(1, at: 8))
        world.wire.setName("cloud.example", [address(7), address(8)])
        // Both handshakes are under way before either is over.
        world.wire.setDelay(.milliseconds(200))
        let counts = try run([first, second]) { here in
            let client = try here.host.client(to: "cloud.example:4600", peerKey: first.host.publicKey)
            #expect(try await client.call(Self.who, "", options: Self.options) == "10.0.0.7")
            try await here.host.sleep(for: .seconds(5))
            return [here, first, second].map { $0.host.connections.count }
        }
        #expect(counts == [1, 1, 0])
    }

    @Test func noSuchHostIsSaidAtOnce() throws {
        let live = server(1, at: 7)
        let (error, took) = try run([live]) { here in
            let began = here.host.now()
            let error = await #expect(throws: RPCError.self) {
                _ = try await here.host.client(to: "nowhere.example:4600", peerKey: live.host.publicKey).call(Self.who, "", options: Self.options)
            }
            return (error, here.host.now() - began)
        }
        #expect(error?.cause == .unreachable && error?.effect == Effect.none)
        #expect(error?.message.contains("cannot resolve 'nowhere.example': no such host") == true)
        #expect(took < .milliseconds(1))
    }

    @Test func whatIsNoAddressAndNoNameIsRefused() throws {
        let here = world.node(2)
        for text in ["", "host", "host:", "host:99999", "[::1:4600", "1.2.3:4600"] {
            let error = #expect(throws: RPCError.self) { _ = try here.host.client(to: text, peerKey: here.host.publicKey) }
            #expect(error?.code == .invalidArgument, "\(text)")
        }
    }

    @Test func theExpectedKeyIsSoughtAtEveryAddress() throws {
        let (stranger, live) = (server(3, at: 66), server(1, at: 7))
        world.wire.setName("cloud.example", [nobody, address(66), address(7)])
        let keys = try run([stranger, live]) { here in
            let any = try await here.host.peerKey(of: "cloud.example:4600")
            let expected = try await here.host.peerKey(of: "cloud.example:4600", expecting: live.host.publicKey)
            // Nobody has it: then whoever answered is told.
            let other = try await here.host.peerKey(of: "cloud.example:4600", expecting: here.host.publicKey)
            return [any, expected, other]
        }
        #expect(keys == [stranger.host.publicKey, live.host.publicKey, stranger.host.publicKey])
    }

    @Test func theFamiliesTakeTurns() {
        let six = (1...3).map { NetworkAddress(high: 1, low: $0, port: 1) }
        let four = (1...2).map { NetworkAddress(ipv4: $0, port: 1) }
        #expect(Dialing.interleaved(six + four) == [six[0], four[0], six[1], four[1], six[2]])
        #expect(Dialing.interleaved(four + six) == [four[0], six[0], four[1], six[1], six[2]])
        #expect(Dialing.interleaved(six + six) == six)
        #expect(Dialing.interleaved([]).isEmpty)
        #expect(Dialing.interleaved((1...100).map { NetworkAddress(ipv4: $0, port: 1) }).count == Dialing.mostAddresses)
    }

    /// Without this, whoever dials many peers once keeps them all for ever.
    @Test func peersThatNobodyHoldsLeaveTheTable() throws {
        let live = server(1, at: 7)
        let counts = try run([live]) { here in
            var counts: [Int] = []
            for place in 100..<200 {
                let client = here.host.client(to: address(UInt32(place)).with(port: Self.port), peerKey: live.host.publicKey)
                _ = try? await client.ping(within: .milliseconds(10))
                withExtendedLifetime(client) {}
            }
            // Their handshakes go on for a while, in case a call comes.
            try await here.host.sleep(for: .seconds(20))
            counts.append(here.host.peerCount)
            let client = here.host.client(to: live.address, peerKey: live.host.publicKey)
            _ = try await client.call(Self.who, "", options: Self.options)
            counts.append(here.host.peerCount)
            withExtendedLifetime(client) {}
            return counts
        }
        #expect(counts == [0, 1])
    }
}
