import MastTimebase

/// What a key log file says: packet keys by connection and key phase, and names of methods. See `KeyLog` in the
/// documentation for the format.
package struct KeyLog: Sendable {
    /// Which of a connection's two directions a packet took.
    package struct Way: Sendable, Hashable {
        /// The connection, by the line that first named it.
        package var connection: Int
        package var isToResponder: Bool

        package init(connection: Int, isToResponder: Bool) { (self.connection, self.isToResponder) = (connection, isToResponder) }
    }

    private struct Phase: Hashable {
        var destination: ConnectionID
        var generation: UInt64
    }

    private static let methodLabel = "MAST_METHOD"
    /// A key phase lasts 2^20 packets: more lines than anybody's recording needs, some 250 MB of text.
    private static let mostPhases = 1 << 20
    private static let mostMethods = 65_536

    private var keys: [Phase: PacketKey] = [:]  // lookup only
    private var newest: [ConnectionID: UInt64] = [:]  // lookup only
    private var ways: [ConnectionID: Way] = [:]  // lookup only
    private var methods: [UInt32: String] = [:]  // lookup only
    package private(set) var connections = 0
    /// Lines that are neither keys, nor a method's name, nor a remark (`#`), nor empty.
    package private(set) var strangeLines = 0

    /// What came of a line whose end has not.
    private var partial: [UInt8] = []
    private static let longestLine = 4_096

    package init() {}

    /// More of the file, which may grow while it is read.
    package mutating func append(_ bytes: some Sequence<UInt8>) {
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                let line = String(decoding: partial, as: UTF8.self)
                take(line[...])
                partial.removeAll(keepingCapacity: true)
            } else if partial.count < Self.longestLine {
                partial.append(byte)
            }
        }
    }

    private mutating func take(_ line: Substring) {
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        if fields.first?.first == "#" || fields.isEmpty { return }
        if let keys = PacketKeys(fields) {
            insert(keys)
        } else if fields.count == 3, fields[0] == Self.methodLabel, let number = UInt32(fields[1], radix: 16) {
            if methods.count < Self.mostMethods { methods[number] = String(fields[2]) }
        } else {
            strangeLines += 1
        }
    }

    package mutating func insert(_ line: PacketKeys) {
        guard keys.count < Self.mostPhases else { return }
        if ways[line.responder] == nil {
            ways[line.responder] = Way(connection: connections, isToResponder: true)
            ways[line.initiator] = Way(connection: connections, isToResponder: false)
            connections += 1
        }
        for (destination, key) in [(line.responder, line.toResponder), (line.initiator, line.toInitiator)] {
            keys[Phase(destination: destination, generation: line.generation)] = key
            newest[destination] = max(newest[destination] ?? 0, line.generation)
        }
    }

    /// nil: no line names a connection in which packets go to this ID.
    package func way(to destination: ConnectionID) -> Way? { ways[destination] }

    package func method(_ number: UInt32) -> String? { methods[number] }

    func key(to destination: ConnectionID, generation: UInt64) -> PacketKey? { keys[Phase(destination: destination, generation: generation)] }

    func newestGeneration(to destination: ConnectionID) -> UInt64? { newest[destination] }

    /// The line that names a method; nil for a path that would not stand on it.
    package static func line(method path: String, number: UInt32) -> String? {
        guard !path.isEmpty, path.utf8.count <= 1_024, path.utf8.allSatisfy({ (0x21..<0x7F).contains($0) }) else { return nil }
        var writer = ByteWriter(capacity: 4)
        writer.integer(number)
        return [methodLabel, Hexadecimal.encode(writer.bytes), path].joined(separator: " ")
    }
}
