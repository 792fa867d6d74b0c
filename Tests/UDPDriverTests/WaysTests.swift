import MastTimebase
import MastUDPDriver
import Synchronization
import Testing

/// Whether datagrams still leave by the address that they left by.
@Suite struct WaysTests {
    private static let peer = NetworkAddress(ipv4: 0x0A09_0001, port: 4_600)
    private static let other = NetworkAddress(ipv4: 0x0A09_0002, port: 4_600)
    private static let wifi = NetworkAddress(ipv4: 0x0A01_0001, port: 0)
    private static let cell = NetworkAddress(ipv4: 0x0A02_0001, port: 0)

    /// What the system says from one look to the next, and what it means.
    @Test(arguments: [
        ("as before", [wifi, wifi], [(found: false, moved: false)]),
        ("another network", [wifi, cell], [(true, true)]),
        ("no way, and then the same", [wifi, nil, wifi], [(false, false), (true, false)]),
        ("no way, and then another", [wifi, nil, cell], [(false, false), (true, true)]),
        ("none at first", [nil, wifi, cell], [(true, false), (true, true)]),
        ("there and back", [wifi, cell, wifi], [(true, true), (true, true)]),
    ])
    func oneDestination(_ name: String, sources: [NetworkAddress?], expected: [(found: Bool, moved: Bool)]) {
        let answers = Mutex(sources)
        var ways = Ways { _ in answers.withLock { $0.removeFirst() } }
        ways.note(Self.peer)
        // A repeated handshake asks nobody.
        ways.note(Self.peer)
        for (found, moved) in expected {
            #expect(ways.look() == Ways.News(found: found ? [Self.peer] : [], moved: moved ? [Self.peer] : []), "\(name)")
        }
    }

    @Test func onlyThoseThatMovedAreNamed() {
        let source = Mutex(Self.wifi)
        var ways = Ways { [other = Self.other, wifi = Self.wifi] in $0 == other ? source.withLock { $0 } : wifi }
        ways.note(Self.peer)
        ways.note(Self.other)
        source.withLock { $0 = Self.cell }
        #expect(ways.look() == Ways.News(found: [Self.other], moved: [Self.other]))
        #expect(ways.look() == Ways.News())
    }

    @Test func theLongestKnownGivesWay() {
        let source = Mutex(Self.wifi)
        var ways = Ways { _ in source.withLock { $0 } }
        for number in UInt32(0)...1_024 { ways.note(NetworkAddress(ipv4: 0x0A09_0000 + number, port: 1)) }
        source.withLock { $0 = Self.cell }
        let moved = ways.look().moved
        #expect(moved.count == 1_024 && moved.first == NetworkAddress(ipv4: 0x0A09_0001, port: 1))
    }
}
