import BenchContender
import MastCalls
import MastTransport
import Synchronization

/// Mast's calls over one connection, direct or through a forwarder.
struct OurContender: Contender {
    let host: RPCHost
    let address: NetworkAddress
    let key: PublicKey
    /// The control connection to the forwarder and the server's route there.
    var forwarded: (control: RPCClient, route: UInt32)?

    /// The connection made last.
    private final class Last: Sendable { let client = Mutex<RPCClient?>(nil) }
    private let last = Last()

    init(host: RPCHost, address: NetworkAddress, key: PublicKey) { (self.host, self.address, self.key) = (host, address, key) }

    /// As the handshake chose it.
    var details: [String: String] { last.client.withLock { $0?.connectionStatistics?.cipherSuite }.map { ["cipher": $0.name] } ?? [:] }

    func connect() async throws -> Connection {
        if let (control, route) = forwarded {
            return Connection(client: remember(host.client(at: HostPort(address), peerKey: key, route: route, control: control)))
        }
        return Connection(client: remember(host.client(to: address, peerKey: key)))
    }

    private func remember(_ client: RPCClient) -> RPCClient {
        last.client.withLock { $0 = client }
        return client
    }

    /// A host has one connection for each peer: another one needs a host of its own, which lives until the connection closes.
    func connectAlone() async throws -> Connection {
        guard forwarded == nil else { return try await connect() }
        let (life, end) = AsyncStream.makeStream(of: Void.self)
        let (clients, found) = AsyncThrowingStream.makeStream(of: RPCClient.self)
        Task {
            do {
                try await withUDPHost { host in
                    found.yield(host.client(to: address, peerKey: key))
                    for await _ in life {}
                }
            } catch { found.finish(throwing: error) }
        }
        for try await client in clients { return Connection(client: client, end: end) }
        throw ContenderError("no host")
    }

    struct Connection: ContenderConnection {
        let client: RPCClient
        private let end: AsyncStream<Void>.Continuation?
        private var options: CallOptions { CallOptions(deadline: .in(.seconds(30))) }

        private func patience(_ transfer: Transfer) -> CallOptions { CallOptions(deadline: .in(.milliseconds(Int64(transfer.patience * 1000)))) }

        init(client: RPCClient, end: AsyncStream<Void>.Continuation? = nil) { (self.client, self.end) = (client, end) }

        func echo(_ request: [UInt8]) async throws -> [UInt8] {
            try await client.call(TransferService.echo, ByteString(request), options: options).bytes
        }

        func upload(_ transfer: Transfer, pattern: Pattern) async throws -> Int {
            try await client.stream(TransferService.upload, options: options) { writer in
                for offset in stride(from: 0, to: transfer.size, by: TransferService.chunk) {
                    let bytes = ByteString(pattern.slice(at: offset, count: min(TransferService.chunk, transfer.size - offset)))
                    try await writer.send(UploadChunk(transfer: offset == 0 ? transfer : nil, bytes: bytes))
                }
            }
        }

        func download(_ transfer: Transfer, receive: @Sendable @escaping ([UInt8]) throws -> Bool) async throws {
            try await client.stream(TransferService.download, transfer, options: patience(transfer)) { answers in
                for try await chunk in answers where try !receive(chunk.bytes) { return }
            }
        }

        func messages(_ transfer: Transfer, receive: @Sendable @escaping ([UInt8]) throws -> Bool) async throws {
            try await client.stream(TransferService.messages, transfer, options: patience(transfer)) { answers in
                for try await message in answers where try !receive(message.bytes) { return }
            }
        }

        func close() async {
            client.close()
            end?.finish()
        }
    }
}
