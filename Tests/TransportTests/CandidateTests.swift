import MastTimebase
import MastTransport
import TestKit
import Testing

/// Who may be asked whether it is the peer: where the newest packet came from, and where copies of it came from.
@Suite struct CandidateTests {
    private func place(_ number: UInt16) -> NetworkAddress { NetworkAddress(ipv4: 0x0A63_0000 + UInt32(number), port: number) }

    private func places(_ stage: Stage) -> [NetworkAddress] { stage.challenges.map(\.to) }

    @Test func aCopyFromElsewhereIsAskedTooWhileSomebodyIs() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        // First by somebody faster, then by the peer.
        stage.receive(packet, from: place(1))
        stage.receive(packet, from: place(2))
        #expect(places(stage) == [place(1), place(2)])
        #expect(stage.challenges[0].word != stage.challenges[1].word)
        stage.say(.pathResponse(stage.challenges[1].word), from: place(2))
        #expect(stage.address(handle) == place(2))
        // One of them answered: the other is out.
        stage.say(.pathResponse(stage.challenges[0].word), from: place(1))
        #expect(stage.migrations == [place(2)])
    }

    @Test func aCopyAloneIsNoReasonToAsk() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        stage.receive(packet)
        stage.receive(packet, from: place(1))
        #expect(places(stage).isEmpty)
        #expect(stage.endpoint.counters.dropped(.replayed) == 1)
    }

    @Test func aCopyFromTheProvedAddressIsNoReasonEither() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        stage.receive(packet, from: place(1))
        stage.receive(packet)
        #expect(places(stage) == [place(1)])
    }

    @Test func aChangedCopyIsNoCopy() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        stage.receive(packet, from: place(1))
        stage.receive(WirePacket.changed(packet, at: packet.count - 1), from: place(2))
        #expect(places(stage) == [place(1)])
    }

    /// Not of any age: a recording would do otherwise.
    @Test(arguments: [(1, true), (63, true), (64, false), (200, false)] as [(UInt64, Bool)])
    func aCopyMustBeOfARecentPacket(age: UInt64, expected: Bool) throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        stage.receive(packet)
        stage.receive(stage.puppet.packet([.ping], number: stage.puppet.nextNumber - 1 + age), from: place(1))
        stage.receive(packet, from: place(2))
        #expect(places(stage) == (expected ? [place(1), place(2)] : [place(1)]))
    }

    @Test func fourAreAskedAtOnceAndNoMore() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        for number in 1...9 as ClosedRange<UInt16> { stage.receive(packet, from: place(number)) }
        #expect(places(stage) == (1...4).map(place))
    }

    @Test func theNewestPacketsAddressTakesThePlaceOfTheLastOnes() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        let packet = stage.puppet.packet([.ping])
        for number in 1...4 as ClosedRange<UInt16> { stage.receive(packet, from: place(number)) }
        for number in 5...9 as ClosedRange<UInt16> { stage.say(.ping, from: place(number)) }
        #expect(places(stage) == (1...9).map(place))
        // Each newer one took the place of the one before it. Three copies and the newest are still there.
        let words = stage.challenges.map(\.word)
        for index in [0, 4, 5, 6, 7] { stage.say(.pathResponse(words[index])) }
        #expect(stage.migrations.isEmpty)
        stage.say(.pathResponse(words[2]))
        #expect(stage.address(handle) == place(3))
    }

    @Test func withFewerTheNewestIsOneMore() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        for number in 1...3 as ClosedRange<UInt16> { stage.say(.ping, from: place(number)) }
        let words = stage.challenges.map(\.word)
        #expect(places(stage) == (1...3).map(place))
        stage.say(.pathResponse(words[0]))
        #expect(stage.address(handle) == place(1))
    }

    /// Bytes of copies count as come from there, as do those of newer packets.
    @Test func whatComesFromACandidateCountsForIt() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        let first = stage.puppet.packet([.ping], padding: 20)
        stage.receive(first, from: place(1))
        stage.receive(first, from: place(2))
        let second = stage.puppet.packet([.ping], padding: 300)
        stage.receive(second, from: place(1))
        stage.receive(second, from: place(2))
        stage.send(900, on: handle)
        for number in [1, 2] as [UInt16] {
            let largest = stage.sent(to: place(number)).map(\.bytes).max() ?? 0
            #expect(largest > 900, "a copy of the whole answer")
            #expect(stage.bytes(to: place(number)) <= 3 * (first.count + second.count))
        }
    }

    /// A challenge is answered where it came from (RFC 9000 section 8.2.2), but who dialled answers to where it dialled.
    @Test func challengesAreAnswered() throws {
        for isDialled in [false, true] {
            let stage = Stage()
            let handle = isDialled ? stage.dialled() : stage.accepted()
            #expect(handle != nil)
            let answers = {
                stage.sent.flatMap { sent in
                    sent.frames.compactMap { if case .pathResponse(let word) = $0 { (word: word, to: sent.destination) } else { nil } }
                }
            }
            stage.say(.pathChallenge(41))
            #expect(answers().map(\.word) == [41] && answers().map(\.to) == [Stage.home])
            stage.say(.pathChallenge(42), from: place(1))
            #expect(answers().map(\.word) == (isDialled ? [41] : [41, 42]))
            #expect(answers().last?.to == (isDialled ? Stage.home : place(1)))
            // One answer a packet: the newest.
            stage.say(.pathChallenge(43), .pathChallenge(44), .pathChallenge(45))
            #expect(answers().map(\.word).suffix(1) == [45] && answers().count == (isDialled ? 2 : 3))
        }
    }
}
