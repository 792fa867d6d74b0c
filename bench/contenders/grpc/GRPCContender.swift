import ArgumentParser
import BenchContender
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import NIOCore
import NIOPosix
import Synchronization

/// gRPC Swift 2 over HTTP/2 with TLS, messages as they are, without protobuf.
@main
struct GRPCContenderProgram: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-grpc", abstract: "gRPC Swift 2, as a contender of bench/run.", subcommands: [Server.self, Client.self])

    @Flag(name: .customLong("version")) var printsVersion = false

    func run() async throws {
        ContenderProgram.version(
            name: "grpc-swift", version: "grpc-swift-2 2.4.3, grpc-swift-nio-transport 2.9.2", encryption: "TLS 1.3; it does not tell the cipher",
            notes: "Swift; HTTP/2 over kernel TCP; messages are raw bytes, without protobuf")
    }

    struct Server: AsyncParsableCommand {
        @Option var listen: String
        @Option var congestion = "cubic"

        func run() async throws {
            let (host, port) = try Endpoint.parse(listen)
            let certificate = try Certificate.make()
            let congestion = congestion
            let transport = HTTP2ServerTransport.Posix(
                address: .ipv4(host: host, port: port),
                transportSecurity: .tls(
                    certificateChain: [.file(path: certificate.chain, format: .pem)],
                    privateKey: .file(path: certificate.key, format: .pem)),
                config: .defaults { config in
                    config.channelDebuggingCallbacks.onAcceptTCPConnection = { channel in SocketSettings.apply(congestion, to: channel) }
                })
            let server = GRPCServer(transport: transport, services: [TransferService()])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.serve() }
                _ = try await transport.listeningAddress
                ContenderProgram.ready(credential: certificate.chain)
                try await group.waitForAll()
            }
        }
    }

    struct Client: AsyncParsableCommand {
        @Option var connect: String
        @Option var workload: String
        @Option var records: String
        @Option var credential: String
        @Option var congestion = "cubic"

        func run() async throws {
            let (host, port) = try Endpoint.parse(connect)
            let contender = GRPCContender(host: host, port: port, certificate: credential, congestion: congestion)
            try await ContenderProgram.client(workload: workload, records: records) { workload in
                try await WorkloadClient(contender, workload: workload).run()
            }
        }
    }
}

enum Endpoint {
    static func parse(_ text: String) throws -> (String, Int) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]) else {
            throw ValidationError("an address is ADDR:PORT")
        }
        return (String(text[..<colon]), port)
    }
}

/// TCP's settings, set on each end's own socket and read back.
enum SocketSettings {
    static let readBack = Mutex<String?>(nil)

    static func apply(_ congestion: String, to channel: any Channel) -> EventLoopFuture<Void> {
        guard let provider = channel as? any SocketOptionProvider else { return channel.eventLoop.makeSucceededVoidFuture() }
        var name = [UInt8](repeating: 0, count: 16)
        for (index, byte) in congestion.utf8.prefix(15).enumerated() { name[index] = byte }
        let value = name.withUnsafeBytes { $0.load(as: (UInt64, UInt64).self) }
        let tcp = SocketOptionLevel(IPPROTO_TCP)
        return provider.unsafeSetSocketOption(level: tcp, name: SocketOptionName(TCP_CONGESTION), value: value).flatMap {
            provider.unsafeGetSocketOption(level: tcp, name: SocketOptionName(TCP_CONGESTION)) as EventLoopFuture<(UInt64, UInt64)>
        }.flatMapThrowing { value in
            let inForce = withUnsafeBytes(of: value) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard inForce == congestion else { throw ContenderError("the kernel uses \(inForce)") }
            readBack.withLock { $0 = inForce }
        }
    }
}

/// A self-signed certificate for the server of one run.
struct Certificate {
    let key: String
    let chain: String

    static func make() throws -> Certificate {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bench-certificate-\(UInt64.random(in: 0 ... .max))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let made = Certificate(key: folder.appendingPathComponent("key.pem").path, chain: folder.appendingPathComponent("certificate.pem").path)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=bench"]
            + ["-addext", "subjectAltName=DNS:bench", "-keyout", made.key, "-out", made.chain]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ContenderError("openssl made no certificate") }
        return made
    }
}
