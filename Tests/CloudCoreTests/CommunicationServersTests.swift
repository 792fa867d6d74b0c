import MastCloudCore
import MastTimebase
import MastTransport
import Testing

@Suite struct CommunicationServersTests {
    private let root: SigningKeyPair
    private let thief: SigningKeyPair
    private let servers: [CommunicationServer]

    init() {
        var generator = SeededGenerator(seed: 77)
        root = SigningKeyPair(using: &generator)
        thief = SigningKeyPair(using: &generator)
        servers = (1...3).map { CommunicationServer(address: .loopback(port: $0), key: StaticKeyPair(using: &generator).publicKey) }
    }

    private func list(_ number: StateNumber, _ servers: [CommunicationServer], by key: SigningKeyPair? = nil) throws -> SignedRecord<CommunicationServers> {
        try SignedRecord(CommunicationServers(number: number, servers: servers), signedBy: key ?? root)
    }

    @Test("A list is read back as it was signed, names included")
    func roundTrip() throws {
        let named = CommunicationServer(address: try HostPort("mast.example:4600"), key: servers[0].key)
        let read = try list(4, [named, servers[1]]).verified(by: root.publicKey)
        #expect(read.number == 4 && read.servers == [named, servers[1]] && read.first == named)
        // Eight are as many as a list has.
        let full = try list(5, Array(repeating: named, count: 8)).verified(by: root.publicKey)
        #expect(full.servers.count == 8)
    }

    @Test("An empty list, and one with more than eight, is none")
    func bounds() throws {
        #expect(throws: TrustError.self) { try CommunicationServers(number: 1, servers: []) }
        #expect(throws: TrustError.self) { try CommunicationServers(number: 1, servers: Array(repeating: servers[0], count: 9)) }
        var writer = CanonicalWriter()
        writer.integer(1)
        writer.list([Int]()) { _, _ in }
        #expect(throws: TrustError.self) {
            var reader = CanonicalReader(writer.bytes)
            _ = try CommunicationServers(from: &reader)
        }
    }

    @Test("A newer list leads on; what is dialled stays so until the new one answers, and stays trusted so long")
    func newer() throws {
        var choice = try ServerChoice(try list(1, [servers[0]]), given: servers[0], root: root.publicKey)
        #expect(choice.dialled == servers[0] && choice.better == nil && !choice.hasOthers)
        try choice.take(try list(2, [servers[1]]), root: root.publicKey)
        #expect(choice.dialled == servers[0] && choice.better == servers[1])
        #expect(choice.trusts(servers[0].key) && choice.trusts(servers[1].key) && !choice.trusts(servers[2].key))
        choice.moved()
        #expect(choice.dialled == servers[1] && choice.better == nil)
        #expect(!choice.trusts(servers[0].key))
    }

    @Test("A server that does not answer gives way to the next, and in the end to the one that was left")
    func rotation() throws {
        var choice = try ServerChoice(try list(1, [servers[0]]), given: servers[0], root: root.publicKey)
        try choice.take(try list(2, [servers[1], servers[2]]), root: root.publicKey)
        var order: [CommunicationServer] = []
        for _ in 0..<4 {
            order.append(choice.dialled)
            choice.next()
        }
        #expect(order == [servers[0], servers[1], servers[2], servers[0]])
    }

    @Test("An older list, one of the same number and a forged one change nothing")
    func refused() throws {
        var choice = try ServerChoice(try list(5, [servers[0]]), given: servers[0], root: root.publicKey)
        for (number, key) in [(4, root), (5, root), (9, thief)] as [(StateNumber, SigningKeyPair)] {
            let offered = try list(number, [servers[1]], by: key)
            #expect(throws: TrustError.self) { try choice.take(offered, root: root.publicKey) }
            #expect(choice.dialled == servers[0] && choice.better == nil && !choice.trusts(servers[1].key))
        }
        #expect(throws: TrustError.self) { try ServerChoice(try list(1, [servers[1]], by: thief), given: servers[1], root: root.publicKey) }
    }

    @Test("The way that was given by hand counts until there is a newer list")
    func relay() throws {
        let relay = CommunicationServer(address: .loopback(port: 99), key: servers[0].key)
        var choice = try ServerChoice(try list(3, [servers[0]]), given: relay, root: root.publicKey)
        #expect(choice.dialled == relay && choice.better == nil)
        try choice.take(try list(4, [servers[0]]), root: root.publicKey)
        #expect(choice.better == servers[0])
        // A token of before a move leads to the list's first.
        let late = try ServerChoice(try list(4, [servers[1]]), given: servers[0], root: root.publicKey)
        #expect(late.dialled == servers[1] && late.hasOthers)
        // And from there, when that does not answer, to where the token led.
        var lost = late
        lost.next()
        #expect(lost.dialled == servers[0])
    }

    @Test("The way that was given by hand stands for the list's own way to that server, and the others follow")
    func relayAndOthers() throws {
        let relay = CommunicationServer(address: .loopback(port: 99), key: servers[1].key)
        var choice = try ServerChoice(try list(3, servers), given: relay, root: root.publicKey)
        var order: [CommunicationServer] = []
        for _ in 0..<4 {
            order.append(choice.dialled)
            #expect(choice.better == (choice.dialled == relay ? nil : relay) && choice.hasOthers)
            choice.next()
        }
        #expect(order == [relay, servers[0], servers[2], relay])
        // A list that has the dialled one goes on from there.
        choice.moved()
        choice.next()
        try choice.take(try list(4, [servers[2], servers[0]]), root: root.publicKey)
        #expect(choice.dialled == servers[0] && choice.better == servers[2])
    }
}
