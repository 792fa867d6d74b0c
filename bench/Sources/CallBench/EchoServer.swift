import Foundation
import MastCalls

/// The server's process.
enum EchoServer {
    static func run(semantics name: String) async throws {
        let udpPort = try UDPExchange.startEcho()
        try await withUDPHost(bind: .loopback(port: 0)) { host in
            let server = RPCServer {
                EchoMethods.echo(EchoMethods.semantics(named: name) ?? .atMostOnce).handle { request in request }
                EchoMethods.cpuTime.handle { _ in Clock.cpu() }
            }
            let ready = ServerProcess.Ready(callPort: host.localAddress.port, key: host.publicKey.description, udpPort: udpPort)
            FileHandle.standardOutput.write(Data((ready.line + "\n").utf8))
            // Our parent's end of the pipe closes when it ends, however it ends.
            Thread.detachNewThread {
                while let data = try? FileHandle.standardInput.read(upToCount: 64), !data.isEmpty {}
                exit(0)
            }
            try await host.serve(server)
        }
    }
}
