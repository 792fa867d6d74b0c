import Foundation
import MastPacketTools
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization
import Testing

private enum Orders {
    static let get = Unary<String, String>("shop.v1.Orders/get", .readOnly)
    static let list = ServerStream<Int, String>("shop.v1.Orders/list", .readOnly)

    static let server = RPCServer {
        get.handle { number throws(RPCError) in
            if number == "none" { throw RPCError(.notFound, "no such order", effect: .none) }
            return "order \(number)"
        }
        list.handle { count, writer in for number in 0..<count { try await writer.send(String(repeating: "x", count: 3_000) + "\(number)") } }
    }
}

/// Calls over a simulated wire, recorded and read with what the ends logged.
@Suite struct TrafficReaderTests {
    private static let limit = Interval.seconds(60)

    /// Records what it carries.
    private final class Tap: SimulatedCarrier {
        struct Datagram { var bytes: [UInt8], from: NetworkAddress, to: NetworkAddress, at: Interval }
        private let wire: SimulatedWire
        private let time: VirtualTime
        private let carried = Mutex<[Datagram]>([])
        init(_ wire: SimulatedWire, _ time: VirtualTime) { (self.wire, self.time) = (wire, time) }
        var all: [Datagram] { carried.withLock { $0 } }
        func carry(_ datagram: Transmit, from source: NetworkAddress) {
            carried.withLock { $0.append(Datagram(bytes: datagram.payload, from: source, to: datagram.destination, at: time.now.sinceStart)) }
            wire.carry(datagram, from: source)
        }
    }

    private final class Log: SecretLog {
        private let lines = Mutex<[String]>([])
        func add(_ keys: PacketKeys) { lines.withLock { $0.append(keys.line) } }
        func add(method path: String, number: UInt32) {
            if let line = KeyLog.line(method: path, number: number) { lines.withLock { $0.append(line) } }
        }
        var text: String { lines.withLock { $0.map { $0 + "\n" }.joined() } }
    }

    /// A call that succeeds, one that does not, and a stream; with the client's log and the server's.
    private func record() throws -> (datagrams: [Tap.Datagram], client: String, server: String) {
        let time = VirtualTime()
        let wire = SimulatedWire(world: time, seed: 5, delay: .milliseconds(10), loss: Probability(0))
        let tap = Tap(wire, time)
        func host(_ port: UInt16, _ log: Log) -> RPCHost {
            let address = NetworkAddress.loopback(port: port)
            let driver = SimulatedDriver(world: time, carrier: tap, address: address)
            var keys = SeededGenerator(seed: 5, stream: UInt64(port))
            let host = RPCHost(
                identity: StaticKeyPair(using: &keys), entropy: SeededGenerator(seed: 5, stream: UInt64(port) + 9), driver: driver, secretLog: log)
            driver.attach(host)
            wire.connect(driver, at: address)
            return host
        }
        let (clientLog, serverLog) = (Log(), Log())
        let (client, server) = (host(2, clientLog), host(1, serverLog))
        let orders = client.client(to: .loopback(port: 1), peerKey: server.publicKey)
        try time.run(limit: Self.limit) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.serve(Orders.server) }
                #expect(try await orders.call(Orders.get, "17") == "order 17")
                await #expect(throws: RPCError.self) { try await orders.call(Orders.get, "none") }
                try await orders.stream(Orders.list, 5) { for try await _ in $0 {} }
                group.cancelAll()
            }
        }
        return (tap.all, clientLog.text, serverLog.text)
    }

    private func read(_ datagrams: [Tap.Datagram], keys: String?, ports: [UInt16] = []) throws -> (records: [TrafficRecord], reader: TrafficReader) {
        let path = NSTemporaryDirectory() + "mast-keys-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        if let keys { try keys.write(toFile: path, atomically: false, encoding: .utf8) }
        let reader = TrafficReader(ports: ports, keyLog: keys == nil ? nil : try KeyLogFollower(path: path))
        return (datagrams.flatMap { reader.take($0.bytes, wireBytes: $0.bytes.count, from: $0.from, to: $0.to, at: $0.at) }, reader)
    }

    @Test func methodsAnswersAndAcknowledgementsAreReadWithTheLogOfEitherEnd() throws {
        let (datagrams, client, server) = try record()
        for log in [client, server] {
            let (records, reader) = try read(datagrams, keys: log)
            #expect(records.count == datagrams.count)
            let text = records.map(\.text).joined(separator: "\n")
            for part in [
                "request shop.v1.Orders/get cbor readOnly", "request shop.v1.Orders/list cbor readOnly", "trailer ok effect", "trailer notFound effect none \"no such order\"",
                "message 9 bytes", "[ack ", "stream 0 0+",
            ] { #expect(text.contains(part), "\(part) in\n\(text)") }
            #expect(!text.contains("NOT") && !text.contains("MALFORMED"))
            #expect(text.matches(of: #/message 30\d\d bytes/#).count == 5, "messages over several packets are told once")
            #expect(reader.opened == records.filter { $0.datagram.dissection.kind == .data }.count && reader.sealed.isEmpty)
        }
    }

    /// Path, marks and receive times of an acknowledgement, and the versions that an end speaks.
    @Test func acknowledgementsAndVersionsAreReadWhole() throws {
        let key = PacketKey(secret: [1], suite: .chaCha20Poly1305)
        let keys = PacketKeys(
            initiator: ConnectionID(rawValue: 7), responder: ConnectionID(rawValue: 9), generation: 0, toResponder: key, toInitiator: key)
        let ack = AckFrame(
            path: 3, ranges: [40...50, 10...20], delayMicroseconds: 250, marks: ECNCounts(ect0: 5, ce: 2),
            timestamps: [ReceiveTimestamp(number: 50, steps: 1_000), ReceiveTimestamp(number: 48, steps: 990)])
        var payload = ByteWriter(capacity: 64)
        payload.frame(.ack(ack))
        let data = try #require(key.packet(payload.bytes, destination: keys.responder, number: 100))
        let versions = [0x0E] + [0, 0, 0, 0, 0, 0, 0, 7, 0] + [UInt8](repeating: 0, count: 8) + [2, 3]
        let records = try read(
            [data, versions].map { Tap.Datagram(bytes: $0, from: .loopback(port: 1), to: .loopback(port: 2), at: .zero) }, keys: keys.line + "\n",
            ports: [2]
        ).records
        try #require(records.count == 2)
        #expect(
            records[0].text.hasSuffix(
                "= number 100  [ack 40-50,10-20 of path 3 held 250us  ect0 5 ect1 0 ce 2  came 50 at 128000us, 48 at 126720us]"), "\(records[0].text)")
        #expect(records[1].text.hasSuffix("versions  20 bytes  to 7  from 0  speaks 2,3"), "\(records[1].text)")
        let objects = try records.map { try #require(JSONSerialization.jsonObject(with: try JSONEncoder().encode($0)) as? [String: Any]) }
        let frame = try #require((objects[0]["frames"] as? [[String: Any]])?.first)
        #expect(frame["path"] as? Int == 3 && frame["ecn"] as? [String: Int] == ["ect0": 5, "ect1": 0, "ce": 2])
        #expect(frame["receiveTimes"] as? [[String: Int]] == [["number": 50, "atUs": 128_000], ["number": 48, "atUs": 126_720]])
        #expect(objects[1]["kind"] as? String == "versions" && objects[1]["versions"] as? [Int] == [2, 3])
    }

    @Test func withoutNamesMethodsHaveTheirNumber() throws {
        let (datagrams, client, _) = try record()
        let keys = client.split(separator: "\n").filter { $0.hasPrefix("MAST_PACKET_KEYS") }.joined(separator: "\n") + "\n"
        let text = try read(datagrams, keys: keys).records.map(\.text).joined()
        #expect(!text.contains("shop") && text.contains("request method "))
    }

    @Test func withoutKeysNothingInsideIsShown() throws {
        let (datagrams, _, _) = try record()
        let (records, reader) = try read(datagrams, keys: nil)
        #expect(records.count == datagrams.count && reader.remark == nil)
        #expect(records.allSatisfy { if case .unread = $0.inside { true } else { false } })
    }

    @Test func aLogOfOthersIsSaidToBeOne() throws {
        let (datagrams, _, _) = try record()
        let (records, reader) = try read(datagrams, keys: "CLIENT_RANDOM 00 11\n")
        let data = records.filter { $0.datagram.dissection.kind == .data }
        #expect(!data.isEmpty && data.allSatisfy { $0.text.contains("NOT DECRYPTED: the key log has no keys of this connection") })
        #expect(reader.remark?.contains("is it the file that MAST_KEYLOG named") == true)
    }

    @Test func aConversationRecordedFromItsMiddleOnIsKnownByTheLog() throws {
        let (datagrams, client, _) = try record()
        let middle = Array(datagrams.drop { PacketHeader.kind(of: $0.bytes) != .data }.dropFirst())
        #expect(middle.count > 5)
        #expect(try read(middle, keys: nil).records.isEmpty)
        #expect(try read(middle, keys: client).records.count == middle.count)
    }

    @Test func aPacketThatWasNotRecordedIsMissedAndTheOtherStreamsAreRead() throws {
        let (datagrams, client, _) = try record()
        // Of the stream's five messages the second packet.
        let large = datagrams.indices.filter { datagrams[$0].bytes.count > 1_100 && PacketHeader.kind(of: datagrams[$0].bytes) == .data }
        var holed = datagrams
        holed.remove(at: try #require(large.dropFirst().first))
        let text = try read(holed, keys: client).records.map(\.text).joined(separator: "\n")
        #expect(text.contains("trailer notFound") && text.contains("request shop.v1.Orders/list"))
        #expect(text.matches(of: #/message 30\d\d bytes/#).count < 5)
    }

    @Test func aLogThatGrowsIsFollowed() throws {
        let (datagrams, client, _) = try record()
        let path = NSTemporaryDirectory() + "mast-keys-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "".write(toFile: path, atomically: false, encoding: .utf8)
        let reader = TrafficReader(ports: [], keyLog: try KeyLogFollower(path: path))
        let handle = try #require(FileHandle(forWritingAtPath: path))
        handle.write(Data(client.utf8))
        try handle.close()
        for datagram in datagrams { _ = reader.take(datagram.bytes, wireBytes: datagram.bytes.count, from: datagram.from, to: datagram.to, at: datagram.at) }
        #expect(reader.opened > 5 && reader.sealed.isEmpty)
    }

    @Test func eachRecordIsJSONWithItsUnits() throws {
        let (datagrams, client, _) = try record()
        let records = try read(datagrams, keys: client).records
        let objects = try records.map { try #require(JSONSerialization.jsonObject(with: try JSONEncoder().encode($0)) as? [String: Any]) }
        #expect(objects.first?["kind"] as? String == "initiation" && objects.first?["datagramBytes"] as? Int == 1_200)
        let frames = objects.compactMap { $0["frames"] as? [[String: Any]] }.flatMap { $0 }
        #expect(Set(frames.compactMap { $0["frame"] as? String }).isSuperset(of: ["ack", "stream"]))
        let methods = frames.compactMap { $0["calls"] as? [[String: Any]] }.flatMap { $0 }.compactMap { $0["method"] as? String }
        #expect(methods == ["shop.v1.Orders/get", "shop.v1.Orders/get", "shop.v1.Orders/list"])
    }
}
