/// The bytes being decoded, and the only code that indexes them.
struct CBORInput {
    let bytes: ArraySlice<UInt8>
    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    struct Head {
        var major: UInt8
        /// The low five bits, which tell floats and simple values apart.
        var info: UInt8
        var argument: UInt64
        /// Where the content begins.
        var next: Int
    }

    func corrupt(_ reason: String, _ path: [any CodingKey] = []) -> DecodingError {
        .dataCorrupted(.init(codingPath: path, debugDescription: "CBOR: \(reason)"))
    }

    func head(at index: Int) throws -> Head {
        guard index >= bytes.startIndex, index < bytes.endIndex else { throw corrupt("ends early") }
        let first = bytes[index]
        let (major, info) = (first >> 5, first & 31)
        if info < 24 { return Head(major: major, info: info, argument: UInt64(info), next: index + 1) }
        guard info < 28 else { throw corrupt("indefinite or reserved length") }
        let count = 1 << Int(info - 24)
        guard bytes.endIndex - index > count else { throw corrupt("ends early") }
        var argument: UInt64 = 0
        for offset in 1...count { argument = argument << 8 | UInt64(bytes[index + offset]) }
        if major != 7 {
            let least: UInt64 = switch info { case 24: 24; case 25: 0x100; case 26: 0x1_0000; default: 0x1_0000_0000 }
            guard argument >= least else { throw corrupt("a number is longer than it must be") }
        }
        return Head(major: major, info: info, argument: argument, next: index + 1 + count)
    }

    /// The end of the item at `index`, checked throughout.
    func skip(at index: Int, depth: Int) throws -> Int {
        guard depth <= CBOR.maximumDepth else { throw corrupt("nested deeper than \(CBOR.maximumDepth)") }
        let head = try head(at: index)
        let left = UInt64(bytes.endIndex - head.next)
        switch head.major {
        case 0, 1: return head.next
        case 2, 3:
            guard head.argument <= left else { throw corrupt("a string is longer than its input") }
            return head.next + Int(head.argument)
        case 4:
            guard head.argument <= left else { throw corrupt("an array is longer than its input") }
            var next = head.next
            for _ in 0..<head.argument { next = try skip(at: next, depth: depth + 1) }
            return next
        case 5:
            guard head.argument <= left / 2 else { throw corrupt("a map is longer than its input") }
            var next = head.next
            var previous = 0..<0
            for _ in 0..<head.argument {
                let key = next..<(try skip(at: next, depth: depth + 1))
                if !previous.isEmpty, !bytes[previous].lexicographicallyPrecedes(bytes[key]) {
                    throw corrupt("map keys are out of order or repeated")
                }
                previous = key
                next = try skip(at: key.upperBound, depth: depth + 1)
            }
            return next
        case 7:
            switch head.info {
            case 20, 21, 22, 25, 26, 27: return head.next
            default: throw corrupt("unknown simple value")
            }
        default: throw corrupt("tags are not used here")
        }
    }
}

struct CBORDecoding: Decoder {
    let input: CBORInput
    let index: Int
    let depth: Int
    let codingPath: [any CodingKey]
    var userInfo: [CodingUserInfoKey: Any] { [:] }  // lookup only

    func mismatch(_ type: Any.Type, _ reason: String) -> DecodingError {
        .typeMismatch(type, .init(codingPath: codingPath, debugDescription: reason))
    }

    var isNull: Bool { index < input.bytes.endIndex && input.bytes[index] == 0xF6 }

    func bool() throws -> Bool {
        let head = try input.head(at: index)
        guard head.major == 7, head.info == 20 || head.info == 21 else { throw mismatch(Bool.self, "expected a boolean") }
        return head.info == 21
    }

    func text() throws -> String {
        let content = try content(major: 3, String.self, "expected text")
        guard let text = String(validating: input.bytes[content], as: UTF8.self) else {
            throw input.corrupt("text is not UTF-8", codingPath)
        }
        return text
    }

    func byteString() throws -> [UInt8] {
        if try input.head(at: index).major == 4 {
            var elements = try unkeyedContainer()
            var bytes: [UInt8] = []
            while !elements.isAtEnd { bytes.append(try elements.decode(UInt8.self)) }
            return bytes
        }
        return Array(input.bytes[try content(major: 2, [UInt8].self, "expected bytes")])
    }

    private func content(major: UInt8, _ type: Any.Type, _ reason: String) throws -> Range<Int> {
        let head = try input.head(at: index)
        guard head.major == major else { throw mismatch(type, reason) }
        guard head.argument <= UInt64(input.bytes.endIndex - head.next) else { throw input.corrupt("ends early", codingPath) }
        return head.next..<(head.next + Int(head.argument))
    }

    func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        let head = try input.head(at: index)
        switch head.major {
        case 0: if let value = T(exactly: head.argument) { return value }
        case 1:
            // -1 - argument: the smallest Int64 is the lowest that any of our types holds.
            if head.argument <= UInt64(Int64.max), let value = T(exactly: ~Int64(head.argument)) { return value }
        default: throw mismatch(type, "expected an integer")
        }
        throw input.corrupt("a number does not fit \(type)", codingPath)
    }

    func double() throws -> Double {
        let head = try input.head(at: index)
        switch (head.major, head.info) {
        case (0, _): return Double(head.argument)
        case (1, _): return -1 - Double(head.argument)
        case (7, 25): return Self.half(UInt16(truncatingIfNeeded: head.argument))
        case (7, 26): return Double(Float(bitPattern: UInt32(truncatingIfNeeded: head.argument)))
        case (7, 27): return Double(bitPattern: head.argument)
        default: throw mismatch(Double.self, "expected a number")
        }
    }

    /// RFC 8949 appendix D.
    private static func half(_ bits: UInt16) -> Double {
        let exponent = Int(bits >> 10 & 31)
        let fraction = Double(bits & 0x3FF)
        let value: Double = switch exponent {
        case 0: fraction * 0x1p-24
        case 31: fraction == 0 ? .infinity : .nan
        default: (fraction + 1024) * Double(sign: .plus, exponent: exponent - 25, significand: 1)
        }
        return bits & 0x8000 == 0 ? value : -value
    }

    func value<T: Decodable>(_ type: T.Type) throws -> T {
        if T.self == ByteString.self, let value = ByteString(try byteString()) as? T { return value }
        if T.self == String.self, let value = try text() as? T { return value }
        if T.self == [UInt8].self, let value = try byteString() as? T { return value }
        if T.self == Int.self, let value = try integer(Int.self) as? T { return value }
        return try T(from: self)
    }

    func at(_ index: Int, _ key: (any CodingKey)?) -> CBORDecoding {
        CBORDecoding(input: input, index: index, depth: depth + 1, codingPath: key.map { codingPath + [$0] } ?? codingPath)
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(try CBORKeyedDecoding<Key>(self))
    }
    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { try CBORUnkeyedDecoding(self) }
    func singleValueContainer() throws -> any SingleValueDecodingContainer { CBORSingleDecoding(decoder: self) }
}

struct CBORSingleDecoding: SingleValueDecodingContainer {
    let decoder: CBORDecoding
    var codingPath: [any CodingKey] { decoder.codingPath }

    func decodeNil() -> Bool { decoder.isNull }
    func decode(_ type: Bool.Type) throws -> Bool { try decoder.bool() }
    func decode(_ type: String.Type) throws -> String { try decoder.text() }
    func decode(_ type: Double.Type) throws -> Double { try decoder.double() }
    func decode(_ type: Float.Type) throws -> Float { Float(try decoder.double()) }
    func decode(_ type: Int.Type) throws -> Int { try decoder.integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try decoder.integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try decoder.integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try decoder.integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try decoder.integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try decoder.integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try decoder.integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try decoder.integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try decoder.integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try decoder.integer(type) }
    func decode<T: Decodable>(_ type: T.Type) throws -> T { try decoder.value(type) }
}

struct CBORUnkeyedDecoding: UnkeyedDecodingContainer {
    private let decoder: CBORDecoding
    private var index: Int
    let total: Int
    private(set) var currentIndex = 0

    init(_ decoder: CBORDecoding) throws {
        let head = try decoder.input.head(at: decoder.index)
        guard head.major == 4 else { throw decoder.mismatch([Any].self, "expected an array") }
        guard head.argument <= UInt64(decoder.input.bytes.count) else { throw decoder.input.corrupt("ends early", decoder.codingPath) }
        (self.decoder, index, total) = (decoder, head.next, Int(head.argument))
    }

    var codingPath: [any CodingKey] { decoder.codingPath }
    var count: Int? { total }
    var isAtEnd: Bool { currentIndex >= total }

    private mutating func next() throws -> CBORDecoding {
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(Any.self, .init(codingPath: codingPath, debugDescription: "the array has no more elements"))
        }
        let element = decoder.at(index, nil)
        index = try decoder.input.skip(at: index, depth: decoder.depth + 1)
        currentIndex += 1
        return element
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd, decoder.at(index, nil).isNull else { return false }
        _ = try next()
        return true
    }
    mutating func decode(_ type: Bool.Type) throws -> Bool { try next().bool() }
    mutating func decode(_ type: String.Type) throws -> String { try next().text() }
    mutating func decode(_ type: Double.Type) throws -> Double { try next().double() }
    mutating func decode(_ type: Int.Type) throws -> Int { try next().integer(type) }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try next().integer(type) }
    mutating func decode<T: Decodable>(_ type: T.Type) throws -> T { try next().value(type) }
    mutating func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        try next().container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try next().unkeyedContainer() }
    mutating func superDecoder() throws -> any Decoder { try next() }
}

struct CBORKeyedDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
    private let decoder: CBORDecoding
    private let pairs: [(key: Int, value: Int)]

    init(_ decoder: CBORDecoding) throws {
        let input = decoder.input
        let head = try input.head(at: decoder.index)
        guard head.major == 5 else { throw decoder.mismatch(Any.self, "expected a map") }
        var pairs: [(key: Int, value: Int)] = []
        pairs.reserveCapacity(Int(min(head.argument, 64)))
        var next = head.next
        for _ in 0..<head.argument {
            let value = try input.skip(at: next, depth: decoder.depth + 1)
            pairs.append((next, value))
            next = try input.skip(at: value, depth: decoder.depth + 1)
        }
        (self.decoder, self.pairs) = (decoder, pairs)
    }

    var codingPath: [any CodingKey] { decoder.codingPath }

    var allKeys: [Key] {
        pairs.compactMap { pair in
            let item = decoder.at(pair.key, nil)
            if let text = try? item.text() { return Key(stringValue: text) }
            if let number = try? item.integer(Int.self) { return Key(intValue: number) }
            return nil
        }
    }

    /// Keys are sorted by their encoding, so a binary search finds one.
    private func find(_ key: some CodingKey) -> Int? {
        var wanted: [UInt8] = []
        CBOREncoding.key(key, to: &wanted)
        var low = 0
        var high = pairs.count
        while low < high {
            let middle = (low + high) / 2
            let held = decoder.input.bytes[pairs[middle].key..<pairs[middle].value]
            if held.elementsEqual(wanted) { return pairs[middle].value }
            if held.lexicographicallyPrecedes(wanted) { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    private func item(_ key: some CodingKey) throws -> CBORDecoding {
        guard let index = find(key) else {
            throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: "missing field \(key.stringValue)"))
        }
        return decoder.at(index, key)
    }

    func contains(_ key: Key) -> Bool { find(key) != nil }
    func decodeNil(forKey key: Key) throws -> Bool { try item(key).isNull }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try item(key).bool() }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try item(key).text() }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try item(key).double() }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try item(key).integer(type) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try item(key).integer(type) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try item(key).integer(type) }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try item(key).value(type) }
    func nestedContainer<K: CodingKey>(keyedBy type: K.Type, forKey key: Key) throws -> KeyedDecodingContainer<K> {
        try item(key).container(keyedBy: type)
    }
    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try item(key).unkeyedContainer() }
    func superDecoder() throws -> any Decoder { try item(SuperKey()) }
    func superDecoder(forKey key: Key) throws -> any Decoder { try item(key) }
}
