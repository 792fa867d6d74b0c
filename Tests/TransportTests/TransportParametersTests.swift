import MastTimebase
import MastTransport
import Testing

/// What each side states of itself: fields with a number and a length, in any order.
@Suite struct TransportParametersTests {
    private static let token = [UInt8](1...16)

    private func parameters(_ change: (inout TransportParameters) -> Void) -> TransportParameters {
        var parameters = TransportParameters()
        change(&parameters)
        return parameters
    }

    @Test func whatIsWrittenIsRead() {
        let all = parameters {
            $0.idleTimeoutMilliseconds = 10_000
            $0.maxData = 1 << 22
            $0.maxStreamData = 1 << 20
            $0.maxStreams = 1_024
            $0.resetToken = Self.token
            $0.incarnation = .max
        }
        #expect(TransportParameters(decoding: all.encode()) == all)
        #expect(TransportParameters(decoding: TransportParameters().encode()) == TransportParameters())
        // Behind it comes padding up to the size of a first message.
        #expect(TransportParameters(decoding: all.encode() + [UInt8](repeating: 0, count: 900)) == all)
    }

    /// Versions and suites, without which there is nothing to agree on.
    private static let mandatory: [UInt8] = [7, 1, WireVersion.current, 8, 2, 1, 2]

    @Test func whatIsNotSaidIsAsItWas() {
        #expect(TransportParameters(decoding: Self.mandatory) == TransportParameters())
        #expect(TransportParameters().idleTimeoutMilliseconds == 30_000)
        #expect(TransportParameters().maxData == 0 && TransportParameters().maxStreamData == 0 && TransportParameters().maxStreams == 0)
    }

    @Test func eachFieldHasItsNumber() {
        let expected: [(field: [UInt8], TransportParameters)] = [
            ([1, 1, 7], parameters { $0.idleTimeoutMilliseconds = 7 }), ([2, 1, 7], parameters { $0.maxData = 7 }),
            ([3, 1, 7], parameters { $0.maxStreamData = 7 }), ([4, 1, 7], parameters { $0.maxStreams = 7 }),
            ([5, 16] + Self.token, parameters { $0.resetToken = Self.token }), ([6, 8, 0, 0, 0, 0, 0, 0, 0, 7], parameters { $0.incarnation = 7 }),
            ([2, 4, 0x81, 2, 3, 4], parameters { $0.maxData = 0x0102_0304 }), ([9, 2, 0x45, 0xAC], parameters { $0.maximumDatagramSize = 1_452 }),
            ([10, 3, 5, 0x41, 0x00], parameters { $0.extensions = [5, 256] }), ([11, 1, 32], parameters { $0.timestampsPerAck = 32 }),
        ]
        for (field, value) in expected { #expect(TransportParameters(decoding: Self.mandatory + field) == value, "\(field)") }
    }

    @Test func aLaterVersionsFieldIsPassedOver() {
        for unknown in [[12, 0], [12, 3, 1, 2, 3], [0x40, 0xFF, 8, 1, 2, 3, 4, 5, 6, 7, 8]] as [[UInt8]] {
            #expect(TransportParameters(decoding: unknown + Self.mandatory + [2, 1, 9]) == parameters { $0.maxData = 9 })
        }
    }

    @Test func fromTheFirstZeroOnAllIsPadding() {
        #expect(TransportParameters(decoding: Self.mandatory + [0, 2, 1, 9]) == TransportParameters())
        #expect(TransportParameters(decoding: Self.mandatory + [0, 0xFF]) == TransportParameters())
    }

    /// A count of streams beyond what their numbers can say (RFC 9000 section 4.6) is that much.
    @Test func limitsAreCut() {
        let most: [UInt8] = [8] + [UInt8](repeating: 0xFF, count: 8)
        let found = TransportParameters(decoding: Self.mandatory + [1] + most + [2] + most + [3] + most + [4] + most)
        #expect(found?.maxData == 1 << 62 - 1 && found?.maxStreamData == 1 << 62 - 1 && found?.idleTimeoutMilliseconds == 1 << 62 - 1)
        #expect(found?.maxStreams == 1 << 60)
    }

    @Test(arguments: [
        [1], [1, 8], [1, 2, 5, 5], [1, 8, 0, 0, 0, 0, 0, 0, 0], [6, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0], [5, 0], [0x40],
        [5, 15] + [UInt8](1...15), [5, 17] + [UInt8](1...17), [2, 1, 9, 3, 1, 0x41], [2, 1, 9, 2, 1, 9], [9, 2, 0x44, 0xAF],
        [10, 33] + [UInt8](repeating: 1, count: 33),
    ] as [[UInt8]]) func malformedOnesAreRefused(bytes: [UInt8]) {
        #expect(TransportParameters(decoding: Self.mandatory + bytes) == nil)
    }

    @Test func withoutVersionsOrSuitesThereIsNothingToAgreeOn() {
        #expect(TransportParameters(decoding: []) == nil)
        #expect(TransportParameters(decoding: [7, 1, 2]) == nil)
        #expect(TransportParameters(decoding: [8, 1, 1]) == nil)
        #expect(TransportParameters(decoding: [7, 0, 8, 1, 1]) == nil)
        #expect(TransportParameters(decoding: [7, 33] + [UInt8](repeating: 2, count: 33) + [8, 1, 1]) == nil)
    }
}
