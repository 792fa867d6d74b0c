import BenchContender
import MastCalls
import MastTransport

struct UploadChunk: Codable, Sendable {
    /// In the first chunk only.
    var transfer: Transfer?
    var bytes: ByteString
}

/// The echo and transfer service of the benchmark, in Mast's own methods.
enum TransferService {
    static let chunk = 32 * 1024
    static let echo = Unary<ByteString, ByteString>("bench.v1.Transfer/echo")
    static let upload = ClientStream<UploadChunk, Int>("bench.v1.Transfer/upload")
    static let download = ServerStream<Transfer, ByteString>("bench.v1.Transfer/download")
    static let messages = ServerStream<Transfer, ByteString>("bench.v1.Transfer/messages")

    static var server: RPCServer {
        RPCServer {
            echo.handle { request in request }
            upload.handle { chunks in
                var (check, size): (ContenderProgram.Check?, Int) = (nil, 0)
                for try await chunk in chunks {
                    if let transfer = chunk.transfer { (check, size) = (ContenderProgram.Check(seed: transfer.seed), transfer.size) }
                    try check?.take(chunk.bytes.bytes)
                }
                guard check?.received == size else { throw RPCError(.dataLoss, "\(check?.received ?? 0) bytes came") }
                return size
            }
            download.handle { transfer, answers in
                let pattern = Pattern(seed: transfer.seed)
                for offset in stride(from: 0, to: transfer.size, by: chunk) {
                    try await answers.send(ByteString(pattern.slice(at: offset, count: min(chunk, transfer.size - offset))))
                }
            }
            messages.handle { transfer, answers in
                let (pattern, began) = (Pattern(seed: transfer.seed), ContinuousClock.now)
                for index in 0..<transfer.messages {
                    try await Task.sleep(until: began + .microseconds(index * transfer.pauseMicroseconds), clock: .continuous)
                    try await answers.send(ByteString(pattern.slice(at: index * transfer.size, count: transfer.size)))
                }
            }
        }
    }
}

/// The way through a forwarder: what the communication server does for its parties, without the rest of the cloud.
enum Forwarder {
    /// Answers the caller's route, with the forwarder pointing at it.
    static let attach = Unary<Int, UInt32>("bench.v1.Forwarder/attach")

    static func server(_ host: RPCHost) -> RPCServer {
        RPCServer {
            attach.handle { (_: Int, context: CallContext) in
                let route = UInt32.random(in: 1 ... .max)
                let address = context.connection.address
                guard host.forwarding.set(route, to: address) else {
                    throw RPCError(.resourceExhausted, "no route is free")
                }
                return route
            }
        }
    }

    /// Makes a route to `host` through the forwarder.
    static func join(_ host: RPCHost, at address: NetworkAddress, key: PublicKey) async throws -> (control: RPCClient, route: UInt32) {
        let control = host.client(to: address, peerKey: key)
        let route = try await control.call(attach, 0, options: CallOptions(deadline: .in(.seconds(30))))
        host.forwarding.join(route, through: [])
        return (control, route)
    }
}
