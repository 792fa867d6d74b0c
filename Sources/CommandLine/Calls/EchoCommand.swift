import ArgumentParser
import MastCalls

struct EchoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "echo",
        abstract: "Serve an example: one method of each kind.",
        discussion: """
            Prints `mast echo ready: ADDRESS key KEY` when it serves; ends on SIGTERM or Ctrl-C. Try
              mast list 127.0.0.1:4600
              mast call 127.0.0.1:4600 echo.v1.Echo/say -d '{"text":"hello"}'
            """)

    @Option(help: ArgumentHelp("Where to listen: address:port, or a port on the loopback interface; 0 lets the system choose.", valueName: "address"))
    var listen = NetworkAddress.loopback(port: DefaultPort.calls)

    @Option(help: ArgumentHelp("File with the server's private key; made if it does not exist. Default: echo.key in MAST_HOME, so that the server stays known.", valueName: "file"))
    var key: String?

    @OptionGroup var server: ServerOptions

    func run() async throws {
        let log = server.logger("mast.echo")
        let pair = try keyPair()
        let requests = server.requests()
        let grace = server.grace
        try await withUDPHost(bind: listen, identity: pair, logger: log) { host in
            ReadyLine.print("echo", host.localAddress, key: host.publicKey)
            try await Termination.run(
                until: requests, { try await host.serve(Echo.server(host)) }, stop: { await host.drain(grace: grace) })
        }
    }

    private func keyPair() throws(Failure) -> StaticKeyPair {
        if let key { return try KeyFile.loadOrCreate(key) }
        do { return try KeyFile.loadOrCreate(MastHome.echoKey, makesFolder: true) } catch {
            throw Failure(ExitStatus(rawValue: error.status), error.message + "; --key takes another file")
        }
    }
}
