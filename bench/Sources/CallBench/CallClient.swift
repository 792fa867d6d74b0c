import MastCalls

/// The client's side: keeps a number of echo calls under way.
struct CallClient {
    private let host: RPCHost
    private let client: RPCClient
    private let echo: Unary<ByteString, ByteString>

    init(host: RPCHost, server: ServerProcess.Ready, semantics: String) async throws {
        self.host = host
        guard let key = PublicKey(server.key) else { throw BenchError("the server said nonsense") }
        client = host.client(to: .loopback(port: server.callPort), peerKey: key)
        echo = EchoMethods.echo(EchoMethods.semantics(named: semantics) ?? .atMostOnce)
        _ = try await client.call(EchoMethods.cpuTime, Nothing())
    }

    /// A closed loop: each of `inFlight` callers sends its next call when its last was answered.
    func measure(_ load: Load, inFlight: Int) async throws -> Measurement {
        let window = load.window(startingAt: Clock.now())
        let request = ByteString([UInt8](repeating: 0x5A, count: load.payloadBytes))
        let (client, echo) = (client, echo)
        return try await withThrowingTaskGroup(of: Samples.self) { group in
            for _ in 0..<inFlight { group.addTask { await Self.keepCalling(client, echo, request, in: window) } }
            // CPU time of both processes from the moment that counts.
            try await host.sleep(for: .nanoseconds(Int64(window.from - min(window.from, Clock.now()))))
            let server = try await client.call(EchoMethods.cpuTime, Nothing())
            let own = Clock.cpu()
            var samples: [Samples] = []
            for try await sample in group { samples.append(sample) }
            let end = Clock.now()
            let ownUsed = Clock.cpu() - own
            let serverUsed = try await client.call(EchoMethods.cpuTime, Nothing()) - server
            return Measurement(
                name: "calls", inFlight: inFlight, nanoseconds: end - window.from, samples: samples, clientCPUNanoseconds: ownUsed,
                serverCPUNanoseconds: serverUsed)
        }
    }

    private static func keepCalling(
        _ client: RPCClient, _ echo: Unary<ByteString, ByteString>, _ request: ByteString, in window: Load.Window
    ) async -> Samples {
        var samples = Samples()
        samples.nanoseconds.reserveCapacity(1 << 16)
        let options = CallOptions(deadline: .in(.seconds(Int64(Load.patience))))
        while true {
            let start = Clock.now()
            guard start < window.to else { return samples }
            do {
                let answer = try await client.call(echo, request, options: options)
                guard answer == request else { throw RPCError(.dataLoss, "the answer is not the request") }
                if start >= window.from { samples.nanoseconds.append(Clock.now() - start) }
            } catch {
                samples.failures += 1
                samples.firstFailure = samples.firstFailure ?? "\(error)"
            }
        }
    }
}
