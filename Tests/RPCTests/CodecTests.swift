import MastRPC
import MastTimebase
import Testing

private struct Everything: Codable, Equatable, Sendable {
    var text = "grün"
    var small = -1
    var large = UInt64.max
    var least = Int64.min
    var real = 1.5
    var single: Float = -2.25
    var yes = true
    var bytes = ByteString([0, 255])
    var raw: [UInt8] = [1, 2, 3]
    var list = [1, 1000, 100_000]
    var nested = [["a"], []]
    var none: Int?
    var some: Int? = 5
    var table = ["b": 1, "a": 2, "": 3]
    var numbered = [10: "x", -1: "y"]
    var set: Set<String> = ["z", "y", "x"]
    var shape = Shape.circle(radius: 2)
    var kind = Kind.second
    enum Shape: Codable, Equatable, Sendable { case circle(radius: Int), empty }
    enum Kind: String, Codable, Sendable { case first, second }
}

@Suite struct CodecTests {
    @Test func everyShapeOfValueSurvivesTheRoundTrip() throws {
        let bytes = try CBOR.encode(Everything())
        #expect(try CBOR.decode(Everything.self, from: bytes) == Everything())
    }

    @Test func valuesHaveTheEncodingsOfTheStandard() throws {
        // RFC 8949 appendix A.
        func hex(_ value: some Encodable) throws -> String {
            try CBOR.encode(value).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        }
        #expect(try hex(23) == "17")
        #expect(try hex(24) == "1818")
        #expect(try hex(1_000_000_000_000) == "1b000000e8d4a51000")
        #expect(try hex(-1000) == "3903e7")
        #expect(try hex(UInt64.max) == "1bffffffffffffffff")
        #expect(try hex(1.1) == "fb3ff199999999999a")
        #expect(try hex([1, 2, 3]) == "83010203")
        #expect(try hex(ByteString([1, 2, 3, 4])) == "4401020304")
        #expect(try hex("水") == "63e6b0b4")
        #expect(try hex(["b": 2, "a": 1]) == "a2616101616202")
        #expect(try hex(Int?.none) == "f6")
        #expect(try hex(true) == "f5")
    }

    @Test func equalSetsAndTablesHaveEqualBytesWhateverTheirHashing() throws {
        let words = (0..<200).map { "w\($0)" }
        #expect(try CBOR.encode(Set(words)) == CBOR.encode(Set(words.reversed())))
        let table = Dictionary(uniqueKeysWithValues: words.map { ($0, $0.count) })
        let other = Dictionary(uniqueKeysWithValues: words.reversed().map { ($0, $0.count) })
        #expect(try CBOR.encode(table) == CBOR.encode(other))
        #expect(try CBOR.decode([String: Int].self, from: CBOR.encode(table)) == table)
    }

    @Test(arguments: [
        [], [0xFF], [0x1F], [0x18], [0x18, 0x05], [0x61], [0x9B, 255, 255, 255, 255, 255, 255, 255, 255], [0x5B, 127, 255, 255, 255, 255, 255, 255, 255],
        [0xA2, 0x61, 0x62, 1, 0x61, 0x61, 2], [0xA2, 0x61, 0x61, 1, 0x61, 0x61, 2], [0x81], [0xC0, 0x01], [0x9F, 0xFF], [1, 1], [0x61, 0xFF],
    ] as [[UInt8]])
    func malformedBytesAreRefused(bytes: [UInt8]) {
        #expect(throws: (any Error).self) { try CBOR.decode([String: Int].self, from: bytes) }
        #expect(throws: (any Error).self) { try CBOR.decode(String.self, from: bytes) }
    }

    @Test func deepNestingIsRefusedOnBothSides() {
        struct Chain: Codable { var next: [Chain] }
        var chain = Chain(next: [])
        for _ in 0..<100 { chain = Chain(next: [chain]) }
        #expect(throws: (any Error).self) { try CBOR.encode(chain) }
        #expect(throws: (any Error).self) {
            try CBOR.decode(Chain.self, from: [UInt8](repeating: 0x81, count: 1_000_000) + [0x80])
        }
    }

    @Test func randomAndMutatedBytesNeverTrap() throws {
        var chance = SeededGenerator(seed: 4, stream: "garbage")
        let sound = try CBOR.encode(Everything())
        var accepted = 0
        for round in 0..<20_000 {
            var bytes: [UInt8]
            if round % 2 == 0 {
                bytes = (0..<Int(chance.next(below: 40))).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
            } else {
                bytes = sound
                for _ in 0...chance.next(below: 3) {
                    bytes[Int(chance.next(below: UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: chance.next())
                }
                bytes = Array(bytes.prefix(Int(chance.next(below: UInt64(bytes.count + 40)))))
            }
            if (try? CBOR.decode(Everything.self, from: bytes)) != nil { accepted += 1 }
            _ = try? CBOR.decode([Everything].self, from: bytes)
        }
        #expect(accepted < 10_000)
    }

    @Test func base64HasTheStandardsExamples() {
        // RFC 4648 section 10.
        for (text, code) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            #expect(ByteString(text).base64 == code)
            #expect(ByteString(base64: code) == ByteString(text))
        }
        #expect(ByteString(base64: "Z") == nil)
        #expect(ByteString(base64: "Zg==Zg") == nil)
        #expect(ByteString(base64: "Z!") == nil)
    }
}
