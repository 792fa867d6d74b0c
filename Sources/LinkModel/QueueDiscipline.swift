import MastTimebase

/// How many packets may wait for the server, and which one goes when there are too many.
///
/// As in mm-link, the packet in service has left the queue: a packet counts against the limit from its
/// arrival until its first byte is served.
package enum QueueDiscipline: Hashable, Sendable {
    case infinite
    /// A packet that would exceed the limit is dropped on arrival.
    case dropTail(QueueLimit)
    /// A packet is always taken in; then the oldest waiting ones go until the limit holds.
    case dropHead(QueueLimit)
    /// RFC 8289, on virtual sojourn times.
    case coDel(CoDelParameters)
    /// RFC 8033.
    case pie(QueueLimit)
}

/// A limit in packets, bytes or both; the first one reached counts.
package struct QueueLimit: Hashable, Sendable {
    package var packets: Int?
    package var bytes: Int?

    package init(packets: Int? = nil, bytes: Int? = nil) {
        self.packets = packets
        self.bytes = bytes
    }
}

extension QueueDiscipline: CustomStringConvertible {
    /// Parses `infinite`, `droptail:100p`, `droptail:150kB`, `drophead:100p,150kB`, `codel`, `codel:5ms,100ms,100p`,
    /// `pie`, `pie:100p`. Sizes are decimal: `B`,
    /// `kB` (1,000) and `MB`. Nil for anything else, and for a limit of zero.
    package init?(text: String) {
        if text == "infinite" { self = .infinite; return }
        if text == "codel" { self = .coDel(CoDelParameters()); return }
        if text == "pie" { self = .pie(QueueLimit()); return }
        if text.hasPrefix("codel:") {
            var parts = text.dropFirst(6).split(separator: ",", omittingEmptySubsequences: false)
            var parameters = CoDelParameters()
            if let first = parts.first, let target = Interval(text: first) {
                guard parts.count >= 2, let interval = Interval(text: parts[1]), interval > .zero, target > .zero else { return nil }
                (parameters.target, parameters.interval) = (target, interval)
                parts.removeFirst(2)
            }
            if !parts.isEmpty {
                guard let limit = QueueLimit(text: parts.joined(separator: ",")[...]) else { return nil }
                parameters.limit = limit
            }
            self = .coDel(parameters)
            return
        }
        guard let colon = text.firstIndex(of: ":"),
            let limit = QueueLimit(text: text[text.index(after: colon)...]) else { return nil }
        switch text[..<colon] {
        case "droptail": self = .dropTail(limit)
        case "drophead": self = .dropHead(limit)
        case "pie": self = .pie(limit)
        default: return nil
        }
    }

    package var description: String {
        switch self {
        case .infinite: "infinite"
        case .dropTail(let limit): "droptail:\(limit)"
        case .dropHead(let limit): "drophead:\(limit)"
        case .pie(let limit): limit == QueueLimit() ? "pie" : "pie:\(limit)"
        case .coDel(let parameters): Self.text(parameters)
        }
    }

    private static func text(_ parameters: CoDelParameters) -> String {
        let usual = parameters.target == CoDelParameters().target && parameters.interval == CoDelParameters().interval
        let times = usual ? [] : ["\(parameters.target.text),\(parameters.interval.text)"]
        let limit = parameters.limit == QueueLimit() ? [] : [parameters.limit.description]
        let parts = times + limit
        return parts.isEmpty ? "codel" : "codel:" + parts.joined(separator: ",")
    }
}

extension QueueLimit: CustomStringConvertible {
    init?(text: Substring) {
        self.init()
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let (number, unit) = DecimalText.split(part) else { return nil }
            let scale: Int64
            switch unit {
            case "p": scale = 1
            case "B": scale = 1
            case "kB", "KB": scale = 1_000
            case "MB": scale = 1_000_000
            default: return nil
            }
            guard let value = number.scaled(by: scale), value > 0, let count = Int(exactly: value) else { return nil }
            if unit == "p" {
                guard packets == nil else { return nil }
                packets = count
            } else {
                guard bytes == nil else { return nil }
                bytes = count
            }
        }
    }

    package var description: String {
        let parts = [packets.map { "\($0)p" }, bytes.map { $0 % 1_000 == 0 ? "\($0 / 1_000)kB" : "\($0)B" }]
        return parts.compactMap { $0 }.joined(separator: ",")
    }
}
