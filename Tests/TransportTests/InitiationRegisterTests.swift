import MastTimebase
import MastTransport
import TestKit
import Testing

/// What is remembered of first messages: the last ones exactly, older ones well enough to ask for a cookie.
@Suite struct InitiationRegisterTests {
    @Test(arguments: [1, 2, 1_000]) func theLastAreKnownExactlyAndThoseBeforeAreNotOverlooked(limit: Int) {
        var register = InitiationRegister(key: [1], limit: limit)
        for name in 1...UInt64(limit) { register.insert(name) }
        #expect((1...UInt64(limit)).allSatisfy { register.memory(of: $0) == .seen })
        #expect(register.memory(of: UInt64(limit) + 1) == .new)
        register.insert(UInt64(limit) + 1)
        #expect(register.memory(of: 1) == .perhapsOld)
        #expect((2...UInt64(limit) + 1).allSatisfy { register.memory(of: $0) == .seen })
    }

    @Test func aLimitOfNothingIsOne() {
        var register = InitiationRegister(key: [1], limit: 0)
        register.insert(1)
        #expect(register.memory(of: 1) == .seen)
    }

    @Test func aRepeatTakesNobodysPlace() {
        var register = InitiationRegister(key: [1], limit: 2)
        for name in [1, 2, 2, 2, 1] as [UInt64] { register.insert(name) }
        #expect(register.memory(of: 1) == .seen && register.memory(of: 2) == .seen)
    }

    @Test func whatIsForgottenMayComeAgain() {
        var register = InitiationRegister(key: [1], limit: 3)
        register.insert(1)
        register.forget(1)
        #expect(register.memory(of: 1) == .new)
        register.insert(1)
        #expect(register.memory(of: 1) == .seen)
    }

    @Test func aNameIsOfTheEphemeralKeyAlone() {
        let (register, other) = (InitiationRegister(key: [1], limit: 1), InitiationRegister(key: [2], limit: 1))
        let (stage, second) = (Stage(), Stage(puppet: Puppet(seed: 2)))
        let message = stage.puppet.initiation(to: stage.key)
        let name = register.name(of: message)
        #expect(name == register.name(of: stage.puppet.initiation(to: stage.key, cookie: [1])))
        #expect(name != other.name(of: message), "nobody outside can make two alike")
        #expect(name != register.name(of: second.puppet.initiation(to: stage.key)))
        let ephemeral = PacketHeader.longHeaderSize..<(PacketHeader.longHeaderSize + 32)
        for index in message.indices {
            let isSame = register.name(of: WirePacket.changed(message, at: index)) == name
            #expect(isSame == !ephemeral.contains(index), "byte \(index)")
        }
        for length in 0..<ephemeral.upperBound { #expect(register.name(of: Array(message.prefix(length))) == 0) }
        #expect(register.name(of: Array(message.prefix(ephemeral.upperBound))) == name)
    }

    /// Four bits a name of 2^24: after 400,000 names, one new in some ten thousand is taken for an old one.
    @Test func theFilterSeldomMistakesANewOneForAnOldOne() {
        var register = InitiationRegister(key: [1], limit: 1)
        var chance = SeededGenerator(seed: 1)
        for _ in 0..<400_000 { register.insert(chance.next()) }
        let mistaken = (0..<100_000).count { _ in register.memory(of: chance.next()) != .new }
        // (1 − e^(−4 × 400,000 / 2^24))^4 = 0.000069 of them.
        #expect((1...20).contains(mistaken), "\(mistaken)")
    }
}
