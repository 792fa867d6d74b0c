import ArgumentParser
import Foundation
import MastCapture
import MastTimebase
import Synchronization

/// What commands print. Standard output carries results only.
///
/// Everything that is printed passes here, and much of it holds texts of others: names, error messages, what a capture
/// says of itself. So each way out escapes what a terminal would obey, and bounds what a person reads.
enum Output {
    /// More than any line of ours has.
    private static let mostOfALine = 4_096
    private static let mostOfARemark = 2_048
    private static let mostOfACell = 400

    /// The errno of the first result that standard output did not take.
    private static let trouble = Atomic<Int32>(0)

    /// Throws if a part of what was printed went nowhere: a command whose results are lost has not succeeded.
    /// A reader that has seen enough (EPIPE) ends it as the signal would have, without a word.
    static func checkWritten() throws {
        let number = trouble.load(ordering: .relaxed)
        if number == EPIPE { throw ExitCode(128 + SIGPIPE) }
        if number != 0 { throw Failure(.unavailable, "cannot write to standard output: \(String(cString: strerror(number))); what was printed is not complete") }
    }

    /// One line of result.
    static func line(_ text: String) { write(1, text.printable(atMost: mostOfALine) + "\n") }

    /// Text that ends its own lines.
    static func text(_ text: String) { write(1, text.printable(keepingLines: true)) }

    /// A piece of a longer result that ends its own lines, or of a JSON document, whose pieces end between values.
    static func piece(_ text: String, isJSON: Bool) {
        guard isJSON else { return self.text(text) }
        write(1, text.hasSuffix("\n") ? printableJSON(String(text.dropLast())) + "\n" : printableJSON(text))
    }

    /// Rows of a table, the first one its head.
    /// - Parameter left: the columns that begin at the same place; the others end there.
    static func table(_ rows: [[String]], left: [Int]) {
        for row in TextLayout.table(rows.map { $0.map { $0.printable(atMost: mostOfACell) } }, left: left) { line(row) }
    }

    /// A result's bytes as they are, for a file or a program; a terminal gets what it can show.
    static func bytes(_ bytes: [UInt8]) {
        if isatty(1) == 1 { return write(1, String(decoding: bytes, as: UTF8.self).printable(keepingLines: true)) }
        _ = bytes.withUnsafeBytes { write(1, $0) }
    }

    /// A result that exists nowhere else: that it could not be written is no success.
    static func secret(_ bytes: [UInt8]) throws(Failure) {
        guard bytes.withUnsafeBytes({ write(1, $0) }) else {
            throw Failure(.unavailable, "cannot write to standard output: \(String(cString: strerror(errno))); what was to be written is lost: take it back, and try again")
        }
    }

    /// One JSON object on one line, its keys sorted.
    static func json(_ value: some Encodable) throws { document(try jsonText(value)) }

    /// A JSON document on one line.
    static func document(_ text: String) { write(1, printableJSON(text) + "\n") }

    /// A remark for whoever watches: `mast: …` on standard error.
    static func note(_ text: String) { error("mast: " + text) }

    /// A line on standard error.
    static func error(_ text: String) { write(2, text.printable(atMost: mostOfARemark) + "\n") }

    /// A JSON document on standard error.
    static func errorDocument(_ text: String) { write(2, printableJSON(text) + "\n") }

    /// Progress, which nobody wants in a log: only when a person looks.
    static func progress(_ text: String) {
        if isatty(2) == 1 { write(2, "\r\u{1B}[K\(text.printable(atMost: width))") }
    }

    static func endProgress() { progress("") }

    /// The same document, with JSON's own escapes for what a terminal would obey; white space between values is a space.
    /// - Parameter text: a JSON document, as far as anybody knows: of other text something harmless comes out.
    static func printableJSON(_ text: String) -> String {
        var text = text
        if text.withUTF8({ $0.allSatisfy { (0x20..<0x7F).contains($0) } }) { return text }
        // Bytes: appending to a text copies it again and again.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            if scalar.isPrintable {
                bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
            } else if scalar == "\n" || scalar == "\r" || scalar == "\t" {
                // Inside a text JSON does not have them.
                bytes.append(UInt8(ascii: " "))
            } else {
                for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
                    let digits = String(unit, radix: 16)
                    bytes.append(contentsOf: ("\\u" + String(repeating: "0", count: 4 - digits.count) + digits).utf8)
                }
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func jsonText(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Columns of the terminal, or `COLUMNS`, or 100.
    static var width: Int {
        var size = winsize()
        if ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 40 { return Int(size.ws_col) }
        if let text = ProcessInfo.processInfo.environment["COLUMNS"], let columns = Int(text), columns >= 40 { return min(columns, 1_000) }
        return 100
    }

    private static func write(_ descriptor: Int32, _ text: String) {
        var text = text
        _ = text.withUTF8 { write(descriptor, UnsafeRawBufferPointer($0)) }
    }

    /// - Returns: whether all was written.
    @discardableResult
    private static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno == EAGAIN {
                // A terminal that somebody else made non-blocking.
                var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, 1_000)
            } else if errno != EINTR {
                if descriptor == 1 { _ = trouble.compareExchange(expected: 0, desired: errno, ordering: .relaxed) }
                return false
            }
        }
        return true
    }
}

/// A JSON object put together from parts, some of which are JSON already. Keys come out sorted.
struct JSONObject {
    private var members: [(key: String, text: String)] = []

    mutating func set(_ key: String, _ value: (some Encodable)?) throws {
        if let value { members.append((key, try Output.jsonText(value))) }
    }

    /// A JSON value that somebody else wrote; what is none becomes a text, and so cannot pass for members of this object.
    mutating func set(_ key: String, foreign text: String) throws {
        let isValue = (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) != nil
        members.append((key, isValue ? text : try Output.jsonText(text)))
    }

    /// The same for a list of values.
    mutating func set(_ key: String, foreign texts: [String]) throws {
        var list: [String] = []
        for text in texts {
            let isValue = (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) != nil
            list.append(isValue ? text : try Output.jsonText(text))
        }
        members.append((key, "[" + list.joined(separator: ",") + "]"))
    }

    var text: String {
        let sorted = members.sorted { $0.key < $1.key }
        return "{" + sorted.map { "\"\($0.key)\":\($0.text)" }.joined(separator: ",") + "}"
    }
}
