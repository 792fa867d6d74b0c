/// A server as people write it: `host:port` with a name or a numeric address. Nothing is looked up here.
package struct HostPort: Hashable, Sendable {
    package enum Host: Hashable, Sendable {
        /// Its port is that of the whole.
        case address(NetworkAddress)
        case name(String)
    }

    /// What is wrong with a text.
    package enum Fault: Error, Hashable, Sendable {
        case noHost(String)
        case noPort(String)
        /// Not a number of 0 to 65535.
        case port(String, in: String)
        case brackets(String)
        case ipv4(String)
        case ipv6(String)
        case name(String)
    }

    /// A name of 254 bytes, a colon and five digits.
    package static let mostBytes = 260

    package let host: Host
    package let port: UInt16

    /// - Parameter defaultPort: of a text without one; nil where the port must be written.
    package init(_ text: String, defaultPort: UInt16? = nil) throws(Fault) {
        var (name, port): (Substring, Substring?)
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { throw .brackets(text) }
            let rest = text[text.index(after: close)...]
            guard rest.isEmpty || rest.hasPrefix(":"), text.lastIndex(of: "]") == close, text.lastIndex(of: "[") == text.startIndex
            else { throw .brackets(text) }
            (name, port) = (text[text.index(after: text.startIndex)..<close], rest.isEmpty ? nil : rest.dropFirst())
        } else {
            guard !text.contains("["), !text.contains("]") else { throw .brackets(text) }
            // Two colons and no brackets are an IPv6 address as a whole: a port after it could not be told apart.
            let colon = text.firstIndex(of: ":").flatMap { $0 == text.lastIndex(of: ":") ? $0 : nil }
            (name, port) = colon.map { (text[..<$0], text[text.index(after: $0)...]) } ?? (text[...], nil)
        }
        guard !name.isEmpty else { throw .noHost(text) }
        let isIPv6 = text.hasPrefix("[") || name.contains(":")
        if isIPv6, !name.contains(":") { throw .ipv6(String(name)) }
        self.port = try Self.port(port, defaultPort, in: text)
        if isIPv6 || Self.endsInANumber(name) {
            guard let address = Self.address(name, port: self.port) else { throw isIPv6 ? .ipv6(String(name)) : .ipv4(String(name)) }
            host = .address(address)
        } else {
            guard Self.isName(name) else { throw .name(String(name)) }
            host = .name(String(name))
        }
    }

    package init(_ address: NetworkAddress) { (host, port) = (.address(address), address.port) }
    package static func loopback(port: UInt16) -> HostPort { HostPort(NetworkAddress.loopback(port: port)) }

    /// Nil where the host is a name.
    package var address: NetworkAddress? { if case .address(let address) = host { address } else { nil } }

    private static func port(_ text: Substring?, _ defaultPort: UInt16?, in whole: String) throws(Fault) -> UInt16 {
        guard let text else {
            guard let defaultPort else { throw .noPort(whole) }
            return defaultPort
        }
        guard !text.isEmpty else { throw .noPort(whole) }
        // Digits alone: the integer's own reader takes a sign.
        guard text.utf8.allSatisfy(isDigit), let port = UInt16(text) else { throw .port(String(text), in: whole) }
        return port
    }

    private static func address(_ host: Substring, port: UInt16) -> NetworkAddress? {
        host.contains("+") ? nil : NetworkAddress(host: String(host), port: port)
    }

    /// Such a host is an IPv4 address or nothing: no name's last label is a number (RFC 1123 section 2.1), and resolvers read
    /// `4600` or `0x7f.1` as addresses that nobody meant.
    private static func endsInANumber(_ host: Substring) -> Bool {
        guard let last = host.split(separator: ".").last else { return false }
        return last.utf8.allSatisfy(isDigit) || last.lowercased().hasPrefix("0x")
    }

    /// Letters, digits, `-` and `_` in labels of 1 to 63, 253 in all (RFC 1035 section 2.3.4); a dot may end it.
    private static func isName(_ host: Substring) -> Bool {
        let labels = (host.hasSuffix(".") ? host.dropLast() : host).split(separator: ".", omittingEmptySubsequences: false)
        return host.utf8.count <= 254
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-") && label.utf8.allSatisfy(isNameByte)
            }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x61...0x7A).contains(byte | 0x20) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }
}

extension HostPort: CustomStringConvertible {
    package var description: String {
        switch host {
        case .address(let address): address.description
        case .name(let name): "\(name):\(port)"
        }
    }
}

extension HostPort.Fault: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noHost(let text): "'\(text)' names no host; write host:port"
        case .noPort(let text): "'\(text)' has no port; write \(text.firstIndex(of: ":") == text.lastIndex(of: ":") ? "host:port" : "[address]:port")"
        case .port(let port, let text): "'\(port)' in '\(text)' is no port; a port is a number of 0 to 65535"
        case .brackets(let text): "the brackets of '\(text)' do not fit; write an IPv6 address with a port as [::1]:4600"
        case .ipv4(let host): "'\(host)' is no IPv4 address, such as 127.0.0.1"
        case .ipv6(let host): "'\(host)' is no IPv6 address, such as 2001:db8::1"
        case .name(let host): "'\(host)' is no host name: letters, digits, - and _, in parts of at most 63 between dots"
        }
    }
}
