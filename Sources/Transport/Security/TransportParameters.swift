/// What each side tells the other inside the handshake. Unknown fields are skipped, so later versions can add some.
package struct TransportParameters: Sendable, Equatable {
    package var idleTimeoutMilliseconds: UInt64 = 30_000
    /// Initial flow-control credit, in bytes, for all streams together and for each.
    package var maxData: UInt64 = 0
    package var maxStreamData: UInt64 = 0
    package var maxStreams: UInt64 = 0
    /// Proof that a later stateless reset comes from this endpoint (responder only).
    package var resetToken: [UInt8] = []
    /// Random number of this run of the endpoint: a restart is another incarnation.
    package var incarnation: UInt64 = 0

    package init() {}

    private enum Field {
        static let idleTimeout: UInt64 = 1
        static let maxData: UInt64 = 2
        static let maxStreamData: UInt64 = 3
        static let maxStreams: UInt64 = 4
        static let resetToken: UInt64 = 5
        static let incarnation: UInt64 = 6
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter(capacity: 96)
        let number = { (field: UInt64, value: UInt64) in
            writer.varInt(field)
            var inner = ByteWriter(capacity: 8)
            inner.integer(value)
            writer.lengthPrefixed(inner.bytes)
        }
        number(Field.idleTimeout, idleTimeoutMilliseconds)
        number(Field.maxData, maxData)
        number(Field.maxStreamData, maxStreamData)
        number(Field.maxStreams, maxStreams)
        number(Field.incarnation, incarnation)
        if !resetToken.isEmpty {
            writer.varInt(Field.resetToken)
            writer.lengthPrefixed(resetToken)
        }
        return writer.bytes
    }

    /// Nil when malformed. Padding is field 0 with no length: everything from it on is ignored.
    package init?(decoding bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        while !reader.isEmpty {
            guard let field = reader.varInt() else { return nil }
            if field == 0 { break }
            guard let value = reader.lengthPrefixed() else { return nil }
            if field == Field.resetToken {
                guard value.count == 16 else { return nil }
                resetToken = Array(value)
                continue
            }
            guard field <= Field.incarnation else { continue }
            guard value.count == 8 else { return nil }
            let number = value.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            switch field {
            case Field.idleTimeout: idleTimeoutMilliseconds = number
            case Field.maxData: maxData = min(number, VarInt.max)
            case Field.maxStreamData: maxStreamData = min(number, VarInt.max)
            case Field.maxStreams: maxStreams = min(number, 1 << 60)
            case Field.incarnation: incarnation = number
            default: break
            }
        }
    }
}
