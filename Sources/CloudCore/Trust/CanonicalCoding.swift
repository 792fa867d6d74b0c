/// Writes the one byte form that signatures cover: fields in declaration order, integers as 8 bytes big-endian,
/// byte strings and texts after a 4-byte length, lists after a 4-byte count. There is nothing optional and no
/// choice, so equal values have equal bytes on every machine.
package struct CanonicalWriter: Sendable {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func integer(_ value: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
    }

    package mutating func bytes(_ value: [UInt8]) {
        length(value.count)
        bytes.append(contentsOf: value)
    }

    package mutating func text(_ value: String) { bytes(Array(value.utf8)) }

    package mutating func list<Element>(_ elements: [Element], _ each: (inout CanonicalWriter, Element) -> Void) {
        length(elements.count)
        for element in elements { each(&self, element) }
    }

    private mutating func length(_ count: Int) {
        let value = UInt32(clamping: count)
        for shift in stride(from: 24, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
    }
}

/// Reads what `CanonicalWriter` wrote; any other input is a typed error, whatever its lengths claim.
package struct CanonicalReader: Sendable {
    private let input: [UInt8]
    private var position = 0

    package init(_ input: [UInt8]) { self.input = input }

    private mutating func take(_ count: Int) throws(TrustError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= input.count - position else { throw .malformed("record: it ends early") }
        defer { position += count }
        return input[position..<position + count]
    }

    private mutating func length(atMost limit: Int) throws(TrustError) -> Int {
        var value = 0
        for byte in try take(4) { value = value << 8 | Int(byte) }
        guard value <= limit else { throw .malformed("record: a length of \(value) is over the limit of \(limit)") }
        return value
    }

    package mutating func integer() throws(TrustError) -> UInt64 {
        var value: UInt64 = 0
        for byte in try take(8) { value = value << 8 | UInt64(byte) }
        return value
    }

    package mutating func bytes(atMost limit: Int) throws(TrustError) -> [UInt8] {
        Array(try take(length(atMost: limit)))
    }

    package mutating func text(atMost limit: Int) throws(TrustError) -> String {
        let raw = try bytes(atMost: limit)
        let text = String(decoding: raw, as: UTF8.self)
        // A repaired text would have other bytes than the signed ones.
        guard text.utf8.elementsEqual(raw) else { throw .malformed("text: not UTF-8") }
        return text
    }

    package mutating func list<Element>(
        atMost limit: Int, _ each: (inout CanonicalReader) throws(TrustError) -> Element
    ) throws(TrustError) -> [Element] {
        let count = try length(atMost: limit)
        var elements: [Element] = []
        for _ in 0..<count { elements.append(try each(&self)) }
        return elements
    }

    /// Nothing may follow the last field.
    package func finish() throws(TrustError) {
        guard position == input.count else { throw .malformed("record: bytes follow its end") }
    }
}
