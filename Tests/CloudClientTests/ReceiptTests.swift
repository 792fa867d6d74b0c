import MastCloudClient
import MastCloudCore
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization
import Testing

private typealias Forgery = (name: String, forge: @Sendable (inout ScriptedCloud.ForgedReceipt) -> Void)

private func anotherKey() -> SigningKeyPair {
    var generator = SeededGenerator(seed: 99)
    return SigningKeyPair(using: &generator)
}

/// Every field of a receipt, stated wrongly by the node that signs it, and every way not to sign it.
private let forgeries: [Forgery] = [
    ("run id", { $0.receipt.question.runID = "another" }), ("user", { $0.receipt.question.userID = "eve" }),
    ("application", { $0.receipt.question.application = ContentDigest(of: [2]) }), ("entry", { $0.receipt.question.entry = "other" }),
    ("input", { $0.receipt.question.input = ContentDigest(of: [2]) }), ("fuel limit", { $0.receipt.question.limits.fuel = 1 }),
    ("memory limit", { $0.receipt.question.limits.memoryBytes += 1 }), ("output limit", { $0.receipt.question.limits.outputBytes = 1 }),
    ("output", { $0.receipt.outcome = .output(MerkleRoot(of: [9, 9, 9]), bytes: 3) }),
    ("size", { if case .output(let root, let size) = $0.receipt.outcome { $0.receipt.outcome = .output(root, bytes: size + 1) } }),
    ("trap instead of an output", { $0.receipt.outcome = .trap("unreachable") }), ("fuel", { $0.receipt.fuelUsed += 1 }),
    ("node", { $0.receipt.nodeID = NodeID(rawValue: "0123456789abcdef") }),
    ("bytes changed after signing", { $0.result.output = ByteString([6, 6, 6]) }),
    ("a trap after signing an output", { $0.result.output = nil; $0.result.trap = RunTrap(kind: "unreachable", message: "") }),
    ("output and trap at once", { $0.result.trap = RunTrap(kind: "unreachable", message: "") }),
    ("neither output nor trap", { $0.result.output = nil }), ("another key", { $0.signing = anotherKey() }), ("no receipt", { $0.signing = nil }),
    ("garbage", { $0.result.receipt = SignedRecord(payload: ByteString([1, 2, 3]), signature: ByteString([4])) }),
    ("megabytes", { $0.result.receipt = SignedRecord(payload: ByteString([UInt8](repeating: 0, count: 3 << 20)), signature: ByteString([4])) }),
]

@Suite struct `Receipts at the client` {
    private func withClient<T: Sendable>(
        auditRate: Double = 0, centerShare: Double = 0, auditPatience: Interval = .seconds(2), seed: UInt64 = 1, pool: any ResultPool = MemoryPool(),
        _ body: @escaping @Sendable (CloudClient, ScriptedCloud) async throws -> T
    ) throws -> (value: T, client: CloudClient, cloud: ScriptedCloud) {
        let loop = VirtualTime()
        let cloud = ScriptedCloud(loop)
        cloud.moveAway(["station-b"])
        return try loop.run(limit: .seconds(24 * 3_600)) {
            var configuration = CloudClient.Configuration()
            (configuration.auditRate, configuration.auditPatience, configuration.centerAuditShare) = (auditRate, auditPatience, centerShare)
            let client = CloudClient(
                wire: cloud, profile: try cloud.profile(), pool: pool, entropy: SeededGenerator(seed: seed), configuration: configuration)
            return (try await client.whileListening { try await body($0, cloud) }, client, cloud)
        }
    }

    // MARK: Without a good receipt there is no result

    @Test(arguments: forgeries.indices) func `An answer whose receipt does not fit in any point is none, and the next node is asked`(_ index: Int) throws {
        let forgery = forgeries[index]
        let pool = MemoryPool()
        _ = try withClient(pool: pool) { client, cloud in
            cloud.forgeReceipts("station-a", forgery.forge)
            let outcome = try await client.run("sort", input: [1, 2, 3], options: RunOptions(runID: "r1"))
            #expect(outcome.output == [3, 2, 1] && outcome.servedBy?.name == "station-b" && outcome.attempts == 2, "\(forgery.name)")
            #expect(outcome.timeline.entries.contains { $0.what.contains("station-a gave a result without a good receipt") }, "\(forgery.name)")
            #expect(client.statistics.unproven == 1, "\(forgery.name)")
            let kept = try #require(try pool.resource(for: "r1")?.receipt).verified(root: cloud.root.publicKey)
            #expect(kept.node.name == "station-b", "\(forgery.name)")
            // Once is enough: it is avoided for a while.
            #expect(try await client.run("sort", input: [4]).attempts == 1, "\(forgery.name)")
        }
    }

    @Test func `The receipt of another run does not serve for this one`() throws {
        _ = try withClient { client, cloud in
            let first = try await client.run("sort", input: [1, 2], options: RunOptions(runID: "r1"))
            let replayed = try #require(first.resource.receipt).receipt
            cloud.forgeReceipts("station-a") { $0.result.receipt = replayed }
            #expect(try await client.run("sort", input: [1, 2], options: RunOptions(runID: "r2")).servedBy?.name == "station-b")
            #expect(client.statistics.unproven == 1)
        }
    }

    @Test func `A trap without a good receipt ends nothing`() throws {
        _ = try withClient { client, cloud in
            cloud.set("station-a", .traps)
            cloud.forgeReceipts("station-a") { $0.signing = nil }
            let outcome = try await client.run("sort", input: [1])
            #expect(outcome.servedBy?.name == "station-b")
        }
    }

    @Test func `When nobody signs what he says, the run fails and names the reason`() throws {
        _ = try withClient { client, cloud in
            for name in ["station-a", "station-b", "center"] { cloud.forgeReceipts(name) { $0.signing = nil } }
            await #expect {
                try await client.run("sort", input: [1], options: RunOptions(timeout: .seconds(5)))
            } throws: { error in
                (error as? RunError)?.message.contains("without a good receipt") == true
            }
            #expect(client.statistics.answered == 0 && client.statistics.unproven > 3)
        }
    }

    // MARK: Repetition by chance

    @Test func `One run of a hundred is repeated at another node, by chance and after its answer`() throws {
        for (rate, expected) in [(0.0, 0...0), (0.01, 5...40), (0.25, 420...580), (1, 2_000...2_000)] {
            let (drawn, client, cloud) = try withClient(auditRate: rate) { client, _ in
                var drawn = 0
                for _ in 0..<2_000 {
                    if try await client.run("sort", input: [1]).isAudited { drawn += 1 }
                    await client.finishAudits(within: .seconds(1))
                }
                return drawn
            }
            #expect(expected.contains(drawn), "\(rate): \(drawn)")
            #expect(client.statistics.auditsDrawn == drawn && client.statistics.auditsConfirmed == drawn)
            // The first asks nobody but the nearest; the repetition goes elsewhere, with the first node's receipt, under the same name.
            let repetitions = cloud.asked.filter { $0.request.audited != nil }
            #expect(repetitions.count == drawn && repetitions.allSatisfy { $0.name == "station-b" && $0.request.audited?.count == 1 })
            let names = cloud.asked.filter { $0.request.audited == nil }.map(\.request.runID)
            #expect(repetitions.allSatisfy { names.contains($0.request.runID) })
        }
    }

    @Test func `The same seed draws the same runs, another one others`() throws {
        func draws(_ seed: UInt64) throws -> [Bool] {
            try withClient(auditRate: 0.1, seed: seed) { client, _ in
                var draws: [Bool] = []
                for number in 0..<200 { draws.append(try await client.run("sort", input: [1], options: RunOptions(runID: RunID(rawValue: "r\(number)"))).isAudited) }
                return draws
            }.value
        }
        let (first, again, other) = (try draws(3), try draws(3), try draws(4))
        #expect(again == first && other != first && first.contains(true) && first.contains(false))
    }

    @Test func `A repetition delays no answer`() throws {
        for rate in [0.0, 1.0] {
            _ = try withClient(auditRate: rate) { client, cloud in
                _ = try await client.run("sort", input: [1])
                cloud.set("station-b", .executesForever)
                let began = cloud.now()
                _ = try await client.run("sort", input: [2])
                #expect(cloud.now() - began == cloud.roundTrip)
            }
        }
    }

    @Test func `A client that ends waits for repetitions as long as it was told, and counts what is left`() throws {
        for patience in [Interval.zero, .milliseconds(700)] {
            let (end, client, cloud) = try withClient(auditRate: 1, auditPatience: patience) { client, cloud in
                cloud.set("station-b", .executesForever)
                for value in 0..<3 as Range<UInt8> { _ = try await client.run("sort", input: [value]) }
                return cloud.now()
            }
            #expect(cloud.now() - end >= patience && cloud.now() - end < patience + .milliseconds(20))
            #expect(client.statistics.auditsDrawn == 3 && client.statistics.auditsConfirmed == 0 && client.statistics.auditsUndecided == 3)
            #expect(client.auditFindings.map(\.verdict) == [.unfinished, .unfinished, .unfinished])
        }
    }

    @Test func `Inputs that wait are bounded, and what is beyond counts as not repeated`() throws {
        let (_, client, _) = try withClient(auditRate: 1, auditPatience: .zero) { client, cloud in
            cloud.set("station-b", .executesForever)
            for value in 0..<40 as Range<UInt8> { _ = try await client.run("sort", input: [value]) }
            // One under way, sixteen that wait.
            #expect(client.statistics.auditsUndecided == 23)
        }
        #expect(client.statistics.auditsDrawn == 40 && client.statistics.auditsUndecided == 40)
    }

    @Test func `An application that refuses is not repeated`() throws {
        let (_, client, cloud) = try withClient(auditRate: 1) { client, cloud in
            cloud.setRefusesAudit(true)
            let outcome = try await client.run("sort", input: [1])
            #expect(!outcome.isAudited)
        }
        #expect(client.statistics.auditsDrawn == 0 && cloud.asked.count == 1)
    }

    @Test func `What ended for want of memory is not compared, another trap is`() throws {
        for (kind, drawn) in [("outOfMemory", 0), ("stackOverflow", 0), ("outOfFuel", 1)] {
            let (_, client, _) = try withClient(auditRate: 1) { client, cloud in
                for name in ["station-a", "station-b"] {
                    cloud.set(name, .traps)
                    cloud.forgeReceipts(name) { ($0.receipt.outcome, $0.result.trap) = (.trap(kind), RunTrap(kind: kind, message: "")) }
                }
                _ = try? await client.run("sort", input: [1])
            }
            #expect(client.statistics.auditsDrawn == drawn && client.statistics.auditsConfirmed == drawn, "\(kind)")
        }
    }

    @Test func `With one station the center repeats, and with nobody else that is said`() throws {
        for (left, verdicts) in [(["station-a", "center"], []), (["station-a"], [AuditFinding.Verdict.noWitness])] {
            let (_, client, cloud) = try withClient(auditRate: 1) { client, cloud in
                for name in ["station-a", "station-b", "center"] where !left.contains(name) { cloud.set(name, .serves, listed: false) }
                _ = try await client.run("sort", input: [1])
            }
            #expect(cloud.asked.map(\.name) == left && client.auditFindings.map(\.verdict) == verdicts)
        }
    }

    @Test func `One repetition of four is the center's, which stations that lie alike cannot foresee`() throws {
        let (_, client, cloud) = try withClient(auditRate: 1, centerShare: CloudClient.Configuration().centerAuditShare) { client, cloud in
            for name in ["station-a", "station-b"] { cloud.set(name, .lies) }
            for _ in 0..<400 {
                _ = try await client.run("sort", input: [1])
                await client.finishAudits(within: .seconds(1))
            }
        }
        // Who is asked second for the first's sake is no draw.
        let first = cloud.asked.filter { $0.request.audited?.count == 1 }
        #expect((70...130).contains(first.count { $0.name == "center" }), "\(first.count { $0.name == "center" })")
        #expect(client.statistics.auditsDisputed == first.count { $0.name == "center" })
        #expect(client.statistics.auditsConfirmed == first.count { $0.name == "station-b" })
    }

    // MARK: A difference

    @Test func `A result that another node contradicts is marked, with the center's word on it`() throws {
        let pool = MemoryPool()
        let (_, client, cloud) = try withClient(auditRate: 1, pool: pool) { client, cloud in
            cloud.set("station-a", .lies)
            let outcome = try await client.run("sort", input: [1, 2], options: RunOptions(runID: "r1"))
            // The caller has what he was told; nothing else is known yet.
            #expect(outcome.output == [0] && outcome.isAudited && !outcome.resource.isDisputed)
            await client.finishAudits(within: .seconds(1))
            let again = try await client.run("sort", input: [1, 2], options: RunOptions(runID: "r1"))
            #expect(again.fromPool && again.resource.isDisputed)
        }
        let finding = try #require(client.auditFindings.first)
        #expect(finding.verdict == .disputed && finding.servedBy == "station-a")
        #expect(finding.witnesses.map(\.name) == ["station-b", "center"] && finding.witnesses.allSatisfy { $0.differences == ["output"] })
        // The second hears both.
        #expect(cloud.asked.map { $0.request.audited?.count ?? 0 } == [0, 1, 2])
        let witnesses = try pool.witnesses(of: "r1").map { try $0.verified(root: cloud.root.publicKey).node.name }
        #expect(witnesses == ["station-b", "center"])
    }

    @Test func `Wrong fuel and a wrong trap are differences too`() throws {
        _ = try withClient(auditRate: 1) { client, cloud in
            cloud.forgeReceipts("station-a") {
                $0.receipt.fuelUsed = 3
                $0.result.fuelUsed = 3
            }
            _ = try await client.run("sort", input: [1, 2])
            await client.finishAudits(within: .seconds(1))
            #expect(client.auditFindings.last?.witnesses.map(\.differences) == [["fuel"], ["fuel"]])
            cloud.forgeReceipts("station-a") { _ in }
            cloud.set("station-a", .traps)
            _ = try? await client.run("sort", input: [1, 2])
            await client.finishAudits(within: .seconds(1))
            #expect(client.auditFindings.last?.witnesses.map(\.differences) == [["output", "trap"], ["output", "trap"]])
        }
    }

    @Test func `A witness that lies about an honest station is found out by the center`() throws {
        let (_, client, _) = try withClient(auditRate: 1) { client, cloud in
            cloud.set("station-b", .lies)
            _ = try await client.run("sort", input: [1, 2])
        }
        let finding = try #require(client.auditFindings.first)
        #expect(finding.verdict == .disputed && finding.witnesses.map(\.name) == ["station-b", "center"])
        #expect(finding.witnesses.map(\.differences) == [["output"], []])
    }

    @Test func `A witness without a good receipt is no witness`() throws {
        let (_, client, cloud) = try withClient(auditRate: 1) { client, cloud in
            cloud.set("station-b", .lies)
            cloud.forgeReceipts("station-b") { $0.signing = nil }
            _ = try await client.run("sort", input: [1, 2])
        }
        #expect(cloud.asked.map(\.name) == ["station-a", "station-b", "center"])
        #expect(client.statistics.auditsConfirmed == 1 && client.auditFindings.isEmpty && client.statistics.unproven == 1)
    }

    // MARK: Out of placement

    @Test func `A station out of placement gets no run, whoever lists it`() throws {
        _ = try withClient { client, cloud in
            #expect(try await client.run("sort", input: [1]).servedBy?.name == "station-a")
            try cloud.suspend(["station-a"])
            try await cloud.sleep(for: .seconds(1))
            #expect(try await client.run("sort", input: [2]).servedBy?.name != "station-a")
            try cloud.suspend([], number: 2)
            try await cloud.sleep(for: .seconds(1))
            #expect(try await client.run("sort", input: [3]).servedBy?.name == "station-a")
        }
    }
}
