/// What a TLS client says first (RFC 8446 section 4.1.2).
enum ClientHello {
    /// A key share for every group, and a padding beside it, is a tenth of this.
    static let longest = 16_384

    /// The whole message's length, from its first four bytes; nil where it is none.
    static func length(_ bytes: [UInt8]) -> Int? {
        var cursor = ByteCursor(bytes)
        guard cursor.int(1) == 1, let length = cursor.int(3), (38...longest - 4).contains(length) else { return nil }
        return length + 4
    }

    /// The server that it asks for (RFC 6066 section 3): of one whose hello is encrypted (ECH) the public name.
    static func serverName(_ bytes: [UInt8]) -> String? {
        guard let length = length(bytes), bytes.count >= length else { return nil }
        var cursor = ByteCursor(bytes, from: 4, to: length)
        guard cursor.skip(2 + 32), cursor.block(lengthBytes: 1) != nil, cursor.block(lengthBytes: 2) != nil,
            cursor.block(lengthBytes: 1) != nil, var extensions = cursor.block(lengthBytes: 2)
        else { return nil }
        while let kind = extensions.int(2), var body = extensions.block(lengthBytes: 2) {
            guard kind == 0 else { continue }
            guard var names = body.block(lengthBytes: 2) else { return nil }
            while let kind = names.int(1), var name = names.block(lengthBytes: 2) {
                if kind == 0, let bytes = name.take(name.rest) { return HostName.text(bytes) }
            }
            return nil
        }
        return nil
    }
}

/// A host's name as text, or nothing: what is shown has only what names are made of (RFC 1123, and `_` as services have it).
enum HostName {
    static func text(_ bytes: some Collection<UInt8>) -> String? {
        guard (1...253).contains(bytes.count) else { return nil }
        for byte in bytes {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: continue
            default: return nil
            }
        }
        return String(decoding: bytes, as: UTF8.self).lowercased()
    }
}
