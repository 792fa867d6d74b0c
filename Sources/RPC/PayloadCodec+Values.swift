import Foundation

extension PayloadCodec {
    func encode<T: Encodable>(_ value: T) throws -> [UInt8] {
        switch self {
        case .cbor: return try CBOR.encode(value)
        case .json: return try JSONCodec.encode(value)
        case .raw:
            guard let value = value as? ByteString else {
                throw RPCError(.invalidArgument, "raw payloads are for methods whose messages are byte strings", effect: .none)
            }
            return value.bytes
        }
    }

    func decode<T: Decodable>(_ type: T.Type, from bytes: MessageBytes) throws -> T {
        switch self {
        case .cbor: return try CBOR.decode(type, from: bytes)
        case .json: return try JSONCodec.decode(type, from: bytes)
        case .raw:
            guard let value = ByteString(bytes) as? T else {
                throw RPCError(.invalidArgument, "raw payloads are for methods whose messages are byte strings", effect: .none)
            }
            return value
        }
    }
}

/// JSON for people and scripts: keys sorted, dates in ISO 8601, one line.
enum JSONCodec {
    static func encode(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        return Array(try encoder.encode(value))
    }

    static func decode<T: Decodable>(_ type: T.Type, from bytes: MessageBytes) throws -> T {
        // An empty document stands for an empty object: methods without fields need no typing.
        let isBlank = bytes.allSatisfy { $0 == 0x20 || $0 == 0x0A || $0 == 0x0D || $0 == 0x09 }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        let data = isBlank ? Data("{}".utf8) : Data(bytes)
        do { return try decoder.decode(type, from: data) } catch DecodingError.dataCorrupted(let context) where context.codingPath.isEmpty {
            // The decoder says so of a number that its field cannot hold, too.
            guard (try? JSONSerialization.jsonObject(with: data, options: .fragmentsAllowed)) != nil else { throw DecodingError.dataCorrupted(context) }
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "a number does not fit the type of its field, which may take whole numbers only, or smaller ones"))
        }
    }
}
