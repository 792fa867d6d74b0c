import Logging
import MastTimebase

/// The log on standard error. What peers say of themselves stands in many of its lines: it is escaped and bounded here,
/// whoever logs it.
struct PrintableLogHandler: LogHandler {
    private static let mostOfAValue = 1_024
    private var inner: StreamLogHandler

    init(label: String) { inner = .standardError(label: label) }

    func log(event: LogEvent) {
        var event = event
        event.message = "\(event.message.description.printable(atMost: 2 * Self.mostOfAValue))"
        event.metadata = event.metadata?.mapValues(Self.printable)
        inner.log(event: event)
    }

    private static func printable(_ value: Logger.MetadataValue) -> Logger.MetadataValue {
        switch value {
        case .string(let text): .string(text.printable(atMost: mostOfAValue))
        case .stringConvertible(let other): .string(other.description.printable(atMost: mostOfAValue))
        case .array(let values): .array(values.prefix(32).map(printable))
        case .dictionary(let values): .dictionary(values.mapValues(printable))
        @unknown default: .string("?")
        }
    }

    var logLevel: Logger.Level {
        get { inner.logLevel }
        set { inner.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { inner.metadata }
        set { inner.metadata = newValue.mapValues(Self.printable) }
    }

    var metadataProvider: Logger.MetadataProvider? {
        get { inner.metadataProvider }
        set { inner.metadataProvider = newValue }
    }

    subscript(metadataKey key: String) -> Logger.MetadataValue? {
        get { inner[metadataKey: key] }
        set { inner[metadataKey: key] = newValue.map(Self.printable) }
    }
}
