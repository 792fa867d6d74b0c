import Foundation

/// Finds out what JSON a type expects by letting it decode itself from a decoder that says yes to everything
/// and takes notes.
///
/// Works for structures, arrays, optionals, dictionaries, byte strings, dates and enumerations that are
/// `CaseIterable`; gives up (nil) on enumerations with associated values and on what insists on a valid text.
enum JSONTemplate {
    static func text<T: Decodable>(for type: T.Type) -> String? {
        let note = Note()
        guard (try? note.value(type, depth: 0)) != nil else { return nil }
        return note.shape.text
    }

    indirect enum Shape {
        case object([(key: String, value: Shape)])
        case array([Shape])
        case literal(String)

        var text: String {
            switch self {
            case .object(let members):
                return "{" + members.map { "\(Shape.quoted($0.key)):\($0.value.text)" }.joined(separator: ",") + "}"
            case .array(let elements): return "[" + elements.map(\.text).joined(separator: ",") + "]"
            case .literal(let text): return text
            }
        }

        static func quoted(_ text: String) -> String {
            (try? JSONCodec.encode(text)).map { String(decoding: $0, as: UTF8.self) } ?? "\"\""
        }
    }

    static let maximumDepth = 8
    struct TooDeep: Error {}

    /// What one value turned out to be.
    final class Note {
        var shape = Shape.object([])
        /// The types around this one: one that comes again is a recursion, and shown no further.
        private let around: [ObjectIdentifier]

        init(around: [ObjectIdentifier] = []) { self.around = around }

        func inner() -> Note { Note(around: within) }
        private var within: [ObjectIdentifier] = []

        func value<T: Decodable>(_ type: T.Type, depth: Int) throws -> T {
            let name = ObjectIdentifier(type)
            guard depth < maximumDepth, !around.contains(name) else { throw TooDeep() }
            within = around + [name]
            if let known = wellKnown(type) { return known }
            if let cases = type as? any CaseIterable.Type, let first = Self.first(of: cases) as? T {
                if let encodable = first as? any Encodable, let json = try? JSONCodec.encode(encodable) {
                    shape = .literal(String(decoding: json, as: UTF8.self))
                    return first
                }
            }
            do {
                return try T(from: Scribe(note: self, depth: depth))
            } catch {
                // A list whose elements cannot be explored (a tree's children) is shown empty.
                guard let list = type as? any EmptyMaking.Type, let empty = list.emptyValue as? T else { throw error }
                shape = .array([])
                return empty
            }
        }

        private static func first<C: CaseIterable>(of type: C.Type) -> Any? { type.allCases.first }

        private func wellKnown<T>(_ type: T.Type) -> T? {
            switch type {
            case is Date.Type:
                shape = .literal("\"2026-01-01T00:00:00Z\"")
                return Date(timeIntervalSince1970: 0) as? T
            case is UUID.Type:
                let id = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
                shape = .literal("\"\(id.uuidString)\"")
                return id as? T
            case is ByteString.Type:
                shape = .literal("\"\"")
                return ByteString() as? T
            default: return nil
            }
        }
    }

    struct Scribe: Decoder {
        let note: Note
        let depth: Int
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }  // lookup only

        func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedDecodingContainer<Key> {
            KeyedDecodingContainer(Keyed<Key>(note: note, depth: depth))
        }
        func unkeyedContainer() -> any UnkeyedDecodingContainer {
            note.shape = .array([])
            return Unkeyed(note: note, depth: depth)
        }
        func singleValueContainer() -> any SingleValueDecodingContainer { Single(note: note, depth: depth) }
    }

    struct Single: SingleValueDecodingContainer {
        let note: Note
        let depth: Int
        var codingPath: [any CodingKey] { [] }

        func decodeNil() -> Bool { false }
        func decode(_ type: Bool.Type) -> Bool { literal("false", false) }
        func decode(_ type: String.Type) -> String { literal("\"\"", "") }
        func decode(_ type: Double.Type) -> Double { literal("0", 0) }
        func decode(_ type: Float.Type) -> Float { literal("0", 0) }
        func decode(_ type: Int.Type) -> Int { literal("0", 0) }
        func decode(_ type: Int8.Type) -> Int8 { literal("0", 0) }
        func decode(_ type: Int16.Type) -> Int16 { literal("0", 0) }
        func decode(_ type: Int32.Type) -> Int32 { literal("0", 0) }
        func decode(_ type: Int64.Type) -> Int64 { literal("0", 0) }
        func decode(_ type: UInt.Type) -> UInt { literal("0", 0) }
        func decode(_ type: UInt8.Type) -> UInt8 { literal("0", 0) }
        func decode(_ type: UInt16.Type) -> UInt16 { literal("0", 0) }
        func decode(_ type: UInt32.Type) -> UInt32 { literal("0", 0) }
        func decode(_ type: UInt64.Type) -> UInt64 { literal("0", 0) }
        func decode<T: Decodable>(_ type: T.Type) throws -> T {
            let inner = note.inner()
            let value = try inner.value(type, depth: depth + 1)
            note.shape = inner.shape
            return value
        }

        private func literal<T>(_ text: String, _ value: T) -> T {
            note.shape = .literal(text)
            return value
        }
    }

    struct Unkeyed: UnkeyedDecodingContainer {
        let note: Note
        let depth: Int
        var currentIndex = 0
        var codingPath: [any CodingKey] { [] }
        /// One element shows what the others look like.
        var count: Int? { 1 }
        var isAtEnd: Bool { currentIndex > 0 }

        init(note: Note, depth: Int) { (self.note, self.depth) = (note, depth) }

        private mutating func element() throws -> Note {
            guard case .array(let elements) = note.shape, elements.count < 16 else { throw TooDeep() }
            currentIndex += 1
            return note.inner()
        }
        private func keep(_ element: Note) {
            if case .array(let elements) = note.shape { note.shape = .array(elements + [element.shape]) }
        }

        mutating func decodeNil() -> Bool { false }
        mutating func decode<T: Decodable>(_ type: T.Type) throws -> T {
            let element = try element()
            let value = try element.value(type, depth: depth + 1)
            keep(element)
            return value
        }
        mutating func nestedContainer<K: CodingKey>(keyedBy type: K.Type) throws -> KeyedDecodingContainer<K> { throw TooDeep() }
        mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { throw TooDeep() }
        mutating func superDecoder() throws -> any Decoder { throw TooDeep() }
    }

    struct Keyed<Key: CodingKey>: KeyedDecodingContainerProtocol {
        let note: Note
        let depth: Int
        var codingPath: [any CodingKey] { [] }
        /// What a dictionary iterates over.
        var allKeys: [Key] { [Key(stringValue: "name")].compactMap { $0 } }

        func contains(_ key: Key) -> Bool { true }
        func decodeNil(forKey key: Key) -> Bool { false }
        func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T {
            let member = note.inner()
            let value = try member.value(type, depth: depth + 1)
            keep(key, member.shape)
            return value
        }
        func decodeIfPresent<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T? {
            do { return try decode(type, forKey: key) } catch {
                keep(key, .literal("null"))
                return nil
            }
        }
        private func keep(_ key: Key, _ shape: Shape) {
            if case .object(let members) = note.shape { note.shape = .object(members + [(key.stringValue, shape)]) }
        }

        func nestedContainer<K: CodingKey>(keyedBy type: K.Type, forKey key: Key) throws -> KeyedDecodingContainer<K> { throw TooDeep() }
        func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { throw TooDeep() }
        func superDecoder() throws -> any Decoder { throw TooDeep() }
        func superDecoder(forKey key: Key) throws -> any Decoder { throw TooDeep() }
    }
}

private protocol EmptyMaking {
    static var emptyValue: Self { get }
}
extension Array: EmptyMaking {
    static var emptyValue: [Element] { [] }
}
