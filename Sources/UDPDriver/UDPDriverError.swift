/// The socket could not be had; one line that says what and what to do.
public struct UDPDriverError: Error, CustomStringConvertible, Sendable {
    public var description: String
    package init(_ description: String) { self.description = description }
}
