import MastTimebase
import MastTransport
import Testing

/// Three times what came, until the address is proved (RFC 9000 section 8.1).
@Suite struct PathTests {
    private static let address = NetworkAddress(ipv4: 0x0A00_0001, port: 1)

    @Test(arguments: [
        (0, 0, 1, false), (0, 0, 0, true), (100, 0, 300, true), (100, 0, 301, false), (100, 299, 1, true), (100, 300, 1, false),
        (100, 300, 0, true), (1_200, 166, 3_434, true), (1_200, 166, 3_435, false),
    ] as [(Int, Int, Int, Bool)])
    func threeTimesWhatCameMayGo(received: Int, sent: Int, bytes: Int, expected: Bool) {
        var path = Path(address: Self.address, validated: false, configuration: .init())
        (path.received, path.sent) = (received, sent)
        #expect(path.maySend(bytes) == expected)
        path.isValidated = true
        #expect(path.maySend(bytes))
        var candidate = PathCandidate(address: Self.address, word: 1, received: received, expires: .distantFuture, at: .zero)
        candidate.sent = sent
        #expect(candidate.allows(bytes) == expected)
    }

    @Test(arguments: [(0, 0, 0), (100, 0, 300), (100, 250, 50), (500, 0, 1_200), (400, 0, 1_200), (399, 0, 1_197), (400, 1, 1_199)] as [(Int, Int, Int)])
    func theNextDatagramIsAsLargeAsIsAllowed(received: Int, sent: Int, expected: Int) {
        var path = Path(address: Self.address, validated: false, configuration: .init())
        (path.received, path.sent) = (received, sent)
        #expect(path.allowance(1_200) == expected)
        path.isValidated = true
        #expect(path.allowance(1_200) == 1_200)
    }

    @Test func whoDialledAnAddressHasProvedIt() {
        #expect(Path(address: Self.address, validated: true, configuration: .init()).isValidated)
        #expect(!Path(address: Self.address, validated: false, configuration: .init()).isValidated)
    }
}
