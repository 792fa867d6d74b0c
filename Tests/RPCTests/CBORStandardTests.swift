import MastRPC
import Testing

/// RFC 8949, example by example and bound by bound.
@Suite struct `CBOR of the standard` {
    private func bytes(_ hex: String) -> [UInt8] {
        stride(from: 0, to: hex.utf8.count, by: 2).compactMap { UInt8(hex.dropFirst($0).prefix(2), radix: 16) }
    }
    private func decoded<T: Decodable>(_ type: T.Type, _ hex: String) -> T? { try? CBOR.decode(type, from: bytes(hex)) }
    private func coded<T: Codable & Equatable>(_ value: T, _ hex: String) -> Bool { (try? CBOR.encode(value)) == bytes(hex) && decoded(T.self, hex) == value }

    @Test func `Integers have the shortest head, and no other`() {
        let rows: [(value: Int64, hex: String)] = [
            (0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (65_535, "19ffff"), (65_536, "1a00010000"), (4_294_967_295, "1affffffff"),
            (4_294_967_296, "1b0000000100000000"), (.max, "1b7fffffffffffffff"), (-1, "20"), (-24, "37"), (-25, "3818"), (-256, "38ff"), (-257, "390100"), (-65_536, "39ffff"),
            (-65_537, "3a00010000"), (-4_294_967_297, "3b0000000100000000"), (.min, "3b7fffffffffffffff"),
        ]
        for row in rows { #expect(coded(row.value, row.hex), "\(row.value)") }
        #expect(coded(UInt64.max, "1bffffffffffffffff"))
        for longer in ["1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "3900ff", "1c", "1d", "1e", "1f", "18", "19ff", "1affffff", "1bffffffffffffff"] {
            #expect(decoded(Int64.self, longer) == nil, "\(longer)")
        }
        // -2^63 - 1 fits nothing here.
        #expect(decoded(Int64.self, "3b8000000000000000") == nil && decoded(Int64.self, "1b8000000000000000") == nil && decoded(UInt64.self, "20") == nil)
    }

    @Test func `Every integer type has its own bounds`() {
        #expect(coded(Int8.max, "187f") && coded(Int8.min, "387f") && decoded(Int8.self, "1880") == nil && decoded(Int8.self, "3880") == nil)
        #expect(coded(UInt8.max, "18ff") && decoded(UInt8.self, "190100") == nil && coded(Int16.max, "197fff") && decoded(Int16.self, "198000") == nil)
        #expect(coded(UInt16.max, "19ffff") && decoded(UInt16.self, "1a00010000") == nil && coded(Int32.min, "3a7fffffff") && decoded(Int32.self, "3a80000000") == nil)
        #expect(coded(UInt32.max, "1affffffff") && coded(UInt.max, "1bffffffffffffffff") && coded(Int.min, "3b7fffffffffffffff"))
    }

    @Test func `Numbers with a fraction are written in 64 or 32 bits and read in 16 too`() {
        #expect(coded(1.1, "fb3ff199999999999a") && coded(-4.1, "fbc010666666666666") && coded(Float(100_000), "fa47c35000") && coded(3.4028234663852886e+38, "fb47efffffe0000000"))
        let halves: [(hex: String, value: Double)] = [
            ("f90000", 0), ("f93c00", 1), ("f93e00", 1.5), ("f97bff", 65_504), ("f90001", 5.960464477539063e-8), ("f90400", 0.00006103515625), ("f9c400", -4), ("f97c00", .infinity),
            ("f9fc00", -.infinity), ("f903ff", 0.00006097555160522461), ("fa47c35000", 100_000), ("fa7f7fffff", 3.4028234663852886e+38), ("05", 5), ("24", -5), ("1bffffffffffffffff", 18_446_744_073_709_551_616),
        ]
        for row in halves { #expect(decoded(Double.self, row.hex) == row.value, "\(row.hex)") }
        #expect(decoded(Double.self, "f97e00")?.isNaN == true && decoded(Double.self, "f98000")?.sign == .minus && decoded(Double.self, "f5") == nil && decoded(Double.self, "6131") == nil)
    }

    @Test func `Simple values, strings and arrays`() {
        #expect(coded(true, "f5") && coded(false, "f4") && coded(Int?.none, "f6") && coded(Int?.some(1), "01") && coded("", "60") && coded("IETF", "6449455446") && coded("\u{fc}", "62c3bc"))
        #expect(coded([Int](), "80") && coded([[1], []], "82810180") && coded([Int?.none, 2], "82f602") && coded(["a": [1]], "a161618101") && coded([Int: String](), "a0"))
        #expect(coded([true, false], "82f5f4") && coded(["a", "b"], "8261616162") && coded([1.5], "81fb3ff8000000000000") && coded(Array(1...25), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"))
        for wrong in ["f7", "e0", "f0", "f8ff", "f6f6", "c001", "00"] { #expect(decoded(Bool.self, wrong) == nil, "\(wrong)") }
        // UTF-8 that is none, and strings that end early.
        for wrong in ["61ff", "62c328", "6261", "4161", "7818"] { #expect(decoded(String.self, wrong) == nil, "\(wrong)") }
        for wrong in ["4301", "6161", "5818"] { #expect(decoded(ByteString.self, wrong) == nil, "\(wrong)") }
        #expect(coded(ByteString([]), "40") && coded([UInt8](arrayLiteral: 1, 2), "420102") && coded(ByteString([UInt8](repeating: 7, count: 24)), "5818" + String(repeating: "07", count: 24)))
        for wrong in ["8301", "810102", "9801", "a10102", "01"] { #expect(decoded([Int].self, wrong) == nil, "\(wrong)") }
    }

    private struct Point: Codable, Equatable {
        var x: Int
        var y: Int?
        var name: String?
        var on: Bool?
        var part: Double?
        var big: UInt64?
        var small: Int64?
    }

    @Test func `Fields are found by name, in order of their bytes, and a repeated or misplaced one is refused`() {
        #expect(coded(Point(x: 1), "a1617801") && coded(Point(x: 1, y: 2), "a26178016179" + "02"))
        #expect(coded(Point(x: -1, y: 2, name: "n", on: true, part: 0.5, big: .max, small: .min), "a7617820617902" + "626f6ef5" + "636269671bffffffffffffffff" + "646e616d65616e" + "6470617274fb3fe0000000000000" + "65736d616c6c3b7fffffffffffffff"))
        #expect(decoded(Point.self, "a26178016179f6") == Point(x: 1) && decoded(Point.self, "a1617902") == nil && decoded(Point.self, "a0") == nil && decoded(Point.self, "80") == nil)
        for wrong in ["a2617902617801", "a2617801617802", "a16178", "a261780161", "a3617801617902"] { #expect(decoded(Point.self, wrong) == nil, "\(wrong)") }
        // What is not known is passed over, whatever it holds.
        #expect(decoded(Point.self, "a2617801" + "617a" + "83a0f640") == Point(x: 1))
    }

    private class Base: Codable {
        var a = 1
        init() {}
        required init(from decoder: any Decoder) throws { a = try decoder.container(keyedBy: Keys.self).decode(Int.self, forKey: .a) }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            try container.encode(a, forKey: .a)
        }
        enum Keys: String, CodingKey { case a, b, c, d, e }
    }

    /// All that a hand-written `Codable` may ask for.
    private final class Derived: Base {
        var list = [1, 2]
        var more = ["x": 3]
        var none: Int?
        override init() { super.init() }
        required init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Keys.self)
            var items = try container.nestedUnkeyedContainer(forKey: .b)
            var found: [Int] = []
            while !items.isAtEnd {
                if try items.decodeNil() { continue }
                found.append(try items.decode(Int.self))
            }
            #expect(items.count == 3 && items.currentIndex == 3 && (try? items.decode(Int.self)) == nil)
            let inner = try container.nestedContainer(keyedBy: Keys.self, forKey: .c)
            #expect(inner.allKeys.map(\.rawValue) == ["a", "d"] && inner.contains(.a) && !inner.contains(.b))
            more = ["x": try inner.decode(Int.self, forKey: .a)]
            #expect(try inner.decodeNil(forKey: .d))
            var rows = try container.nestedUnkeyedContainer(forKey: .d)
            var first = try rows.nestedUnkeyedContainer()
            #expect(try first.decode(String.self) == "r" && first.decode(Bool.self) && first.decode(Double.self) == 0.5 && first.decode(UInt8.self) == 9)
            #expect(try rows.nestedContainer(keyedBy: Keys.self).decode(Int64.self, forKey: .e) == 7)
            #expect(try Base(from: rows.superDecoder()).a == 5)
            #expect(try Base(from: container.superDecoder(forKey: .e)).a == 6)
            try super.init(from: container.superDecoder())
            list = found
        }
        override func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Keys.self)
            var items = container.nestedUnkeyedContainer(forKey: .b)
            try items.encode(list[0])
            try items.encodeNil()
            try items.encode(list[1])
            #expect(items.count == 3)
            var inner = container.nestedContainer(keyedBy: Keys.self, forKey: .c)
            try inner.encode(more["x"] ?? 0, forKey: .a)
            try inner.encodeNil(forKey: .d)
            var rows = container.nestedUnkeyedContainer(forKey: .d)
            var first = rows.nestedUnkeyedContainer()
            try first.encode("r")
            try first.encode(true)
            try first.encode(0.5)
            try first.encode(UInt8(9))
            var second = rows.nestedContainer(keyedBy: Keys.self)
            try second.encode(Int64(7), forKey: .e)
            let other = Base()
            other.a = 5
            try other.encode(to: rows.superEncoder())
            other.a = 6
            try other.encode(to: container.superEncoder(forKey: .e))
            try super.encode(to: container.superEncoder())
        }
    }

    @Test func `What asks for containers by hand is put together in order`() throws {
        let value = Derived()
        (value.a, value.list, value.more) = (4, [8, 9], ["x": 3])
        let encoded = try CBOR.encode(value)
        let hex = encoded.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        let rows = "83" + "846172f5fb3fe0000000000000" + "09" + "a1616507" + "a1616105"
        #expect(hex == "a5" + "6162" + "8308f609" + "6163" + "a26161036164f6" + "6164" + rows + "6165" + "a1616106" + "657375706572" + "a1616104")
        let read = try CBOR.decode(Derived.self, from: encoded)
        #expect(read.a == 4 && read.list == [8, 9] && read.more == ["x": 3])
    }

    @Test func `Nesting ends at 32, and a key twice is refused`() {
        func nest(_ depth: Int) -> [UInt8] { [UInt8](repeating: 0x81, count: depth) + [0x80] }
        struct Chain: Codable { var next: [Chain] = []
            init(_ depth: Int) { if depth > 0 { next = [Chain(depth - 1)] } }
            init(from decoder: any Decoder) throws { next = try decoder.singleValueContainer().decode([Chain].self) }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.singleValueContainer()
                try container.encode(next)
            }
        }
        #expect((try? CBOR.decode(Chain.self, from: nest(32))) != nil && (try? CBOR.decode(Chain.self, from: nest(33))) == nil)
        struct Twice: Encodable {
            enum Keys: String, CodingKey { case a }
            func encode(to encoder: any Encoder) throws {
                var container = encoder.container(keyedBy: Keys.self)
                try container.encode(1, forKey: .a)
                try container.encode(2, forKey: .a)
            }
        }
        #expect(throws: EncodingError.self) { try CBOR.encode(Twice()) }
        struct Nothing: Codable, Equatable {}
        #expect(coded(Nothing(), "a0"))
    }
}
