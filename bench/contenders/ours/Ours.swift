import ArgumentParser
import Foundation
import MastCalls

/// Mast's own calls, client and server direct.
@main
struct Ours: AsyncParsableCommand {
    static let configuration = CommandConfiguration(subcommands: [Server.self, Client.self])

    @Flag(name: .customLong("version")) var printsVersion = false

    func run() async throws {
        print(#"{"name": "ours", "version": "working tree", "encryption": "own, both sides authenticated", "notes": "Swift, MastCalls"}"#)
    }

    struct Server: AsyncParsableCommand {
        @Option var listen: String

        func run() async throws {
            guard let address = NetworkAddress(listen) else { throw ValidationError("--listen takes ADDR:PORT") }
            try await TransferService.serve(on: address)
        }
    }

    struct Client: AsyncParsableCommand {
        @Option var connect: String
        @Option var workload: String
        @Option var records: String
        @Option var credential: String

        func run() async throws {
            guard let address = NetworkAddress(connect) else { throw ValidationError("--connect takes ADDR:PORT") }
            guard let key = PublicKey(credential) else { throw ValidationError("--credential takes the server's public key") }
            let workload = try JSONDecoder().decode(Workload.self, from: Data(workload.utf8))
            var summary = Summary()
            do {
                let outcome = try await withUDPHost { host in
                    try await WorkloadClient(host: host, address: address, key: key, workload: workload).run()
                }
                summary = outcome.summary
                try Data(outcome.records.utf8).write(to: URL(fileURLWithPath: records))
            } catch {
                summary.failed += 1
                summary.firstFailure = "\(error)"
            }
            print(String(decoding: try JSONEncoder().encode(summary), as: UTF8.self))
        }
    }
}
