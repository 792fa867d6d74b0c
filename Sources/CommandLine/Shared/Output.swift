import Foundation

/// What commands print. Standard output carries results only.
enum Output {
    /// One line of result.
    static func line(_ text: String) { write(1, text + "\n") }

    /// Text that ends its own lines.
    static func text(_ text: String) { write(1, text) }

    static func bytes(_ bytes: [UInt8]) { bytes.withUnsafeBytes { write(1, $0) } }

    /// One JSON object on one line, its keys sorted.
    static func json(_ value: some Encodable) throws { line(try jsonText(value)) }

    /// A remark for whoever watches: `mast: …` on standard error.
    static func note(_ text: String) { write(2, "mast: \(text)\n") }

    /// A line on standard error as it is.
    static func error(_ text: String) { write(2, text + "\n") }

    /// Progress, which nobody wants in a log: only when a person looks.
    static func progress(_ text: String) {
        if isatty(2) == 1 { write(2, "\r\u{1B}[K\(text)") }
    }

    static func endProgress() { progress("") }

    /// A peer's text for a terminal: what steers it, or the direction of writing, becomes a question mark.
    static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: "?"
            default: scalar
            }
        }))
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
        text.withUTF8 { write(descriptor, UnsafeRawBufferPointer($0)) }
    }

    private static func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) {
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
                return
            }
        }
    }
}

/// A JSON object put together from parts, some of which are JSON already. Keys come out sorted.
struct JSONObject {
    private var members: [(key: String, text: String)] = []

    mutating func set(_ key: String, _ value: (some Encodable)?) throws {
        if let value { members.append((key, try Output.jsonText(value))) }
    }

    /// `text` must be JSON.
    mutating func set(_ key: String, raw text: String) { members.append((key, text)) }

    var text: String {
        let sorted = members.sorted { $0.key < $1.key }
        return "{" + sorted.map { "\"\($0.key)\":\($0.text)" }.joined(separator: ",") + "}"
    }
}
