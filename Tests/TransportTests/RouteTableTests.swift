import MastTimebase
import MastTransport
import Testing

/// The forwarder: between registered parties only, from where they are, and within each route's budget.
@Suite struct RouteTableTests {
    private static let alice = NetworkAddress(ipv4: 0x0A00_0001, port: 1)
    private static let bob = NetworkAddress(ipv4: 0x0A00_0002, port: 2)
    private static let carol = NetworkAddress(ipv4: 0x0A00_0003, port: 3)

    private func table(_ budget: Rate = .megabitsPerSecond(1_000)) -> RouteTable {
        var table = RouteTable()
        table.budget = budget
        _ = table.set(0xA, address: Self.alice, at: .zero)
        _ = table.set(0xB, address: Self.bob, at: .zero)
        return table
    }

    /// Bytes of the datagrams of `size` that come through at `time`.
    private func bytes(_ table: inout RouteTable, _ size: Int, at time: Interval, to route: UInt32 = 0xB) -> Int {
        var sum = 0
        while sum < 1 << 30, table.forward(route, from: Self.alice, bytes: size, at: .zero + time) != nil { sum += size }
        return sum
    }

    // MARK: who

    @Test func onlyARegisteredPartysPacketIsSentOnAndOnlyToAnother() {
        var table = table()
        #expect(table.forward(0xB, from: Self.alice, bytes: 100, at: .zero) == Self.bob)
        #expect(table.forward(0xA, from: Self.bob, bytes: 100, at: .zero) == Self.alice)
        #expect(table.forward(0xC, from: Self.alice, bytes: 100, at: .zero) == nil, "nobody has this route")
        #expect(table.forward(0, from: Self.alice, bytes: 100, at: .zero) == nil)
        #expect(table.forward(0xB, from: Self.carol, bytes: 100, at: .zero) == nil, "nobody is there")
        #expect(table.forward(0xB, from: Self.alice.with(port: 9), bytes: 100, at: .zero) == nil)
        #expect(table.forward(0xB, from: Self.bob, bytes: 100, at: .zero) == nil, "not back to where it came from")
        #expect(table.party(0xB)?.forwardedPackets == 1 && table.party(0xB)?.forwardedBytes == 100)
    }

    @Test func routeZeroIsTheEndpointItself() {
        var table = table()
        #expect(table.set(0, address: Self.carol, at: .zero) == false)
        #expect(table.count == 2)
        #expect(table.forward(0xB, from: Self.carol, bytes: 1, at: .zero) == nil)
    }

    @Test func aPartyIsAtHomeAtItsAddressOnly() {
        let table = table()
        #expect(table.isHome(0xA, at: Self.alice) && table.isHome(0xB, at: Self.bob))
        #expect(!table.isHome(0xA, at: Self.bob) && !table.isHome(0xC, at: Self.alice) && !table.isHome(0xA, at: Self.alice.with(port: 2)))
        #expect(table.address(of: 0xA) == Self.alice && table.address(of: 0xC) == nil)
    }

    @Test func aMoveChangesWhereItIsAndFromWhereItSends() {
        var table = table()
        #expect(table.set(0xA, address: Self.carol, at: .zero) == true)
        #expect(table.count == 2)
        #expect(table.forward(0xB, from: Self.alice, bytes: 1, at: .zero) == nil)
        #expect(table.forward(0xB, from: Self.carol, bytes: 1, at: .zero) == Self.bob)
        #expect(table.forward(0xA, from: Self.bob, bytes: 1, at: .zero) == Self.carol)
        table.remove(0xA)
        table.remove(0xA)
        #expect(table.forward(0xB, from: Self.carol, bytes: 1, at: .zero) == nil)
        #expect(table.count == 1 && !table.isEmpty)
    }

    @Test func anAddressWithTwoRoutesIsASourceUntilBothAreGone() {
        var table = table()
        _ = table.set(0xC, address: Self.alice, at: .zero)
        // Said again, it counts once.
        #expect(table.set(0xC, address: Self.alice, at: .zero) == true)
        table.remove(0xC)
        #expect(table.forward(0xB, from: Self.alice, bytes: 1, at: .zero) == Self.bob)
        table.remove(0xA)
        #expect(table.forward(0xB, from: Self.alice, bytes: 1, at: .zero) == nil)
    }

    @Test func aFullTableTakesNoMoreAndStillLetsMove() {
        var table = RouteTable()
        for route in 1...UInt32(RouteTable.maximumRoutes) { _ = table.set(route, address: Self.alice, at: .zero) }
        #expect(table.count == RouteTable.maximumRoutes)
        #expect(table.set(UInt32(RouteTable.maximumRoutes) + 1, address: Self.bob, at: .zero) == false)
        #expect(table.set(1, address: Self.bob, at: .zero) == true)
        table.remove(1)
        #expect(table.set(UInt32(RouteTable.maximumRoutes) + 1, address: Self.bob, at: .zero) == true)
    }

    // MARK: how much

    @Test func moreThanTheBurstAtOneInstantIsDropped() {
        // A tenth of a second at 8 Mbit/s, and 64 KiB at the least.
        for (rate, burst) in [(Rate.megabitsPerSecond(8), 100_000), (.megabitsPerSecond(80), 1_000_000), (.kilobitsPerSecond(8), 65_536)] {
            var table = table(rate)
            #expect(bytes(&table, 1, at: .zero) == burst, "\(rate.inMegabitsPerSecond) Mbit/s")
            #expect(bytes(&table, 1, at: .zero) == 0)
            // Another route has its own.
            #expect(table.forward(0xA, from: Self.bob, bytes: 1_000, at: .zero) == Self.alice)
        }
    }

    @Test func aPacketThatDoesNotFitCostsNothing() {
        var table = table(.megabitsPerSecond(8))
        #expect(bytes(&table, 30_000, at: .zero) == 90_000)
        #expect(table.forward(0xB, from: Self.alice, bytes: 10_001, at: .zero) == nil)
        #expect(table.forward(0xB, from: Self.alice, bytes: 10_000, at: .zero) == Self.bob)
        #expect(table.party(0xB)?.forwardedPackets == 4 && table.party(0xB)?.forwardedBytes == 100_000)
    }

    @Test(arguments: [(0, 0), (1, 1_000), (10, 10_000), (99, 99_000), (100, 100_000), (5_000, 100_000)] as [(Int64, Int)])
    func creditComesBackAtTheRate(milliseconds: Int64, expected: Int) {
        var table = table(.megabitsPerSecond(8))
        #expect(bytes(&table, 100, at: .zero) == 100_000)
        #expect(bytes(&table, 100, at: .milliseconds(milliseconds)) == expected)
        #expect(bytes(&table, 100, at: .milliseconds(milliseconds)) == 0)
    }

    @Test func overASecondAPartyGetsItsRateAndTheBurst() {
        var table = table(.megabitsPerSecond(8))
        var sum = 0
        for step in 0...1_000 as ClosedRange<Int64> { sum += bytes(&table, 500, at: .milliseconds(step)) }
        #expect(sum == 100_000 + 1_000_000)
    }

    @Test func aMoveBringsNoNewCredit() {
        var table = table(.megabitsPerSecond(8))
        #expect(bytes(&table, 100, at: .zero) == 100_000)
        _ = table.set(0xB, address: Self.carol, at: .zero)
        #expect(bytes(&table, 100, at: .zero) == 0)
    }

    // MARK: a model

    /// Against a list of (route, address), for what is found and who is a source.
    @Test(arguments: [1, 2, 3] as [UInt64]) func itAgreesWithAPlainList(seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        var table = RouteTable()
        var model: [(route: UInt32, address: NetworkAddress)] = []
        for _ in 0..<4_000 {
            let route = UInt32(chance.next(below: 6))
            let address = NetworkAddress(ipv4: UInt32(1 + chance.next(below: 4)), port: 7)
            switch chance.next(below: 5) {
            case 0:
                table.remove(route)
                model.removeAll { $0.route == route }
            case 1, 2:
                let isAdded = table.set(route, address: address, at: .zero)
                #expect(isAdded == (route != 0))
                model.removeAll { $0.route == route }
                if route != 0 { model.append((route, address)) }
            default:
                let next = table.forward(route, from: address, bytes: 1, at: .zero)
                let isSource = model.contains { $0.address == address }
                let home = model.first { $0.route == route }?.address
                #expect(next == (isSource && home != address ? home : nil))
            }
            #expect(table.count == model.count)
        }
    }
}
