import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization

/// Hosts on one simulated wire.
final class World: Sendable {
    let time = VirtualTime()
    let wire: SimulatedWire
    let seed: UInt64

    init(seed: UInt64 = 1, delay: Interval = .milliseconds(10), loss: Double = 0) {
        self.seed = seed
        wire = SimulatedWire(world: time, seed: seed, delay: delay, loss: Probability(loss))
    }

    static func address(_ port: UInt16) -> NetworkAddress { .loopback(port: port) }

    struct Node: Sendable {
        var host: RPCHost
        var driver: SimulatedDriver
        var address: NetworkAddress
    }

    /// The same port has the same key; another `life` is another incarnation.
    /// - Parameters:
    ///   - network: another one is another source of traffic.
    ///   - place: where it is, instead.
    func node(_ port: UInt16, life: UInt64 = 0, network: UInt32? = nil, at place: NetworkAddress? = nil, _ configure: (inout HostConfiguration) -> Void = { _ in }) -> Node {
        var keys = SeededGenerator(seed: seed, stream: UInt64(port))
        var configuration = HostConfiguration()
        configure(&configuration)
        let address = place ?? network.map { NetworkAddress(ipv4: $0, port: port) } ?? World.address(port)
        let driver = SimulatedDriver(world: time, carrier: wire, address: address)
        let host = RPCHost(
            identity: StaticKeyPair(using: &keys), configuration: configuration,
            entropy: SeededGenerator(seed: seed &+ life, stream: UInt64(port) + 100_000), driver: driver)
        driver.attach(host)
        wire.connect(driver, at: address)
        return Node(host: host, driver: driver, address: address)
    }

    /// A server on port 1 and a client of it on port 2, for as long as `body` takes.
    func pair<T: Sendable>(
        _ server: RPCServer, limit: Interval = .seconds(120), _ body: @escaping @Sendable (RPCClient, Node, Node) async throws -> T
    ) throws -> T {
        let (here, there) = (node(2), node(1))
        let client = here.host.client(to: there.address, peerKey: there.host.publicKey)
        return try time.run(limit: limit) {
            try await serving(there.host, server) { try await body(client, here, there) }
        }
    }
}

/// Runs `body` while `host` serves.
func serving<T: Sendable>(_ host: RPCHost, _ server: RPCServer, _ body: @escaping @Sendable () async throws -> T) async throws -> T {
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await host.serve(server) }
        let value = try await body()
        group.cancelAll()
        return value
    }
}

/// What happened, from whatever task.
final class Journal<Entry: Sendable>: Sendable {
    private let entries = Mutex<[Entry]>([])
    func add(_ entry: Entry) { entries.withLock { $0.append(entry) } }
    var all: [Entry] { entries.withLock { $0 } }
    var count: Int { entries.withLock { $0.count } }
}

func failure(_ body: () async throws -> Void) async -> RPCError? {
    do { try await body() } catch { return error as? RPCError }
    return nil
}

struct Line: Codable, Sendable, Equatable {
    var text: String
    var number: Int = 0
}

enum Echo: RPCService {
    static let say = Unary<Line, Line>("test.v1.Echo/say", .readOnly)
    static let add = Unary<Line, Line>("test.v1.Echo/add")
    static let put = Unary<Line, Line>("test.v1.Echo/put", .idempotent)
    static let count = ServerStream<Line, Line>("test.v1.Echo/count", .readOnly)
    static let sum = ClientStream<Line, Line>("test.v1.Echo/sum")
    static let chat = BidiStream<Line, Line>("test.v1.Echo/chat")
    static let blob = ServerStream<Line, ByteString>("test.v1.Echo/blob", .readOnly)

    static func server(_ journal: Journal<String> = Journal()) -> RPCServer {
        RPCServer {
            say.handle { $0 }
            add.handle { line in
                journal.add(line.text)
                return line
            }
            put.handle { line in
                journal.add(line.text)
                return line
            }
            count.handle { line, writer in
                for number in 0..<line.number { try await writer.send(Line(text: line.text, number: number)) }
            }
            sum.handle { lines in
                var total = 0
                for try await line in lines { total += line.number }
                return Line(text: "sum", number: total)
            }
            chat.handle { lines, writer in
                for try await line in lines { try await writer.send(line) }
            }
        }
    }
}
