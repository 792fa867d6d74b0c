import ArgumentParser
import MastLinkModel
import MastRPC
import MastTimebase
import MastTransport

// How values are written on the command line; each text form is its type's own.

extension Interval: ExpressibleByArgument {
    public init?(argument: String) { self.init(text: argument) }
    public var defaultValueDescription: String { text }
}

extension Rate: ExpressibleByArgument {
    public init?(argument: String) { self.init(text: argument) }
    public var defaultValueDescription: String { text }
}

extension Probability: ExpressibleByArgument {
    public init?(argument: String) { self.init(text: argument) }
    public var defaultValueDescription: String {
        // Kept as a share of 2³², which is never quite the decimal that was meant.
        let percent = (asDouble * 1e8).rounded() / 1e6
        return percent == percent.rounded() ? "\(Int(percent))%" : "\(percent)%"
    }
}

extension QueueDiscipline: ExpressibleByArgument {
    package init?(argument: String) { self.init(text: argument) }
    package var defaultValueDescription: String { description }
}

extension Outage: ExpressibleByArgument {
    package init?(argument: String) { self.init(text: argument) }
    package var defaultValueDescription: String { description }
}

extension LinkChange: ExpressibleByArgument {
    package init?(argument: String) { self.init(text: argument) }
    package var defaultValueDescription: String { description }
}

extension RandomOutages: ExpressibleByArgument {
    package init?(argument: String) { self.init(text: argument) }
    package var defaultValueDescription: String { text }
}

extension PublicKey: ExpressibleByArgument {}

extension CallSemantics: ExpressibleByArgument {
    public init?(argument: String) { self.init(name: argument) }
    public static var allValueStrings: [String] { ["readOnly", "idempotent", "atMostOnce"] }
    public var defaultValueDescription: String { name }
}

extension Urgency: ExpressibleByArgument {}

/// A size as written: `64MiB`, `10MB`, `4096`.
struct ByteCount: ExpressibleByArgument, Hashable, Sendable {
    var bytes: Int

    init(_ bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int(digits), number >= 0 else { return nil }
        let scale: Int
        switch argument.dropFirst(digits.count).lowercased() {
        case "", "b": scale = 1
        case "kb": scale = 1_000
        case "mb": scale = 1_000_000
        case "gb": scale = 1_000_000_000
        case "kib", "k": scale = 1 << 10
        case "mib", "m": scale = 1 << 20
        case "gib", "g": scale = 1 << 30
        default: return nil
        }
        let (bytes, overflow) = number.multipliedReportingOverflow(by: scale)
        guard !overflow else { return nil }
        self.bytes = bytes
    }

    var defaultValueDescription: String {
        for (scale, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] where bytes != 0 && bytes % scale == 0 {
            return "\(bytes / scale)\(unit)"
        }
        return "\(bytes)"
    }
}

/// `--json`, the same everywhere.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print one JSON object instead of text.")
    var json = false
}

extension NetworkAddress: ExpressibleByArgument {
    /// `host:port` with a numeric host, or a port alone on the loopback interface.
    public init?(argument: String) {
        if argument.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(argument) {
            self = .loopback(port: port)
        } else if let address = (try? HostPort(argument))?.address {
            self = address
        } else {
            return nil
        }
    }
    public var defaultValueDescription: String { description }
}
