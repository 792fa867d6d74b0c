import MastTimebase

/// One line a call, as CSV: ghz's three columns first, then what it does not know.
package enum CallTable {
    package static let head = "duration (ms),status,error,number,intended (ms),sent (ms),effect,late,first message (ms),messages\n"

    /// - Parameter records: in any order; they come out by number.
    package static func text(_ records: [CallResult]) -> String {
        var bytes = Array(head.utf8)
        for record in records.sorted(by: { $0.number < $1.number }) { bytes += line(record).utf8 }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func line(_ record: CallResult) -> String {
        let (status, error, effect): (CallStatus, String, CallEffect?) =
            switch record.ending {
            case .ok: (.ok, "", nil)
            case .failed(let code, let effect, let message): (code, message, effect)
            case .notSent: (.deadlineExceeded, "not sent: the deadline passed before", CallEffect.none)
            case .interrupted: (.cancelled, "interrupted", .unknown)
            }
        let late =
            switch record.delay {
            case .onTime: ""
            case .generator: "generator"
            case .server: "place"
            }
        func time(_ moment: Interval) -> String { DecimalFigure.text(moment.inMilliseconds, 3) }
        var sent = time(record.sent)
        if case .notSent = record.ending { sent = "" }
        let first = record.firstMessage.map { time($0 - record.intended) } ?? ""
        let fields = [
            time(record.latency), status.name, quoted(error), "\(record.number)", time(record.intended), sent, effect?.name ?? "", late, first,
            "\(record.messages)",
        ]
        return fields.joined(separator: ",") + "\n"
    }

    /// RFC 4180. A message of a server must not begin a formula in a spreadsheet.
    private static func quoted(_ text: String) -> String {
        var text = text.printable(atMost: 200)
        if let first = text.first, "=+-@".contains(first) { text = "'" + text }
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0 == "\n" }) else { return text }
        return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
