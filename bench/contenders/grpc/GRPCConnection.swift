import BenchContender
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix

struct BytesCoding: MessageSerializer, MessageDeserializer {
    func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
    func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] { bytes.withUnsafeBytes { Array($0) } }
}

enum Methods {
    static let service = "bench.v1.Transfer"
    static let echo = MethodDescriptor(fullyQualifiedService: service, method: "echo")
    static let upload = MethodDescriptor(fullyQualifiedService: service, method: "upload")
    static let download = MethodDescriptor(fullyQualifiedService: service, method: "download")
    static let messages = MethodDescriptor(fullyQualifiedService: service, method: "messages")
    static let chunk = 32 * 1024
}

struct GRPCContender: Contender {
    let host: String
    let port: Int
    let certificate: String
    let congestion: String

    var details: [String: String] { ["congestionControl": SocketSettings.readBack.withLock { $0 } ?? "unknown"] }

    func connect() async throws -> Connection {
        let congestion = congestion
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: host, port: port),
            transportSecurity: .tls { tls in tls.trustRoots = .certificates([.file(path: certificate, format: .pem)]) },
            config: .defaults { config in
                config.http2.authority = "bench"
                config.channelDebuggingCallbacks.onCreateTCPConnection = { channel in SocketSettings.apply(congestion, to: channel) }
            })
        let client = GRPCClient(transport: transport)
        return Connection(client: client, running: Task { try await client.runConnections() })
    }

    struct Connection: ContenderConnection {
        let client: GRPCClient<HTTP2ClientTransport.Posix>
        let running: Task<Void, any Error>
        private let coding = BytesCoding()

        init(client: GRPCClient<HTTP2ClientTransport.Posix>, running: Task<Void, any Error>) {
            (self.client, self.running) = (client, running)
        }

        private var options: CallOptions {
            var options = CallOptions.defaults
            options.timeout = .seconds(30)
            options.waitForReady = true
            return options
        }

        func echo(_ request: [UInt8]) async throws -> [UInt8] {
            try await client.unary(
                request: ClientRequest(message: request), descriptor: Methods.echo, serializer: coding, deserializer: coding, options: options
            ) { try $0.message }
        }

        func upload(_ transfer: Transfer, pattern: Pattern) async throws -> Int {
            let head = try Array(JSONEncoder().encode(transfer))
            let answer = try await client.clientStreaming(
                request: StreamingClientRequest { writer in
                    try await writer.write(head)
                    for offset in stride(from: 0, to: transfer.size, by: Methods.chunk) {
                        try await writer.write(pattern.slice(at: offset, count: min(Methods.chunk, transfer.size - offset)))
                    }
                }, descriptor: Methods.upload, serializer: coding, deserializer: coding, options: options
            ) { try $0.message }
            return Int(String(decoding: answer, as: UTF8.self)) ?? -1
        }

        private func receive(
            _ method: MethodDescriptor, _ transfer: Transfer, _ receive: @Sendable @escaping ([UInt8]) throws -> Bool
        ) async throws {
            var options = self.options
            options.timeout = .milliseconds(Int(transfer.patience * 1000))
            try await client.serverStreaming(
                request: ClientRequest(message: Array(try JSONEncoder().encode(transfer))), descriptor: method, serializer: coding,
                deserializer: coding, options: options
            ) { response in
                for try await chunk in response.messages where try !receive(chunk) { return }
            }
        }

        func download(_ transfer: Transfer, receive: @Sendable @escaping ([UInt8]) throws -> Bool) async throws {
            try await self.receive(Methods.download, transfer, receive)
        }

        func messages(_ transfer: Transfer, receive: @Sendable @escaping ([UInt8]) throws -> Bool) async throws {
            try await self.receive(Methods.messages, transfer, receive)
        }

        func close() async {
            client.beginGracefulShutdown()
            running.cancel()
        }
    }
}

/// The server's side.
struct TransferService: RegistrableRPCService {
    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        let coding = BytesCoding()
        router.registerHandler(forMethod: Methods.echo, deserializer: coding, serializer: coding) { request, _ in
            let message = try await ServerRequest(stream: request).message
            return StreamingServerResponse(single: ServerResponse(message: message))
        }
        router.registerHandler(forMethod: Methods.upload, deserializer: coding, serializer: coding) { request, _ in
            var check: ContenderProgram.Check?
            var size = 0
            for try await message in request.messages {
                guard check != nil else {
                    let transfer = try JSONDecoder().decode(Transfer.self, from: Data(message))
                    (check, size) = (ContenderProgram.Check(seed: transfer.seed), transfer.size)
                    continue
                }
                try check?.take(message)
            }
            guard check?.received == size else { throw RPCError(code: .dataLoss, message: "\(check?.received ?? 0) bytes came") }
            return StreamingServerResponse(single: ServerResponse(message: Array("\(size)".utf8)))
        }
        router.registerHandler(forMethod: Methods.download, deserializer: coding, serializer: coding) { request, _ in
            let transfer = try await Self.transfer(request)
            return StreamingServerResponse { writer in
                let pattern = Pattern(seed: transfer.seed)
                for offset in stride(from: 0, to: transfer.size, by: Methods.chunk) {
                    try await writer.write(pattern.slice(at: offset, count: min(Methods.chunk, transfer.size - offset)))
                }
                return [:]
            }
        }
        router.registerHandler(forMethod: Methods.messages, deserializer: coding, serializer: coding) { request, _ in
            let transfer = try await Self.transfer(request)
            return StreamingServerResponse { writer in
                let (pattern, began) = (Pattern(seed: transfer.seed), ContinuousClock.now)
                for index in 0..<transfer.messages {
                    try await Task.sleep(until: began + .microseconds(index * transfer.pauseMicroseconds), clock: .continuous)
                    try await writer.write(pattern.slice(at: index * transfer.size, count: transfer.size))
                }
                return [:]
            }
        }
    }

    private static func transfer(_ request: StreamingServerRequest<[UInt8]>) async throws -> Transfer {
        try JSONDecoder().decode(Transfer.self, from: Data(try await ServerRequest(stream: request).message))
    }
}
