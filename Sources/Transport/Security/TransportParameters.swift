/// What each side tells the other inside the handshake, sealed. Unknown fields are skipped, so later builds can add some; both
/// lists of versions are authentic, so nobody on the way can talk two ends down to an older one.
package struct TransportParameters: Sendable, Equatable {
    package var idleTimeoutMilliseconds: UInt64 = 30_000
    /// Initial flow-control credit, in bytes, for all streams together and for each.
    package var maxData: UInt64 = 0
    package var maxStreamData: UInt64 = 0
    package var maxStreams: UInt64 = 0
    /// Proof that a later stateless reset comes from this endpoint.
    package var resetToken: [UInt8] = []
    /// Random number of this run of the endpoint: a restart is another incarnation.
    package var incarnation: UInt64 = 0
    /// Wire versions that its sender speaks.
    package var versions: [UInt8] = [WireVersion.current]
    /// Ciphers for data packets: an initiator's, best first; the one that a responder picked of them.
    package var suites = CipherSuite.standard
    /// UDP payload bytes that its sender takes at most.
    package var maximumDatagramSize: UInt64 = Self.leastDatagramSize
    /// Numbers of the extensions that its sender understands: frames of an extension go only to who named it.
    package var extensions: [UInt64] = []
    /// Receive times that its sender wants in an acknowledgement, at most.
    package var timestampsPerAck: UInt64 = 0

    /// What every implementation takes, and assumes of a peer that says nothing.
    package static let leastDatagramSize: UInt64 = 1_200
    /// Entries of a list: more than there will be in decades, and nothing to search.
    private static let longestList = 32

    package init() {}

    private enum Field {
        static let idleTimeout: UInt64 = 1
        static let maxData: UInt64 = 2
        static let maxStreamData: UInt64 = 3
        static let maxStreams: UInt64 = 4
        static let resetToken: UInt64 = 5
        static let incarnation: UInt64 = 6
        static let versions: UInt64 = 7
        static let suites: UInt64 = 8
        static let maximumDatagramSize: UInt64 = 9
        static let extensions: UInt64 = 10
        static let timestampsPerAck: UInt64 = 11
    }

    package func encode() -> [UInt8] {
        var writer = ByteWriter(capacity: 128)
        let field = { (field: UInt64, value: [UInt8]) in
            writer.varInt(field)
            writer.lengthPrefixed(value)
        }
        let number = { (value: UInt64) in
            var inner = ByteWriter(capacity: 8)
            inner.varInt(value)
            return inner.bytes
        }
        field(Field.versions, versions)
        field(Field.suites, suites.flatMap { number($0.rawValue) })
        field(Field.idleTimeout, number(idleTimeoutMilliseconds))
        field(Field.maxData, number(maxData))
        field(Field.maxStreamData, number(maxStreamData))
        field(Field.maxStreams, number(maxStreams))
        field(Field.maximumDatagramSize, number(maximumDatagramSize))
        var word = ByteWriter(capacity: 8)
        word.integer(incarnation)
        field(Field.incarnation, word.bytes)
        if !resetToken.isEmpty { field(Field.resetToken, resetToken) }
        if !extensions.isEmpty { field(Field.extensions, extensions.flatMap { number($0) }) }
        if timestampsPerAck > 0 { field(Field.timestampsPerAck, number(timestampsPerAck)) }
        return writer.bytes
    }

    /// Nil when malformed, or when a field stands twice. Padding is field 0 with no length: everything from it on is ignored.
    package init?(decoding bytes: [UInt8]) {
        (versions, suites) = ([], [])
        var reader = ByteReader(bytes)
        var seen: UInt64 = 0
        while !reader.isEmpty {
            guard let field = reader.varInt() else { return nil }
            if field == 0 { break }
            guard let value = reader.lengthPrefixed() else { return nil }
            guard field <= Field.timestampsPerAck else { continue }
            guard seen & 1 << field == 0 else { return nil }
            seen |= 1 << field
            guard take(field, Array(value)) else { return nil }
        }
        // Without these there is nothing to agree on.
        guard !versions.isEmpty, seen & 1 << Field.suites != 0 else { return nil }
    }

    private mutating func take(_ field: UInt64, _ value: [UInt8]) -> Bool {
        switch field {
        case Field.versions:
            guard value.count <= Self.longestList else { return false }
            versions = value
        case Field.resetToken:
            guard value.count == 16 else { return false }
            resetToken = value
        case Field.incarnation:
            guard value.count == 8 else { return false }
            incarnation = value.reduce(0) { $0 << 8 | UInt64($1) }
        case Field.suites, Field.extensions:
            guard let numbers = Self.numbers(value) else { return false }
            // A suite that we do not know is one that we cannot pick.
            if field == Field.suites { suites = numbers.compactMap { CipherSuite(rawValue: $0) } } else { extensions = numbers }
        default:
            guard let numbers = Self.numbers(value), numbers.count == 1, let number = numbers.first else { return false }
            switch field {
            case Field.idleTimeout: idleTimeoutMilliseconds = number
            case Field.maxData: maxData = number
            case Field.maxStreamData: maxStreamData = number
            case Field.maxStreams: maxStreams = min(number, 1 << 60)
            case Field.maximumDatagramSize:
                guard number >= Self.leastDatagramSize else { return false }
                maximumDatagramSize = number
            default: timestampsPerAck = number
            }
        }
        return true
    }

    private static func numbers(_ value: [UInt8]) -> [UInt64]? {
        var reader = ByteReader(value)
        var numbers: [UInt64] = []
        while !reader.isEmpty {
            guard numbers.count < longestList, let number = reader.varInt() else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// The newest version that both ends speak; nil when there is none.
    package static func best(_ ours: [UInt8], _ theirs: [UInt8]) -> UInt8? { ours.filter { theirs.contains($0) }.max() }
}
