import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastWasmRuntime
import Synchronization
import Testing

/// Does its work, and then says something else.
private final class LyingEngine: ApplicationEngine {
    private let honest = StubEngine()
    private let lie: @Sendable (inout RunOutput) -> Void

    init(_ lie: @escaping @Sendable (inout RunOutput) -> Void) { self.lie = lie }

    func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication { Liar(honest: try honest.load(module), lie: lie) }

    private struct Liar: LoadedApplication {
        let honest: any LoadedApplication
        let lie: @Sendable (inout RunOutput) -> Void
        func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) {}
        func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput {
            var output = try honest.run(entry: entry, input: input, limits: limits, interrupt: interrupt)
            lie(&output)
            return output
        }
    }
}

/// Stations that lie, in a cloud of real nodes and with the real client, in virtual time.
@Suite struct LyingStationTests {
    private let upper = Array("uppr".utf8)

    /// A cloud of two stations that hold `upper`, or a version of it that is not repeated.
    /// - Parameter liar: which station lies, and how.
    private func with(
        liar: (number: Int, lie: @Sendable (inout RunOutput) -> Void)?, auditRate: Double = 1, refusesAudit: Bool = false,
        _ body: @Sendable @escaping (SmallCloud, CloudClient, [BaseStationNode]) async throws -> Void
    ) throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.whileServing { cloud in
            var configuration = CloudClient.Configuration()
            configuration.auditRate = auditRate
            // A station first: the center has the last word then.
            configuration.centerAuditShare = 0
            let host = cloud.network.host(cloud.operatorProfile.identity, port: 60)
            let wire = RPCWire(
                host: host, communicationServer: cloud.operatorProfile.communicationServer, key: cloud.operatorProfile.communicationServerKey)
            let client = CloudClient(
                wire: wire, profile: cloud.operatorProfile, pool: MemoryPool(), entropy: SeededGenerator(seed: 3), configuration: configuration)
            try await client.whileListening { client in
                _ = try await client.pushApplication(upper, name: "upper", refusesAudit: refusesAudit)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    var stations: [BaseStationNode] = []
                    for number in 0..<2 {
                        let engine: (any ApplicationEngine)? = liar?.number == number ? liar.map { LyingEngine($0.lie) } : nil
                        let (station, _) = try await cloud.station(number, engine: engine)
                        stations.append(station)
                        group.addTask { try? await station.run() }
                    }
                    while try await client.status().nodes.count(where: { $0.role == .station && !$0.replicas.isEmpty }) < 2 {
                        try await cloud.sleep(.milliseconds(20))
                    }
                    try await body(cloud, client, stations)
                    group.cancelAll()
                }
            }
        }
    }

    /// Runs until a station has served `count` of them; returns the outputs that were its own.
    private func served(_ client: CloudClient, by name: String, atMost count: Int) async throws -> Int {
        var served = 0
        for number in 0..<count {
            let outcome = try await client.run("upper", input: Array("run \(number)".utf8))
            if outcome.servedBy?.name == name { served += 1 }
            await client.finishAudits(within: .seconds(5))
        }
        return served
    }

    private func settled(_ cloud: SmallCloud, _ client: CloudClient, _ condition: (CloudStatus) -> Bool) async throws -> CloudStatus {
        while true {
            let status = try await client.status()
            if condition(status) { return status }
            try await cloud.sleep(.milliseconds(20))
        }
    }

    private static let wrongBytes: @Sendable (inout RunOutput) -> Void = { $0.bytes = Array("LIES".utf8) }
    private static let wrongFuel: @Sendable (inout RunOutput) -> Void = { $0.fuelUsed += 1 }

    @Test(arguments: [0, 1], [true, false]) func `a station that lies leaves placement after one repeated run, whichever it is and in whatever it lies`(_ number: Int, inBytes: Bool) throws {
        try with(liar: (number, inBytes ? Self.wrongBytes : Self.wrongFuel)) { cloud, client, _ in
            let name = "station-\(number)"
            // Whether it was first or a witness: the center has the last word.
            let first = try await client.run("upper", input: Array("hello".utf8))
            await client.finishAudits(within: .seconds(5))
            let finding = try #require(client.auditFindings.first)
            #expect(finding.verdict == .disputed && finding.witnesses.count == 2)
            let word = try #require(finding.witnesses.first { $0.role == .center })
            #expect(word.differences.isEmpty == (first.servedBy?.name != name))

            let status = try await settled(cloud, client) { $0.nodes.contains(where: \.isSuspended) }
            #expect(status.nodes.filter(\.isSuspended).map(\.name) == [name] && status.nodes.allSatisfy(\.isUp))
            let center = try await client.centerStatus()
            #expect(center.stations.filter(\.isSuspended).map(\.name) == [name])
            #expect(center.contradictions.allSatisfy { $0.names.contains(name) && $0.fields == [inBytes ? "output" : "fuel"] })
            #expect(center.contradictions.count == 2)

            #expect(try await served(client, by: name, atMost: 20) == 0)
            #expect(client.statistics.auditsDisputed == 1 && client.statistics.failed == 0)

            // An operator believes it once more, and it is found out once more.
            _ = try await client.readmitStation(name)
            _ = try await settled(cloud, client) { !$0.nodes.contains(where: \.isSuspended) }
            let cleared = try await client.centerStatus().contradictions
            #expect(cleared.count == 2 && cleared.allSatisfy(\.isCleared))
            _ = try await served(client, by: name, atMost: 3)
            _ = try await settled(cloud, client) { $0.nodes.contains(where: \.isSuspended) }
        }
    }

    @Test func `honest stations contradict nobody`() throws {
        try with(liar: nil) { cloud, client, stations in
            for number in 0..<40 { _ = try await client.run("upper", input: Array("run \(number)".utf8)) }
            await client.finishAudits(within: .seconds(30))
            #expect(client.statistics.auditsConfirmed > 10 && client.statistics.auditsDisputed == 0)
            let center = try await client.centerStatus()
            #expect(center.contradictions.isEmpty)
            let executed = (await stations[0].executedRuns, await stations[1].executedRuns)
            #expect(executed.0 > 0 && executed.1 > 0)
        }
    }

    @Test func `a client's word alone does nothing`() throws {
        try with(liar: nil, auditRate: 0) { cloud, client, stations in
            let outcome = try await client.run("upper", input: Array("hello".utf8), options: RunOptions(runID: RunID(rawValue: "r1")))
            let genuine = try #require(outcome.resource.receipt)
            let operating = cloud.client(cloud.operatorProfile, port: 61)
            let center = try #require(try await operating.attach().center)
            let placement = try await operating.lookup("upper")
            let other = try #require(placement.candidates.first { $0.nodeID != outcome.servedBy?.nodeID && $0.role == .station })
            var generator = SeededGenerator(seed: 77)
            let own = SigningKeyPair(using: &generator)
            var lie = try genuine.receipt.unverified()
            lie.outcome = .output(MerkleRoot(of: [0]), bytes: 1)
            let forged = AttestedReceipt(receipt: try SignedRecord(lie, signedBy: own), node: genuine.node)

            // It files reports itself: nobody takes them from it.
            for divergence in [Divergence(genuine, forged), Divergence(genuine, genuine)] {
                await #expect(throws: RPCError.self) { try await operating.control.call(ControlMethods.reportDivergence, divergence) }
                await #expect { try await operating.node(center).call(CenterMethods.reportDivergence, divergence) } throws: { error in
                    (error as? RPCError)?.code == .permissionDenied
                }
            }
            // It has a run compared with a receipt that the station never signed, or with the wrong run's.
            func compared(with receipts: [AttestedReceipt], id: String) async throws -> RunResult {
                try await operating.node(other).call(
                    RunMethods.run,
                    RunRequest(
                        application: "upper", digest: placement.digest, entry: placement.entry, input: ByteString("hello"), runID: RunID(rawValue: id),
                        ticket: operating.ticket.withLock { $0 }, limits: placement.limits, audited: receipts))
            }
            #expect(await refusal { _ = try await compared(with: [forged], id: "r1") } == .badRequest)
            #expect(await refusal { _ = try await compared(with: [genuine, genuine, genuine], id: "r1") } == .badRequest)
            _ = try await compared(with: [genuine], id: "another")
            // The same run under its own name agrees.
            _ = try await compared(with: [genuine], id: "r1")
            try await cloud.sleep(.seconds(3))
            let known = try await client.centerStatus()
            #expect(known.contradictions.isEmpty)
            let status = try await client.status()
            #expect(status.nodes.filter(\.isSuspended).isEmpty)
        }
    }

    @Test func `a report that no two nodes signed is refused by the center, whoever hands it on`() throws {
        try RobbedCloud.with { robbed in
            let forger = Forger()
            let host = robbed.cloud.network.host(robbed.cloud.serverKeys.identity, port: 72)
            let server = host.client(at: .loopback(port: 2), peerKey: robbed.cloud.keys.node.identity.publicKey)
            let question = Receipt.Question(
                runID: RunID(rawValue: "r1"), userID: "u", application: ContentDigest(of: upper), entry: "run", input: ContentDigest(of: []), limits: .standard)
            func receipt(_ keys: NodeKeys, _ node: SignedRecord<NodeRecord>, _ byte: UInt8, signedBy key: SigningKeyPair? = nil) throws -> AttestedReceipt {
                let receipt = Receipt(
                    question: question, outcome: .output(MerkleRoot(of: [byte]), bytes: 1), fuelUsed: 1,
                    nodeID: NodeID(of: keys.identity.publicKey), executed: robbed.now)
                return AttestedReceipt(receipt: try SignedRecord(receipt, signedBy: key ?? keys.signing), node: node)
            }
            let center = robbed.cloud.keys.node
            let honest = try receipt(center, robbed.cloud.membership.record, 1)
            func file(_ second: AttestedReceipt) async throws {
                do throws(RPCError) { _ = try await server.call(CenterMethods.reportDivergence, Divergence(honest, second)) } catch {
                    if error.code == .invalidArgument { throw Forger.NotTaken() }
                    throw error
                }
            }
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all where signer.name != "a station" {
                await forger.tries("\(signer.name) signs for a station") { try await file(receipt(robbed.stationKeys, robbed.stationRecord, 2, signedBy: signer.key)) }
            }
            var generator = SeededGenerator(seed: 5)
            let stranger = NodeKeys(using: &generator)
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                await forger.tries("\(signer.name) makes a station that signs") {
                    try await file(receipt(stranger, robbed.record(.station, stranger, signedBy: signer.key), 2))
                }
            }
            await forger.tries("the same node twice") { try await file(receipt(center, robbed.cloud.membership.record, 2)) }
            await forger.tries("the same answer twice") { try await file(receipt(robbed.stationKeys, robbed.stationRecord, 1)) }
            #expect(forger.believed == [] && forger.attempts == 15)
            func status() async throws -> CenterStatus {
                let options = try await robbed.operating.asOperator(robbed.center)
                return try await robbed.operating.node(robbed.center).call(AdminMethods.status, Nothing(), options: options)
            }
            let before = try await status()
            #expect(before.contradictions.isEmpty)
            try await file(receipt(robbed.stationKeys, robbed.stationRecord, 2))
            let after = try await status()
            // One witness: shown, and nothing follows from it.
            #expect(after.contradictions.count == 1 && after.stations.filter(\.isSuspended).isEmpty)
        }
    }

    @Test func `an application that refuses is executed once, and nobody compares it`() throws {
        try with(liar: (0, Self.wrongBytes), refusesAudit: true) { cloud, client, stations in
            for number in 0..<10 { _ = try await client.run("upper", input: Array("run \(number)".utf8)) }
            await client.finishAudits(within: .seconds(5))
            #expect(client.statistics.auditsDrawn == 0)
            let executed = (await stations[0].executedRuns, await stations[1].executedRuns)
            #expect(executed.0 + executed.1 == 10)
            #expect(try await client.listApplications().applications.map(\.refusesAudit) == [true])

            // Not even for a client that insists.
            let operating = cloud.client(cloud.operatorProfile, port: 62)
            _ = try await operating.attach()
            let placement = try await operating.lookup("upper")
            #expect(placement.refusesAudit)
            let first = try await client.run("upper", input: Array("hello".utf8), options: RunOptions(runID: RunID(rawValue: "r1")))
            let receipt = try #require(first.resource.receipt)
            for candidate in placement.candidates where candidate.nodeID != first.servedBy?.nodeID {
                let refused = await refusal {
                    _ = try await operating.node(candidate).call(
                        RunMethods.run,
                        RunRequest(
                            application: "upper", input: ByteString("hello"), runID: RunID(rawValue: "r1"), ticket: operating.ticket.withLock { $0 }, audited: [receipt]))
                }
                #expect(refused == .notGranted)
            }
        }
    }

    @Test func `a result that a node remembers keeps its receipt`() throws {
        try with(liar: nil, auditRate: 0) { cloud, client, _ in
            let operating = cloud.client(cloud.operatorProfile, port: 63)
            _ = try await operating.attach()
            let candidate = try #require(try await operating.lookup("upper").candidates.first)
            let first = try await operating.run("upper", "hello", on: candidate, id: "same")
            try await cloud.sleep(.seconds(1))
            let again = try await operating.run("upper", "hello", on: candidate, id: "same")
            #expect(first == again && first.receipt != nil)
            let other = try await operating.run("upper", "hello", on: candidate, id: "other")
            #expect(other.output == first.output && other.receipt != first.receipt)
        }
    }

    @Test func `the center keeps what was reported across restarts, and its judgement`() throws {
        let test = try TestCloud()
        let folder = TemporaryFolder()
        var generator = SeededGenerator(seed: 17)
        let stations = (0..<2).map { _ in NodeKeys(using: &generator) }
        let (path, root) = (folder.path + "/center.sqlite", test.keys.root.publicKey)
        _ = try SQLiteCenterStore.create(path: path, for: root)
        func registry() throws -> CenterRegistry { try test.registry(try SQLiteCenterStore(path: path, rootKey: root)) }
        var first = try registry()
        var records: [SignedRecord<NodeRecord>] = []
        for (number, keys) in stations.enumerated() {
            let token = try first.makeJoinToken(at: noon, using: &generator)
            records.append(try first.admit(joinRequest(token, keys, name: "station-\(number)"), at: noon))
        }
        func receipt(_ keys: NodeKeys, _ record: SignedRecord<NodeRecord>, _ byte: UInt8) throws -> AttestedReceipt {
            let question = Receipt.Question(
                runID: RunID(rawValue: "r1"), userID: "u", application: ContentDigest(of: []), entry: "run", input: ContentDigest(of: []), limits: .standard)
            let receipt = Receipt(
                question: question, outcome: .output(MerkleRoot(of: [byte]), bytes: 1), fuelUsed: 1, nodeID: NodeID(of: keys.identity.publicKey), executed: noon)
            return AttestedReceipt(receipt: try SignedRecord(receipt, signedBy: keys.signing), node: record)
        }
        let (liar, honest) = (try receipt(stations[0], records[0], 1), try receipt(stations[1], records[1], 2))
        let center = try receipt(test.keys.node, test.membership.record, 2)
        let one = try first.take(Divergence(liar, honest), at: noon)
        #expect(one.isNews && one.suspended == [])

        var second = try registry()
        let two = try second.take(Divergence(liar, center), at: noon)
        #expect(two.suspended == [NodeID(of: stations[0].identity.publicKey)] && second.numbers.revocations == first.numbers.revocations.next(in: StateNumber.firstEpoch))
        #expect(try second.take(Divergence(center, liar), at: noon).isNews == false)

        var third = try registry()
        #expect(third.status.stations.filter(\.isSuspended).map(\.name) == ["station-0"])
        // Other changes of the list keep it.
        _ = try third.addUser(AddUser(name: "ada"), at: noon, using: &generator)
        try third.removeUser("ada")
        #expect(third.status.stations.filter(\.isSuspended).map(\.name) == ["station-0"])
        #expect(throws: CenterError.self) { _ = try third.readmitStation(ReadmitStation(station: "station-1x")) }
        _ = try third.readmitStation(ReadmitStation(station: "station-0"))

        let fourth = try registry()
        #expect(fourth.status.stations.filter(\.isSuspended).isEmpty && fourth.status.contradictions.count == 2 && fourth.status.contradictions.allSatisfy(\.isCleared))
    }
}
