import MastTimebase
import MastTransport
import Testing

/// Noise revision 34, sections 5.2 and 7.5. Each value was computed by another implementation, and the first table is the
/// vector of this protocol in the published collection "cacophony".
@Suite struct SymmetricStateTests {
    private static func bytes(_ text: String) -> [UInt8] { Hexadecimal.decode(text) ?? [] }

    private enum Vector {
        static let prologue = bytes("4a6f686e2047616c74")
        static let initiator = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"
        static let initiatorEphemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
        static let responder = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"
        static let responderEphemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b"
        static let first = (
            payload: "4c756477696720766f6e204d69736573",
            message: "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79444e417bc55c7a8166c993356c1be41ef67818a292426f3015"
                + "56c7f26b21d25ddb097153891a9a956cff47b83e63ad8d701c1342c209cff1ca5ecd43402762ac249e3bd3a4c0a145fe07cb5dae28ea13a3"
        )
        static let second = (
            payload: "4d757272617920526f746862617264",
            message: "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843af2ccf9972e22afc67aeafcd25162f7f98c363b7762e3e4c"
                + "b7d272e39f27a5"
        )
        static let hash = "669c8640d9e42a3cda2f232f78597ceefb01daa6e3df81181ccce6fc6b5026bf"
        static let toResponder = "d28b5904149a13cc80158a21960bee5b5b0f46962742477801119d00fd0e55d4"
        static let toInitiator = "e6c1b7e4711d67c4e85b455af04c6255305ff88ac9a02806f9e15b1f0c341c55"
    }

    /// `SymmetricState` by reference, so that a test reads in one line.
    private final class State {
        private var state: SymmetricState
        init(_ prologue: [UInt8] = []) { state = SymmetricState(protocolName: Handshake.protocolName, prologue: prologue) }
        init(copying other: State) { state = other.state }
        var hash: [UInt8] { state.hash }
        var split: (initiator: [UInt8], responder: [UInt8]) { state.split() }
        func mixHash(_ data: some Collection<UInt8>) { state.mixHash(data) }
        func mixKey(_ key: [UInt8]?) { state.mixKey(key ?? []) }
        func seal(_ data: [UInt8]) -> [UInt8] { state.encryptAndHash(data) ?? [] }
        func open(_ data: ArraySlice<UInt8>) -> [UInt8]? { state.decryptAndHash(data) }
    }

    private func keys(_ text: String) throws -> StaticKeyPair { try #require(StaticKeyPair(privateKey: Self.bytes(text))) }

    @Test func theInitiatorsSideAgreesWithThePublishedVector() throws {
        let (own, ephemeral) = (try keys(Vector.initiator), try keys(Vector.initiatorEphemeral))
        let (peer, peerEphemeral) = (try keys(Vector.responder).publicKey, try keys(Vector.responderEphemeral).publicKey)
        let state = State(Vector.prologue)
        // e, es, s, ss
        state.mixHash(peer.bytes)
        state.mixHash(ephemeral.publicKey.bytes)
        state.mixKey(ephemeral.agree(with: peer))
        var message = ephemeral.publicKey.bytes + state.seal(own.publicKey.bytes)
        state.mixKey(own.agree(with: peer))
        message += state.seal(Self.bytes(Vector.first.payload))
        #expect(Hexadecimal.encode(message) == Vector.first.message)
        // e, ee, se
        let answer = Self.bytes(Vector.second.message)
        #expect(Array(answer.prefix(32)) == peerEphemeral.bytes)
        state.mixHash(answer.prefix(32))
        state.mixKey(ephemeral.agree(with: peerEphemeral))
        state.mixKey(own.agree(with: peerEphemeral))
        #expect(state.open(answer[32...]) == Self.bytes(Vector.second.payload))
        #expect(Hexadecimal.encode(state.hash) == Vector.hash)
        #expect(Hexadecimal.encode(state.split.initiator) == Vector.toResponder)
        #expect(Hexadecimal.encode(state.split.responder) == Vector.toInitiator)
    }

    @Test func theRespondersSideAgreesWithThePublishedVector() throws {
        let (own, ephemeral, peer) = (try keys(Vector.responder), try keys(Vector.responderEphemeral), try keys(Vector.initiator).publicKey)
        let question = Self.bytes(Vector.first.message)
        let peerEphemeral = try #require(PublicKey(bytes: question.prefix(32)))
        let state = State(Vector.prologue)
        state.mixHash(own.publicKey.bytes)
        state.mixHash(question.prefix(32))
        state.mixKey(own.agree(with: peerEphemeral))
        #expect(state.open(question[32..<80]) == peer.bytes)
        state.mixKey(own.agree(with: peer))
        #expect(state.open(question[80...]) == Self.bytes(Vector.first.payload))
        state.mixHash(ephemeral.publicKey.bytes)
        state.mixKey(ephemeral.agree(with: peerEphemeral))
        state.mixKey(ephemeral.agree(with: peer))
        let message = ephemeral.publicKey.bytes + state.seal(Self.bytes(Vector.second.payload))
        #expect(Hexadecimal.encode(message) == Vector.second.message)
        #expect(Hexadecimal.encode(state.hash) == Vector.hash)
    }

    /// Section 5.2: a name of at most 32 bytes is padded with zeros, a longer one hashed.
    @Test(arguments: [
        ("Noise_IK_25519_AESGCM_SHA256_32b", "7bc8a815990ec85af9308c7f875edf41d6b8359bc1b5181b081a9c2dd6eedba4"),
        ("Noise_IK_25519_AESGCM_SHA256_33by", "4608c534ad1e6c688df5bba7a70013ac9e6df2deaa6600af6c1f62850382fccf"),
        ("Noise_IK_25519_AESGCM_SHA256_of_more_than_32_bytes", "9b092237376787a6a354593c2efb74f4951b02e51853b0eb7669995cb6892db5"),
    ]) func theNameOfTheProtocolBeginsTheHash(name: String, hash: String) {
        #expect(Hexadecimal.encode(SymmetricState(protocolName: name, prologue: Array("p".utf8)).hash) == hash)
    }

    /// Section 5.1: the nonce counts from 0 under each key.
    @Test func everyMessageUnderAKeyHasANonceOfItsOwn() {
        let state = State()
        state.mixKey(Array(0..<32))
        let reader = State(copying: state)
        let texts = ["one", "two", "three", "four"].map { Array($0.utf8) }
        var sealed = texts.dropLast().map { state.seal($0) }
        state.mixKey(Array("more".utf8))
        sealed.append(state.seal(texts[3]))
        #expect(
            sealed.map { Hexadecimal.encode($0) } == [
                "964532ec3eb5b4b716b56bf0ae5facc9f2a5f2", "92c4de2910e006117cffed392ed713626838cb", "88162c0480450fc532066f06480e15a8269644d50a",
                "8d0dc7d1a36462a88a7fa6c72c77122cacdfc053",
            ])
        #expect(Hexadecimal.encode(state.hash) == "f73058aea9161887101e1b2e648d44e00e696c1b55b5a2380e651a9b79d340dc")
        var opened = sealed.dropLast().map { reader.open($0[...]) }
        reader.mixKey(Array("more".utf8))
        opened.append(reader.open(sealed[3][...]))
        #expect(opened == texts)
        #expect(reader.hash == state.hash && reader.split == state.split)
    }

    @Test func whatDoesNotOpenLeavesTheStateAsItWas() {
        let state = State()
        #expect(state.seal([1]).isEmpty, "without a key nothing is sealed")
        state.mixKey([1])
        let reader = State(copying: state)
        let sealed = state.seal([1, 2, 3])
        let before = reader.hash
        for index in sealed.indices {
            var forged = sealed
            forged[index] ^= 1
            #expect(reader.open(forged[...]) == nil)
        }
        for length in 0..<sealed.count { #expect(reader.open(sealed.prefix(length)) == nil) }
        #expect(reader.hash == before)
        #expect(reader.open(sealed[...]) == [1, 2, 3])
    }

    /// RFC 7748 section 6.1: with a key of low order everybody knows the secret.
    @Test(arguments: [
        "0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ]) func aKeyOfLowOrderAgreesOnNothing(key: String) throws {
        let peer = try #require(PublicKey(bytes: Self.bytes(key)))
        #expect(try keys(Vector.initiator).agree(with: peer) == nil)
    }

    @Test func aKeyHas32Bytes() {
        for count in [0, 31, 33] {
            #expect(PublicKey(bytes: [UInt8](repeating: 1, count: count)) == nil)
            #expect(StaticKeyPair(privateKey: [UInt8](repeating: 1, count: count)) == nil)
        }
    }
}
