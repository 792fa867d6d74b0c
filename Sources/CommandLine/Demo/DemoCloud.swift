import Foundation
import MastCalls
import MastCloudCore
import MastCloudServer
import MastDatagrams
import MastFiles
import MastLinkEmulator
import MastLinkModel
import MastTransport

/// A whole cloud on this machine's loopback interface: four server processes, and two live links in this one.
///
///     client ──(captured mobile link)──▶ commserver ◀── station-a, station-b
///                                            ▲
///     center ──(far data center: 60 ms)──────┘
struct DemoCloud: Sendable {
    /// One way, to the data center.
    static let centerDelay = Interval.milliseconds(60)

    let directory: String
    let commserver: DemoProcess
    let center: DemoProcess
    let stations: [DemoProcess]
    /// The client's link and the center's.
    let relay: UDPRelay
    let centerRelay: UDPRelay
    /// Of the communication server, without a link before it.
    let serverAddress: NetworkAddress
    /// The first operator's, whose way leads over the captured link.
    let profile: ClientProfile

    /// Starts everything; a failure leaves nothing behind.
    static func start(in directory: String, scenario: LinkScenario) async throws -> DemoCloud {
        let started = Lock<[DemoProcess]>([])
        let relays = Lock<[UDPRelay]>([])
        do {
            return try await start(in: directory, scenario: scenario, started: started, relays: relays)
        } catch {
            await DemoProcess.stop(started.withLock { $0 }, within: .zero)
            for relay in relays.withLock({ $0 }) { await relay.stop() }
            throw error
        }
    }

    private static func start(
        in directory: String, scenario: LinkScenario, started: Lock<[DemoProcess]>, relays: Lock<[UDPRelay]>
    ) async throws -> DemoCloud {
        func process(_ name: String, _ arguments: [String]) -> DemoProcess {
            let process = DemoProcess(name, arguments, logPath: "\(directory)/\(name).log")
            started.withLock { $0.append(process) }
            return process
        }
        func relay(_ scenario: LinkScenario, to target: NetworkAddress) async throws -> UDPRelay {
            let relay = try await UDPRelay.start(UDPRelayConfiguration(target: target, scenario: scenario))
            relays.withLock { $0.append(relay) }
            return relay
        }
        let far = LinkProfile(delay: centerDelay)
        var generator = SystemRandomNumberGenerator()
        let now = SystemClock().wallTime()
        let server = try freeAddress()
        let centerRelay = try await relay(LinkScenario(name: "data center", up: far, down: far), to: server)
        let clientRelay = try await relay(scenario, to: server)

        // What `mast commserver init` and `mast center init` do.
        let serverKey = try CommunicationServerBootstrap.keys(try NodeDirectory(path: directory + "/commserver"), using: &generator).identity.publicKey
        let (cloud, tokens) = try {
            let folder = try NodeDirectory(path: directory + "/center")
            let cloud = try CenterBootstrap.initialize(
                folder, communicationServer: HostPort(centerRelay.localAddress), communicationServerKey: serverKey, tokens: 2, at: now, using: &generator)
            return (cloud, cloud.joinTokens)
        }()

        let commserver = process(
            "commserver", ["commserver", "--dir", directory + "/commserver", "--listen", "\(server)", "--root", "\(cloud.rootKey)", "--heartbeat", "250ms"])
        try await commserver.start()
        let center = process("center", ["center", "--dir", directory + "/center", "--listen", "127.0.0.1:0"])
        try await center.start()
        var stations: [DemoProcess] = []
        for (name, token) in zip(["station-a", "station-b"], tokens) {
            var near = token
            // The center is far from the communication server; the stations stand beside it.
            near.communicationServer = HostPort(server)
            let file = "\(directory)/\(name).token"
            try InputFile.write(Array(near.text.utf8), to: file, mode: 0o600)
            let station = process(name, ["station", "--dir", "\(directory)/\(name)", "--name", name, "--join", "@" + file, "--listen", "127.0.0.1:0"])
            stations.append(station)
            try await station.start()
        }
        var profile = cloud.operatorProfile
        profile.communicationServer = clientRelay.localAddress.description
        return DemoCloud(
            directory: directory, commserver: commserver, center: center, stations: stations, relay: clientRelay, centerRelay: centerRelay,
            serverAddress: server, profile: profile)
    }

    func station(named name: String) -> DemoProcess? { stations.first { $0.name == name } }

    func stop() async {
        await DemoProcess.stop(stations + [center, commserver], within: .seconds(1))
        await relay.stop()
        await centerRelay.stop()
    }

    /// A loopback port that is free now: the center's link must know it before the server is there.
    private static func freeAddress() throws -> NetworkAddress {
        let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0 }
        }
        guard descriptor >= 0, bound else { throw Failure(.unavailable, "no free UDP port on the loopback interface") }
        return .loopback(port: UInt16(bigEndian: address.sin_port))
    }
}
