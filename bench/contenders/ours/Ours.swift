import ArgumentParser
import BenchContender
import Foundation
import MastCalls
import MastTransport

/// Mast's own calls as a contender.
@main
struct Ours: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-ours", abstract: "Mast's own calls, as a contender of bench/run.", subcommands: [Server.self, Client.self])

    @Flag(name: .customLong("version")) var printsVersion = false

    func run() async throws {
        ContenderProgram.version(
            name: "ours", version: "working tree", encryption: "\(CipherSuite.standard[0].name), both ends authenticated", notes: "Swift, MastCalls")
    }

    struct Server: AsyncParsableCommand {
        @Option var listen: String
        @Option(help: "Threads that serve.") var cores = 1
        @Flag(help: "Listen behind a forwarder, as a station does behind the communication server.") var forwarded = false

        func run() async throws {
            guard let address = NetworkAddress(listen) else { throw ValidationError("--listen takes ADDR:PORT") }
            guard forwarded else {
                return try await withUDPHost(bind: address, cores: cores) { host in
                    ContenderProgram.ready(credential: "\(host.publicKey)")
                    try await host.serve(TransferService.server)
                }
            }
            try await withUDPHost(bind: address) { forwarder in
                try await withUDPHost { host in
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { try await forwarder.serve(Forwarder.server(forwarder)) }
                        group.addTask { try await host.serve(TransferService.server) }
                        let local = NetworkAddress(ipv4: 0x7F00_0001, port: address.port)
                        let (control, route) = try await Forwarder.join(host, at: local, key: forwarder.publicKey)
                        ContenderProgram.ready(credential: "\(forwarder.publicKey) \(host.publicKey) \(route)")
                        try await group.waitForAll()
                        control.close()
                    }
                }
            }
        }
    }

    struct Client: AsyncParsableCommand {
        @Option var connect: String
        @Option var workload: String
        @Option var records: String
        @Option var credential: String
        @Flag var forwarded = false
        @Flag(help: "Call from Swift's own threads rather than from the socket's.") var taskThreads = false

        func run() async throws {
            guard let address = NetworkAddress(connect) else { throw ValidationError("--connect takes ADDR:PORT") }
            let words = credential.split(separator: " ").map(String.init)
            let keys = words.prefix(2).compactMap { PublicKey($0) }
            guard let key = keys.last, !forwarded || words.count == 3 && keys.count == 2 else {
                throw ValidationError("--credential takes what the server printed")
            }
            try await ContenderProgram.client(workload: workload, records: records) { workload in
                // As a caller does who waits for answers: it shares the socket's thread.
                try await withUDPHost(placement: taskThreads ? .taskThreads : .socketThread) { host in
                    var contender = OurContender(host: host, address: address, key: key)
                    if forwarded, let route = UInt32(words[2]) {
                        let (control, _) = try await Forwarder.join(host, at: address, key: keys[0])
                        contender.forwarded = (control, route)
                    }
                    return try await WorkloadClient(contender, workload: workload).run()
                }
            }
        }
    }
}
