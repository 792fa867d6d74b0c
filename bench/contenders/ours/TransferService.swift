import Foundation
import MastCalls

/// What a transfer or a stream of answers is asked for.
struct TransferRequest: Codable, Sendable {
    var seed: UInt64
    var size: Int
    var messages = 0
    var pauseMicroseconds = 0
}

struct UploadChunk: Codable, Sendable {
    /// In the first chunk only.
    var transfer: TransferRequest?
    var bytes: ByteString
}

/// The echo and transfer service of the benchmark.
enum TransferService {
    static let chunk = 32 * 1024
    static let echo = Unary<ByteString, ByteString>("bench.v1.Transfer/echo")
    static let upload = ClientStream<UploadChunk, Int>("bench.v1.Transfer/upload")
    static let download = ServerStream<TransferRequest, ByteString>("bench.v1.Transfer/download")
    static let messages = ServerStream<TransferRequest, ByteString>("bench.v1.Transfer/messages")

    static func serve(on address: NetworkAddress) async throws {
        try await withUDPHost(bind: address) { host in
            let server = RPCServer {
                echo.handle { request in request }
                upload.handle { chunks in
                    var (received, expected): (Int, (TransferRequest, Pattern)?) = (0, nil)
                    for try await chunk in chunks {
                        if let transfer = chunk.transfer { expected = (transfer, Pattern(seed: transfer.seed)) }
                        guard let (_, pattern) = expected, pattern.slice(at: received, count: chunk.bytes.count) == chunk.bytes.bytes else {
                            throw RPCError(.dataLoss, "wrong bytes near \(received)")
                        }
                        received += chunk.bytes.count
                    }
                    guard received == expected?.0.size else { throw RPCError(.dataLoss, "\(received) bytes came") }
                    return received
                }
                download.handle { request, answers in
                    let pattern = Pattern(seed: request.seed)
                    for offset in stride(from: 0, to: request.size, by: chunk) {
                        try await answers.send(ByteString(pattern.slice(at: offset, count: min(chunk, request.size - offset))))
                    }
                }
                messages.handle { request, answers in
                    let (pattern, began) = (Pattern(seed: request.seed), ContinuousClock.now)
                    for index in 0..<request.messages {
                        try await Task.sleep(until: began + .microseconds(index * request.pauseMicroseconds), clock: .continuous)
                        try await answers.send(ByteString(pattern.slice(at: index * request.size, count: request.size)))
                    }
                }
            }
            print("{\"ready\": true, \"credential\": \"\(host.publicKey)\"}")
            fflush(nil)
            // The harness's end of the pipe closes when it ends, however it ends.
            Thread.detachNewThread {
                while let data = try? FileHandle.standardInput.read(upToCount: 64), !data.isEmpty {}
                exit(0)
            }
            try await host.serve(server)
        }
    }
}
