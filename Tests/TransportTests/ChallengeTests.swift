import MastTimebase
import MastTransport
import TestKit
import Testing

/// A peer seen at another address: challenged, given three times what came from there, and followed once it has answered
/// (RFC 9000 sections 8.2 and 9.3). The peer is a puppet: it answers when a test says so, with what the test says.
@Suite struct ChallengeTests {
    private let home = Stage.home
    private let elsewhere = NetworkAddress(ipv4: 0x0A63_0007, port: 1_234)
    private let third = NetworkAddress(ipv4: 0x0A63_0008, port: 99)

    /// A connection in the middle of a download: the peer has the bytes so far, and more wait.
    private func downloading(_ stage: Stage, bytes: Int = 400_000) throws -> ConnectionHandle {
        let handle = try #require(stage.accepted())
        stage.send(bytes, on: handle)
        stage.run(for: .milliseconds(20))
        stage.say(acknowledges: true)
        stage.run(for: .milliseconds(5))
        return handle
    }

    private func word(_ challenge: (word: UInt64, to: NetworkAddress, at: Instant)?) throws -> UInt64 { try #require(challenge?.word) }

    // MARK: the challenge

    @Test func anotherAddressIsChallengedAtOnceAndFollowedOnlyWhenItAnswers() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        #expect(stage.challenges.isEmpty)
        stage.say(.ping, from: elsewhere)
        let challenge = try #require(stage.challenges.first)
        #expect(stage.challenges.count == 1 && challenge.to == elsewhere && challenge.at == stage.now)
        stage.run(for: .milliseconds(15))
        #expect(stage.address(handle) == home && stage.migrations.isEmpty, "a new path is not valid at once")
        stage.say(.pathResponse(challenge.word), from: elsewhere)
        #expect(stage.address(handle) == elsewhere && stage.migrations == [elsewhere])
        #expect(stage.statistics(handle)?.migrations == 1)
    }

    @Test func aWrongWordValidatesNothing() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        stage.say(.pathResponse(0), from: elsewhere)
        let word = try #require(stage.challenges.first).word
        for wrong in [word + 1, word ^ 1 << 63, ~word, 0, word.byteSwapped] { stage.say(.pathResponse(wrong), from: elsewhere) }
        #expect(stage.address(handle) == home && stage.migrations.isEmpty)
        stage.say(.pathResponse(word), from: elsewhere)
        #expect(stage.address(handle) == elsewhere)
    }

    @Test func eachChallengeHasAWordOfItsOwn() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        stage.say(.ping, from: elsewhere)
        stage.say(.ping, from: third)
        let words = stage.challenges.map(\.word)
        #expect(words.count == 2 && Set(words).count == 2)
    }

    /// The answer proves where the challenge was sent, wherever it comes from (section 8.2.3).
    @Test func theAnswerMayComeFromElsewhere() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        stage.say(.ping, from: elsewhere)
        stage.say(.pathResponse(try word(stage.challenges.first)), from: home)
        #expect(stage.address(handle) == elsewhere)
        #expect(stage.migrations == [elsewhere])
    }

    @Test func aLostChallengeIsRepeatedEverMoreRarelyAndThenGivenUp() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        let start = stage.now
        stage.say(.ping, from: elsewhere, padding: 1_000)
        stage.run(for: .seconds(5))
        let times = stage.challenges.map { $0.at - start }
        // The round trip here is nothing and its variation at the least 2 ms: 2, 4, 8, … ms and a little, until a second is over.
        #expect(times.first == .zero)
        let gaps = zip(times, times.dropFirst()).map { $1 - $0 }
        #expect(gaps.count >= 7)
        for (gap, next) in zip(gaps, gaps.dropFirst()) { #expect(next == gap * 2, "\(gaps.map(\.microseconds))") }
        #expect(times.allSatisfy { $0 < .seconds(1) })
        #expect(Set(stage.challenges.map(\.word)).count == 1, "the same word: an answer to any of them counts")
        // Too late.
        stage.say(.pathResponse(try word(stage.challenges.first)), from: home)
        #expect(stage.address(handle) == home && stage.migrations.isEmpty)
    }

    @Test func theSecondChallengeIsAsGoodAsTheFirst() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        stage.say(.ping, from: elsewhere, padding: 100)
        stage.run(for: .milliseconds(50))
        #expect(stage.challenges.count >= 2)
        stage.say(.pathResponse(try word(stage.challenges.last)), from: elsewhere)
        #expect(stage.address(handle) == elsewhere)
    }

    // MARK: how much goes there

    /// Roaming in mid-download with a client that says one thing and then nothing.
    @Test(arguments: [0, 100, 300, 1_100]) func aMuteClientGetsThreeTimesWhatItSentAtTheMost(padding: Int) throws {
        let stage = Stage()
        _ = try downloading(stage)
        let packet = stage.puppet.packet([.ping], padding: padding)
        stage.receive(packet, from: elsewhere)
        stage.run(for: .seconds(20))
        #expect(stage.bytes(to: elsewhere) <= 3 * packet.count)
        #expect(stage.bytes(to: elsewhere) > 0)
        // And it is not stingy: what was left would not have held another challenge.
        #expect(padding > 300 || stage.bytes(to: elsewhere) > 3 * packet.count - PathCandidate.packetSize || stage.challenges.count >= 2)
        #expect(stage.migrations.isEmpty)
    }

    @Test func withEveryPacketFromThereMoreMayGo() throws {
        let stage = Stage()
        let handle = try downloading(stage, bytes: 1_000_000)
        var came = 0
        for _ in 0..<5 {
            let packet = stage.puppet.packet(stage.puppet.acknowledgement + [.ping], padding: 1_000)
            came += packet.count
            stage.receive(packet, from: elsewhere)
            stage.run(for: .milliseconds(10))
            #expect(stage.bytes(to: elsewhere) <= 3 * came)
        }
        #expect(stage.bytes(to: elsewhere) > 2 * came, "copies of what goes to the path")
        #expect(stage.address(handle) == home)
        #expect(stage.sent.contains { $0.destination == elsewhere && $0.frames.contains { if case .stream = $0 { true } else { false } } })
    }

    @Test func theProvedAddressIsNotHeldBack() throws {
        let stage = Stage()
        _ = try downloading(stage)
        let before = stage.bytes(to: home)
        stage.say(.ping, from: elsewhere, padding: 100)
        for _ in 0..<20 {
            stage.say(from: home, acknowledges: true)
            stage.run(for: .milliseconds(5))
        }
        #expect(stage.bytes(to: home) - before > 100_000)
    }

    @Test func onceProvedTheNewAddressGetsAll() throws {
        let stage = Stage()
        _ = try downloading(stage)
        stage.say(.ping, from: elsewhere)
        stage.say(.pathResponse(try word(stage.challenges.first)), from: elsewhere)
        let atHome = stage.bytes(to: home)
        for _ in 0..<60 {
            stage.say(from: elsewhere, acknowledges: true)
            stage.run(for: .milliseconds(5))
        }
        #expect(stage.bytes(to: home) == atHome, "nothing more to the old one")
        #expect(stage.bytes(to: elsewhere) > 350_000)
    }

    /// What went to the old address alone goes again at once, and no window is cut for it.
    @Test func whatTheOldAddressGotAloneIsRepairedAtTheMove() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        stage.send(2_000, on: handle)
        let window = try #require(stage.statistics(handle)).congestionWindow
        stage.say(.ping, from: home.with(port: 1))
        let port = try #require(stage.challenges.first)
        let before = stage.sent.count
        stage.say(.pathResponse(port.word), from: port.to)
        let repaired = stage.sent[before...].filter { $0.destination == port.to }.flatMap(\.frames).reduce(0) {
            if case .stream(let frame) = $1 { $0 + frame.data.count } else { $0 }
        }
        #expect(repaired == 2_000)
        #expect(stage.statistics(handle)?.packetsLost == 0)
        #expect(stage.statistics(handle)?.congestionWindow == window)
    }

    // MARK: what moves nothing

    /// A packet that was overtaken says where the peer was, not where it is.
    @Test func aReorderedPacketFromTheOldPortMovesNothingBack() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        let late = stage.puppet.packet([.ping])
        stage.say(.ping, from: elsewhere)
        stage.say(.pathResponse(try word(stage.challenges.first)), from: elsewhere)
        let count = stage.challenges.count
        stage.receive(late, from: home)
        stage.run(for: .seconds(2))
        #expect(stage.challenges.count == count)
        #expect(stage.address(handle) == elsewhere && stage.migrations == [elsewhere])
    }

    @Test func aPacketFromTheProvedAddressIsNoCandidate() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        for _ in 0..<5 { stage.say(.ping) }
        stage.run(for: .seconds(2))
        #expect(stage.challenges.isEmpty && stage.address(handle) == home)
    }

    @Test func theInitiatorFollowsNobody() throws {
        let stage = Stage()
        let handle = try #require(stage.dialled())
        stage.say(.ping, from: elsewhere)
        stage.run(for: .seconds(2))
        #expect(stage.challenges.isEmpty && stage.address(handle) == home)
        #expect(stage.bytes(to: elsewhere) == 0)
    }

    @Test func aMoveToAnotherPortKeepsWhatIsKnownOfTheNetwork() throws {
        for (to, keeps) in [(home.with(port: 50_000), true), (elsewhere, false)] {
            let stage = Stage()
            let handle = try downloading(stage)
            for _ in 0..<20 {
                stage.run(for: .milliseconds(10))
                stage.say(acknowledges: true)
            }
            let window = try #require(stage.statistics(handle)).congestionWindow
            let initial = 12_000
            #expect(window > 2 * initial)
            stage.say(.ping, from: to)
            stage.say(.pathResponse(try word(stage.challenges.first)), from: to)
            let now = try #require(stage.statistics(handle)).congestionWindow
            #expect((now >= window) == keeps && (now == initial) == !keeps, "\(initial), \(window), then \(now)")
        }
    }

    @Test func theRoundTripOfAnotherNetworkIsThatOfItsFirstChallenge() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        stage.say(.ping, from: elsewhere)
        stage.run(for: .microseconds(1_500))
        stage.say(.pathResponse(try word(stage.challenges.first)), from: elsewhere)
        #expect(stage.statistics(handle)?.smoothedRTT == .microseconds(1_500))
        // Of two, nobody knows which was answered.
        stage.say(.ping, from: third, padding: 200)
        stage.run(for: .milliseconds(20))
        let asked = stage.challenges.filter { $0.to == third }
        #expect(asked.count >= 2)
        stage.say(.pathResponse(try word(asked.first)), from: third)
        #expect(stage.address(handle) == third)
        #expect(stage.statistics(handle)?.latestRTT == nil)
    }
}
