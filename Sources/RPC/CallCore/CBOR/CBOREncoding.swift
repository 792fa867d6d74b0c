/// One item under construction. Containers that Swift hands out for nested items keep a node each and are put
/// in place at the end; everything else is written straight into `bytes`.
final class CBORNode {
    enum Shape { case empty, scalar, array, map }

    var shape = Shape.empty
    var bytes: [UInt8] = []
    /// Where each element (array) or key-value pair (map) lies in `bytes`.
    var entries: [(start: Int, valueStart: Int, end: Int)] = []
    var nested: [(entry: Int, node: CBORNode)] = []
    /// Sort the elements in groups of this many; 0 keeps their order.
    var sortGroup = 0
    let depth: Int

    init(depth: Int) { self.depth = depth }

    func append(to output: inout [UInt8]) throws {
        switch shape {
        case .empty: CBOREncoding.head(5, 0, to: &output)  // a type that encodes nothing is an empty map
        case .scalar: output.append(contentsOf: bytes)
        case .array: try appendArray(to: &output)
        case .map: try appendMap(to: &output)
        }
    }

    private func appendArray(to output: inout [UInt8]) throws {
        CBOREncoding.head(4, UInt64(entries.count), to: &output)
        if nested.isEmpty, sortGroup == 0 {
            output.append(contentsOf: bytes)
            return
        }
        let chunks = try chunks()
        guard sortGroup > 0, chunks.count % sortGroup == 0 else {
            for chunk in chunks { output.append(contentsOf: chunk) }
            return
        }
        let groups = stride(from: 0, to: chunks.count, by: sortGroup).map { Array(chunks[$0..<($0 + sortGroup)].joined()) }
        for group in groups.sorted(by: { $0.lexicographicallyPrecedes($1) }) { output.append(contentsOf: group) }
    }

    private func appendMap(to output: inout [UInt8]) throws {
        CBOREncoding.head(5, UInt64(entries.count), to: &output)
        let order = entries.indices.sorted { precedes(entries[$0], entries[$1]) }
        for (a, b) in zip(order, order.dropFirst()) where !precedes(entries[a], entries[b]) {
            throw EncodingError.invalidValue(0, .init(codingPath: [], debugDescription: "a key was encoded twice"))
        }
        if nested.isEmpty {
            for index in order { output.append(contentsOf: bytes[entries[index].start..<entries[index].end]) }
            return
        }
        let chunks = try chunks()
        for index in order { output.append(contentsOf: chunks[index]) }
    }

    private func precedes(_ a: (start: Int, valueStart: Int, end: Int), _ b: (start: Int, valueStart: Int, end: Int)) -> Bool {
        bytes[a.start..<a.valueStart].lexicographicallyPrecedes(bytes[b.start..<b.valueStart])
    }

    private func chunks() throws -> [[UInt8]] {
        var chunks = entries.map { Array(bytes[$0.start..<$0.end]) }
        for (entry, node) in nested { try node.append(to: &chunks[entry]) }
        return chunks
    }
}

struct CBOREncoding: Encoder {
    let node: CBORNode
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }  // lookup only

    static func head(_ major: UInt8, _ argument: UInt64, to bytes: inout [UInt8]) {
        let type = major << 5
        switch argument {
        case 0..<24: bytes.append(type | UInt8(argument))
        case 24..<0x100:
            bytes.append(type | 24)
            bytes.append(UInt8(argument))
        case 0x100..<0x1_0000: bigEndian(UInt64(argument), 2, type | 25, to: &bytes)
        case 0x1_0000..<0x1_0000_0000: bigEndian(argument, 4, type | 26, to: &bytes)
        default: bigEndian(argument, 8, type | 27, to: &bytes)
        }
    }

    private static func bigEndian(_ value: UInt64, _ count: Int, _ first: UInt8, to bytes: inout [UInt8]) {
        bytes.append(first)
        var shift = UInt64(count * 8)
        while shift > 0 {
            shift -= 8
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    static func text(_ value: String, to bytes: inout [UInt8]) {
        var value = value
        value.withUTF8 { utf8 in
            head(3, UInt64(utf8.count), to: &bytes)
            bytes.append(contentsOf: utf8)
        }
    }
    static func byteString(_ value: [UInt8], to bytes: inout [UInt8]) {
        // The whole message, most often.
        if bytes.isEmpty { bytes.reserveCapacity(value.count + 9) }
        head(2, UInt64(value.count), to: &bytes)
        bytes.append(contentsOf: value)
    }
    static func integer(_ value: Int64, to bytes: inout [UInt8]) {
        if value >= 0 { head(0, UInt64(value), to: &bytes) } else { head(1, UInt64(bitPattern: ~value), to: &bytes) }
    }
    static func double(_ value: Double, to bytes: inout [UInt8]) { bigEndian(value.bitPattern, 8, 0xFB, to: &bytes) }
    static func float(_ value: Float, to bytes: inout [UInt8]) { bigEndian(UInt64(value.bitPattern), 4, 0xFA, to: &bytes) }
    static func bool(_ value: Bool, to bytes: inout [UInt8]) { bytes.append(value ? 0xF5 : 0xF4) }
    static func null(to bytes: inout [UInt8]) { bytes.append(0xF6) }

    static func key(_ key: some CodingKey, to bytes: inout [UInt8]) {
        if let number = key.intValue { integer(Int64(number), to: &bytes) } else { text(key.stringValue, to: &bytes) }
    }

    static func append<T: Encodable>(_ value: T, to bytes: inout [UInt8], depth: Int) throws {
        if T.self == String.self, let value = value as? String { return text(value, to: &bytes) }
        if T.self == ByteString.self, let value = value as? ByteString { return byteString(value.bytes, to: &bytes) }
        if T.self == [UInt8].self, let value = value as? [UInt8] { return byteString(value, to: &bytes) }
        if T.self == Int.self, let value = value as? Int { return integer(Int64(value), to: &bytes) }
        if T.self == Double.self, let value = value as? Double { return double(value, to: &bytes) }
        guard depth < CBOR.maximumDepth else {
            throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "nested deeper than \(CBOR.maximumDepth)"))
        }
        let node = CBORNode(depth: depth + 1)
        if let type = T.self as? any UnorderedCollection.Type { node.sortGroup = type.itemsPerElement }
        try value.encode(to: CBOREncoding(node: node))
        try node.append(to: &bytes)
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        node.shape = .map
        return KeyedEncodingContainer(CBORKeyedEncoding<Key>(node: node))
    }
    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        node.shape = .array
        return CBORUnkeyedEncoding(node: node)
    }
    func singleValueContainer() -> any SingleValueEncodingContainer {
        node.shape = .scalar
        return CBORSingleEncoding(node: node)
    }
}

struct CBORSingleEncoding: SingleValueEncodingContainer {
    let node: CBORNode
    var codingPath: [any CodingKey] { [] }

    mutating func encodeNil() { CBOREncoding.null(to: &node.bytes) }
    mutating func encode(_ value: Bool) { CBOREncoding.bool(value, to: &node.bytes) }
    mutating func encode(_ value: String) { CBOREncoding.text(value, to: &node.bytes) }
    mutating func encode(_ value: Double) { CBOREncoding.double(value, to: &node.bytes) }
    mutating func encode(_ value: Float) { CBOREncoding.float(value, to: &node.bytes) }
    mutating func encode(_ value: Int) { CBOREncoding.integer(Int64(value), to: &node.bytes) }
    mutating func encode(_ value: Int8) { CBOREncoding.integer(Int64(value), to: &node.bytes) }
    mutating func encode(_ value: Int16) { CBOREncoding.integer(Int64(value), to: &node.bytes) }
    mutating func encode(_ value: Int32) { CBOREncoding.integer(Int64(value), to: &node.bytes) }
    mutating func encode(_ value: Int64) { CBOREncoding.integer(value, to: &node.bytes) }
    mutating func encode(_ value: UInt) { CBOREncoding.head(0, UInt64(value), to: &node.bytes) }
    mutating func encode(_ value: UInt8) { CBOREncoding.head(0, UInt64(value), to: &node.bytes) }
    mutating func encode(_ value: UInt16) { CBOREncoding.head(0, UInt64(value), to: &node.bytes) }
    mutating func encode(_ value: UInt32) { CBOREncoding.head(0, UInt64(value), to: &node.bytes) }
    mutating func encode(_ value: UInt64) { CBOREncoding.head(0, value, to: &node.bytes) }
    mutating func encode<T: Encodable>(_ value: T) throws { try CBOREncoding.append(value, to: &node.bytes, depth: node.depth) }
}

struct CBORUnkeyedEncoding: UnkeyedEncodingContainer {
    let node: CBORNode
    var codingPath: [any CodingKey] { [] }
    var count: Int { node.entries.count }

    private func element(_ write: (inout [UInt8]) throws -> Void) rethrows {
        let start = node.bytes.count
        try write(&node.bytes)
        node.entries.append((start, start, node.bytes.count))
    }
    private func child() -> CBORNode {
        let child = CBORNode(depth: node.depth + 1)
        node.nested.append((node.entries.count, child))
        element { _ in }
        return child
    }

    mutating func encodeNil() { element { CBOREncoding.null(to: &$0) } }
    mutating func encode<T: Encodable>(_ value: T) throws {
        try element { try CBOREncoding.append(value, to: &$0, depth: node.depth) }
    }
    mutating func nestedContainer<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        CBOREncoding(node: child()).container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { CBOREncoding(node: child()).unkeyedContainer() }
    mutating func superEncoder() -> any Encoder { CBOREncoding(node: child()) }
}

struct CBORKeyedEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let node: CBORNode
    var codingPath: [any CodingKey] { [] }

    private func pair(_ key: some CodingKey, _ write: (inout [UInt8]) throws -> Void) rethrows {
        let start = node.bytes.count
        CBOREncoding.key(key, to: &node.bytes)
        let valueStart = node.bytes.count
        try write(&node.bytes)
        node.entries.append((start, valueStart, node.bytes.count))
    }
    private func child(_ key: some CodingKey) -> CBORNode {
        let child = CBORNode(depth: node.depth + 1)
        node.nested.append((node.entries.count, child))
        pair(key) { _ in }
        return child
    }

    mutating func encodeNil(forKey key: Key) { pair(key) { CBOREncoding.null(to: &$0) } }
    mutating func encode(_ value: Bool, forKey key: Key) { pair(key) { CBOREncoding.bool(value, to: &$0) } }
    mutating func encode(_ value: String, forKey key: Key) { pair(key) { CBOREncoding.text(value, to: &$0) } }
    mutating func encode(_ value: Double, forKey key: Key) { pair(key) { CBOREncoding.double(value, to: &$0) } }
    mutating func encode(_ value: Int, forKey key: Key) { pair(key) { CBOREncoding.integer(Int64(value), to: &$0) } }
    mutating func encode(_ value: Int64, forKey key: Key) { pair(key) { CBOREncoding.integer(value, to: &$0) } }
    mutating func encode(_ value: UInt64, forKey key: Key) { pair(key) { CBOREncoding.head(0, value, to: &$0) } }
    mutating func encode<T: Encodable>(_ value: T, forKey key: Key) throws {
        try pair(key) { try CBOREncoding.append(value, to: &$0, depth: node.depth) }
    }
    mutating func nestedContainer<K: CodingKey>(keyedBy type: K.Type, forKey key: Key) -> KeyedEncodingContainer<K> {
        CBOREncoding(node: child(key)).container(keyedBy: type)
    }
    mutating func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        CBOREncoding(node: child(key)).unkeyedContainer()
    }
    mutating func superEncoder() -> any Encoder { CBOREncoding(node: child(SuperKey())) }
    mutating func superEncoder(forKey key: Key) -> any Encoder { CBOREncoding(node: child(key)) }
}

struct SuperKey: CodingKey {
    var stringValue: String { "super" }
    var intValue: Int? { nil }
    init() {}
    init?(stringValue: String) { nil }
    init?(intValue: Int) { nil }
}
