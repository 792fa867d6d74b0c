import MastCapture
import MastLinkInference
import MastTimebase

/// The names of servers, as far as a capture shows them in clear: in a TLS client's hello, in a QUIC client's, which any
/// witness can open, and in DNS answers. It looks at records in the order of the file, beside whoever follows flows.
///
/// Bounded: `mostNames` flows and as many addresses have a name, and `mostOpen` hellos are put together at once.
package struct ServerNames: Sendable {
    package struct Name: Sendable, Hashable {
        package enum Basis: String, Sendable, Hashable {
            /// The client asked for it in clear (RFC 6066); with an encrypted hello it is the public name.
            case tls
            /// The same, in QUIC's first packets.
            case quic
            /// An answer before the flow began gave this name its server's address; other names may have it, too.
            case dns
        }
        package var text: String
        package var basis: Basis

        package init(text: String, basis: Basis) { (self.text, self.basis) = (text, basis) }
    }

    private struct Seen: Sendable {
        var name: Name
        var epochNanoseconds: Int64
    }

    private struct Hello: Sendable {
        var key: FlowKey
        var source: NetworkAddress
        /// Of TCP, where the stream of records begins.
        var sequence: UInt32 = 0
        var assembly = HelloAssembly()
        var keys: QUICInitial.Keys?
        /// Packets that could not be opened, or segments that completed nothing.
        var tries = 0
        /// What `looked` was when it began.
        var since = 0
    }

    static let mostNames = 65_536
    /// Beginnings of conversations at one time; each holds 32 kB at most.
    static let mostOpen = 64
    /// A hello takes three packets at most, as a rule.
    private static let mostTries = 8
    /// One after the other between the same ports, or names of one address.
    private static let mostOfOne = 16

    private var flows: [FlowKey: [Seen]] = [:]  // lookup only
    private var addresses: [NetworkAddress: [Seen]] = [:]  // lookup only
    private var hellos: [Hello] = []
    /// TCP segments with data that passed while a hello was open.
    private var looked = 0
    private static let patience = 20_000
    /// Packets that looked like a client's first and could not be opened, less those that could: garbage is not tried for ever.
    private var refusals = 0
    private static let mostRefusals = 10_000

    package init() {}

    /// - Parameters:
    ///   - headers: of the record, decoded.
    ///   - bytes: the whole frame, as far as it was captured.
    package mutating func look(_ record: CaptureRecord, _ headers: PacketHeaders, _ bytes: Span<UInt8>) {
        guard headers.payloadOffset > 0, headers.payloadOffset < bytes.count, let ip = headers.ip else { return }
        switch headers.transport {
        case .tcp(let tcp):
            guard tcp.payloadBytes > 0 else { return }
            // A record of the handshake with a client's hello, or what may go on with one.
            let start = headers.payloadOffset
            let begins = bytes[start] == 0x16 && start < bytes.count - 5 && bytes[start + 1] == 3 && bytes[start + 5] == 1
            if !hellos.isEmpty {
                looked += 1
                // What is not said soon is not said.
                if looked - hellos[0].since > Self.patience { hellos.removeFirst() }
            }
            guard begins || hellos.contains(where: { $0.source == ip.source && $0.keys == nil && $0.key.has(ip.destination) }) else { return }
            takeTCP(tcp, ip, begins: begins, record, payload(bytes, headers.payloadOffset, tcp.payloadBytes))
        case .udp(let udp):
            if ip.source.port == 53, udp.payloadBytes > 12 {
                takeDNS(record, payload(bytes, headers.payloadOffset, udp.payloadBytes))
            } else if udp.isQUICLongHeader, udp.payloadBytes >= 1_200 {
                // A client's first packets are never smaller (RFC 9000 section 14.1).
                takeQUIC(ip, record, payload(bytes, headers.payloadOffset, udp.payloadBytes))
            }
        default: return
        }
    }

    /// - Parameter start: when the capture's times begin, in nanoseconds since 1970.
    package func name(of flow: FlowState, start: Int64) -> Name? {
        func time(_ seen: Seen) -> Instant { Instant(nanoseconds: seen.epochNanoseconds.subtractingReportingOverflow(start).partialValue) }
        if let own = flows[flow.key] {
            if let inside = own.first(where: { time($0) >= flow.first && time($0) <= flow.last }) { return inside.name }
            // Of a connection that is shown without its beginning the hello lies before.
            if flow.clientKnownBy != "SYN", let before = own.last(where: { time($0) < flow.first }) { return before.name }
        }
        return addresses[flow.server.with(port: 0)]?.last { time($0) <= flow.first }?.name
    }

    private func payload(_ bytes: Span<UInt8>, _ offset: Int, _ count: Int) -> [UInt8] {
        let end = min(bytes.count, offset + count)
        guard offset < end else { return [] }
        var payload: [UInt8] = []
        payload.reserveCapacity(end - offset)
        for index in offset..<end { payload.append(bytes[index]) }
        return payload
    }

    // MARK: What was said

    private mutating func takeTCP(_ tcp: TCPHeader, _ ip: IPHeader, begins: Bool, _ record: CaptureRecord, _ payload: [UInt8]) {
        let key = FlowKey.of(protocolNumber: 6, source: ip.source, destination: ip.destination).key
        var place = hellos.firstIndex { $0.key == key && $0.source == ip.source && $0.keys == nil }
        if place == nil, begins {
            begin(Hello(key: key, source: ip.source, sequence: tcp.sequence))
            place = hellos.count - 1
        }
        guard let place else { return }
        hellos[place].assembly.add(payload, at: Int(Int32(bitPattern: tcp.sequence &- hellos[place].sequence)))
        hellos[place].tries += 1
        let (hello, isWhole) = Self.handshake(hellos[place].assembly.beginning)
        guard isWhole || hellos[place].tries >= Self.mostTries else { return }
        hellos.remove(at: place)
        if let name = ClientHello.serverName(hello) { note(Name(text: name, basis: .tls), key, record) }
    }

    /// The first handshake message out of its records (RFC 8446 section 5.1), as far as it is there.
    private static func handshake(_ stream: [UInt8]) -> (bytes: [UInt8], isWhole: Bool) {
        var cursor = ByteCursor(stream)
        var message: [UInt8] = []
        while cursor.rest >= 5, let kind = cursor.int(1), cursor.skip(2), let length = cursor.int(2) {
            guard kind == 0x16 else { return (message, true) }
            message += cursor.take(min(length, cursor.rest)) ?? []
            if message.count >= 4 {
                guard let whole = ClientHello.length(message) else { return (message, true) }
                if message.count >= whole { return (message, true) }
            }
        }
        return (message, false)
    }

    private mutating func takeQUIC(_ ip: IPHeader, _ record: CaptureRecord, _ payload: [UInt8]) {
        guard refusals < Self.mostRefusals, let packet = QUICInitial(payload) else { return }
        let key = FlowKey.of(protocolNumber: 17, source: ip.source, destination: ip.destination).key
        if flows[key]?.contains(where: { $0.epochNanoseconds <= record.epochNanoseconds && record.epochNanoseconds - $0.epochNanoseconds < 3_000_000_000 }) ?? false {
            return
        }
        var place = hellos.firstIndex { $0.key == key && $0.source == ip.source && $0.keys != nil }
        var frames = place.flatMap { hellos[$0].keys }.flatMap { packet.open($0) }
        if frames == nil {
            // The first, or one after a Retry, which names other keys.
            let keys = QUICInitial.Keys(version: packet.version, destination: packet.destination)
            frames = packet.open(keys)
            if frames != nil {
                if let place { hellos.remove(at: place) }
                var hello = Hello(key: key, source: ip.source)
                hello.keys = keys
                begin(hello)
                place = hellos.count - 1
            }
        }
        guard let frames, let place else {
            refusals += 1
            return
        }
        refusals = max(0, refusals - 4)
        for piece in QUICInitial.cryptoPieces(frames) { hellos[place].assembly.add(piece.bytes, at: piece.offset) }
        hellos[place].tries += 1
        let hello = hellos[place].assembly.beginning
        let isWhole = hello.count >= 4 && (ClientHello.length(hello).map { hello.count >= $0 } ?? true)
        guard isWhole || hellos[place].tries >= Self.mostTries else { return }
        hellos.remove(at: place)
        if let name = ClientHello.serverName(hello) { note(Name(text: name, basis: .quic), key, record) }
    }

    private mutating func takeDNS(_ record: CaptureRecord, _ payload: [UInt8]) {
        guard let answer = DNSAnswer(payload) else { return }
        let seen = Seen(name: Name(text: answer.name, basis: .dns), epochNanoseconds: record.epochNanoseconds)
        for address in answer.addresses {
            guard let known = addresses[address] else {
                if addresses.count < Self.mostNames { addresses[address] = [seen] }
                continue
            }
            guard known.last?.name != seen.name else { continue }
            // Flows from before the oldest that is kept have no name then, rather than a later one.
            if known.count >= Self.mostOfOne { addresses[address]?.removeFirst() }
            addresses[address]?.append(seen)
        }
    }

    // MARK: Bounds

    private mutating func begin(_ hello: Hello) {
        if hellos.count >= Self.mostOpen { hellos.removeFirst() }
        hellos.append(hello)
        hellos[hellos.count - 1].since = looked
    }

    private mutating func note(_ name: Name, _ key: FlowKey, _ record: CaptureRecord) {
        let seen = Seen(name: name, epochNanoseconds: record.epochNanoseconds)
        if let known = flows[key] {
            if known.count < Self.mostOfOne { flows[key]?.append(seen) }
        } else if flows.count < Self.mostNames {
            flows[key] = [seen]
        }
    }
}

extension FlowKey {
    fileprivate func has(_ end: NetworkAddress) -> Bool { lower == end || higher == end }
}
