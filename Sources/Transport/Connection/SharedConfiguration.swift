/// An endpoint's configuration, once for all of its connections: 300 bytes that none of them changes.
final class SharedConfiguration: Sendable {
    let value: TransportConfiguration
    init(_ value: TransportConfiguration) { self.value = value }
}
