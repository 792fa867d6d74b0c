/// The requests of a run's calls: JSON documents in which `{{.RequestNumber}}` stands for the call's number, from 0.
package struct CallTemplate: Sendable {
    /// What was written instead of a number.
    package struct Unknown: Error, Equatable { package var action: String }

    /// Pieces between which the number is written.
    private struct Document: Sendable { var pieces: [[UInt8]] }

    private static let action = "RequestNumber"
    private static let open = Array("{{".utf8), close = Array("}}".utf8)
    private let documents: [Document]
    /// Whether each call has all documents, as streams of requests do, or one, each in its turn.
    private let sendsAll: Bool

    /// - Parameters:
    ///   - split: cuts a text without templates into documents, and checks them.
    ///   - sendsAll: each call sends all documents; else call n sends document n modulo their number.
    package init(_ text: [UInt8], sendsAll: Bool, split: ([UInt8]) throws -> [[UInt8]]) throws {
        self.sendsAll = sendsAll
        let pieces = try Self.cut(text)
        // A number that does not stand there already; inside a text or as a value, it leaves JSON what it is.
        var mark = Self.digits(7_283_946_150_283_746_159)
        while pieces.contains(where: { Self.place(of: mark, in: $0[...]) != nil }) { mark = Self.digits(Self.number(mark) - 1) }
        documents = try split(Array(pieces.joined(separator: mark))).map { document in
            var pieces: [[UInt8]] = [], rest = document[...]
            while let place = Self.place(of: mark, in: rest) {
                pieces.append(Array(rest[..<place]))
                rest = rest[(place + mark.count)...]
            }
            return Document(pieces: pieces + [Array(rest)])
        }
    }

    package var count: Int { documents.count }

    package func requests(of number: Int) -> [[UInt8]] {
        guard !documents.isEmpty else { return [] }
        let digits = Self.digits(number)
        let chosen = sendsAll ? documents[...] : documents[(number % documents.count)...(number % documents.count)]
        return chosen.map { $0.pieces.count == 1 ? $0.pieces[0] : Array($0.pieces.joined(separator: digits)) }
    }

    /// Cuts out the templates.
    private static func cut(_ text: [UInt8]) throws(Unknown) -> [[UInt8]] {
        var pieces: [[UInt8]] = [], rest = text[...]
        while let start = place(of: open, in: rest) {
            guard let end = place(of: close, in: rest[(start + 2)...]) else { break }
            let inside = String(decoding: rest[(start + 2)..<end], as: UTF8.self)
            // Outside texts JSON never has two opening braces in a row.
            let name = inside.split(separator: " ").joined()
            guard name.hasPrefix("."), name.dropFirst() == action else { throw Unknown(action: String(inside.prefix(64))) }
            pieces.append(Array(rest[..<start]))
            rest = rest[(end + 2)...]
        }
        return pieces + [Array(rest)]
    }

    private static func place(of needle: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
        guard let first = needle.first else { return nil }
        var index = bytes.startIndex
        while index + needle.count <= bytes.endIndex {
            guard let next = bytes[index...].firstIndex(of: first), next + needle.count <= bytes.endIndex else { return nil }
            if bytes[next..<(next + needle.count)].elementsEqual(needle) { return next }
            index = next + 1
        }
        return nil
    }

    private static func digits(_ number: Int) -> [UInt8] { Array(String(number).utf8) }
    private static func number(_ digits: [UInt8]) -> Int { Int(String(decoding: digits, as: UTF8.self)) ?? 0 }
}
