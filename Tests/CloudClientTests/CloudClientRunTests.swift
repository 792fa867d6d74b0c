import Foundation
import MastCloudClient
import MastCloudCore
import MastSimulator
import MastTimebase
import Synchronization
import Testing

@Suite struct `Cloud client` {
    /// A client in virtual time, and the cloud that it meets.
    func withClient<T: Sendable>(
        pool: any ResultPool = MemoryPool(), store: (any ClientStateStore)? = nil,
        _ body: @escaping @Sendable (CloudClient, ScriptedCloud) async throws -> T
    ) throws -> T {
        let loop = VirtualTime()
        let cloud = ScriptedCloud(loop)
        return try loop.run(limit: .seconds(24 * 3_600)) {
            let client = CloudClient(
                wire: cloud, profile: try cloud.profile(), pool: pool, store: store, entropy: SeededGenerator(seed: 1))
            return try await client.whileListening { try await body($0, cloud) }
        }
    }

    @Test func `The first run looks up and attaches at once, the next is one round trip`() throws {
        try withClient { client, cloud in
            let first = try await client.run("sort", input: [1, 2, 3])
            #expect(first.output == [3, 2, 1] && first.servedBy?.name == "station-a" && first.attempts == 1)
            #expect(cloud.log.filter { $0 != "watch" } == ["connect", "lookup with proof", "run on station-a"])
            cloud.clearLog()
            let began = cloud.now()
            let second = try await client.run("sort", input: [4])
            #expect(second.output == [4])
            #expect(cloud.log == ["run on station-a"])
            #expect(cloud.now() - began == cloud.roundTrip)
        }
    }

    @Test func `Many runs that begin at once share one lookup`() throws {
        try withClient { client, cloud in
            let outputs = try await withThrowingTaskGroup(of: [UInt8].self) { group in
                for value in 0..<20 as Range<UInt8> { group.addTask { try await client.run("sort", input: [value]).output } }
                return try await group.reduce(into: []) { $0 += $1 }.sorted()
            }
            #expect(outputs == Array(0..<20))
            #expect(cloud.log.count { $0.hasPrefix("lookup") } == 1)
            #expect(client.statistics.lookups == 1)
        }
    }

    @Test func `A run id that the pool knows needs no packet`() throws {
        try withClient { client, cloud in
            let options = RunOptions(runID: "r1")
            let first = try await client.run("sort", input: [1, 2], options: options)
            cloud.clearLog()
            let again = try await client.run("sort", input: [1, 2], options: options)
            #expect(again.output == first.output && again.fromPool && again.attempts == 0)
            #expect(cloud.log.isEmpty)
            await #expect { try await client.run("sort", input: [9], options: options) } throws: { error in
                (error as? RunError)?.kind == .pool(.runIDInUse(runID: "r1", application: "sort"))
            }
        }
    }

    @Test func `Dead stations lead to the sibling and to the center, and back when one returns`() throws {
        try withClient { client, cloud in
            _ = try await client.run("sort", input: [1])
            cloud.set("station-a", .dead)
            let began = cloud.now()
            let second = try await client.run("sort", input: [2])
            #expect(second.servedBy?.name == "station-b" && second.attempts == 2)
            #expect(cloud.now() - began < .milliseconds(700), "\(cloud.now() - began)")
            #expect(try await client.run("sort", input: [3]).attempts == 1)

            cloud.set("station-b", .dead)
            #expect(try await client.run("sort", input: [4]).servedBy?.name == "center")
            cloud.tell(.routeGone, "station-a")
            cloud.tell(.routeGone, "station-b")
            cloud.set("station-a", .dead, listed: false)
            cloud.set("station-b", .dead, listed: false)
            try await cloud.sleep(for: .milliseconds(20))
            let far = try await client.run("sort", input: [5])
            #expect(far.servedBy?.role == .center && far.attempts == 1)

            cloud.set("station-b", .serves)
            cloud.tell(.stationReturned, "station-b")
            try await cloud.sleep(for: .milliseconds(20))
            #expect(try await client.run("sort", input: [6]).servedBy?.name == "station-b")
            #expect(client.statistics.failed == 0 && client.statistics.duplicates == 0)
        }
    }

    @Test func `News of a lost route ends the wait for a node that took the run`() throws {
        try withClient { client, cloud in
            cloud.set("station-a", .executesForever)
            async let outcome = client.run("sort", input: [1])
            try await cloud.sleep(for: .seconds(3))
            cloud.tell(.routeGone, "station-a")
            #expect(try await outcome.servedBy?.name == "station-b")
        }
    }

    @Test(arguments: [200, 1_000, 8_000] as [Int64]) func `A radio outage is waited out at the same station`(_ length: Int64) throws {
        try withClient { client, cloud in
            _ = try await client.run("sort", input: [1])
            let start = cloud.now().sinceStart.milliseconds
            cloud.addOutage(start..<start + length)
            let outcome = try await client.run("sort", input: [2])
            #expect(outcome.servedBy?.name == "station-a" && outcome.attempts == 1)
            #expect(cloud.now().sinceStart.milliseconds - start < length + 200)
            #expect(client.statistics.failovers == 0)
            if length > 1_000 { #expect(client.statistics.radioOutages == 1) }
        }
    }

    @Test func `A restarted communication server is attached to again and loses no run`() throws {
        try withClient { client, cloud in
            _ = try await client.run("sort", input: [1])
            cloud.setServerUp(false)
            async let during = client.run("sort", input: [2])
            try await cloud.sleep(for: .seconds(3))
            cloud.setServerUp(true)
            #expect(try await during.output == [2])
            #expect(try await client.run("sort", input: [3]).output == [3])
            #expect(cloud.log.contains("attach by ticket"))
        }
    }

    @Test func `A node without the application or with a full queue sends the run on`() throws {
        try withClient { client, cloud in
            cloud.set("station-a", .noReplica)
            cloud.set("station-b", .busy)
            let outcome = try await client.run("sort", input: [1])
            #expect(outcome.servedBy?.name == "center" && outcome.attempts == 3)
        }
    }

    @Test func `A node that was restarted between two runs is dialled again, not left`() throws {
        try withClient { client, cloud in
            _ = try await client.run("sort", input: [1])
            cloud.set("station-a", .wasRestarted)
            let outcome = try await client.run("sort", input: [2])
            #expect(outcome.servedBy?.name == "station-a" && outcome.attempts == 1)
        }
    }

    @Test func `Without a communication server the error says which address is silent`() throws {
        try withClient { client, cloud in
            cloud.setServerUp(false)
            await #expect { try await client.run("sort", input: [1], options: RunOptions(timeout: .seconds(3))) } throws: { error in
                guard let error = error as? RunError else { return false }
                return error.kind == .unavailable && error.message.contains("127.0.0.1:1")
            }
        }
    }

    @Test func `An input that no message can carry is refused at once`() throws {
        try withClient { client, _ in
            let input = Array(repeating: UInt8(0), count: 1_001)
            await #expect { _ = try await client.run("sort", input: input).attempts } throws: { error in
                (error as? RunError)?.kind == .invalid
            }
        }
    }

    @Test func `A trap is final and says where`() throws {
        try withClient { client, cloud in
            cloud.set("station-a", .traps)
            await #expect { try await client.run("loop", input: []) } throws: { error in
                guard let error = error as? RunError, case .trapped(let trap) = error.kind else { return false }
                return trap.kind == "outOfFuel" && error.code == .aborted && error.message.contains("station-a")
            }
            #expect(cloud.log.count { $0.hasPrefix("run on") } == 1)
        }
    }

    @Test(arguments: [ScriptedCloud.Behaviour.cannotLoad, .answersTooMuch])
    func `What would fail on every node ends a run at once, with the cause`(_ behaviour: ScriptedCloud.Behaviour) throws {
        try withClient { client, cloud in
            cloud.set("station-a", behaviour)
            await #expect { try await client.run("sort", input: [1]) } throws: { error in
                guard let error = error as? RunError else { return false }
                return error.kind == .unrunnable && error.code == .failedPrecondition
                    && (error.message.contains("env.clock") || error.message.contains("over the limit"))
            }
            #expect(cloud.log.count { $0.hasPrefix("run on") } == 1)
        }
    }

    @Test func `A result that the pool has no room for is handed out, and it is said that it is not kept`() throws {
        let pool = MemoryPool(quotaBytes: 5)
        try withClient(pool: pool) { client, cloud in
            #expect(try await client.run("sort", input: [1, 2, 3, 4], options: RunOptions(runID: "r1")).notKept == nil)
            _ = try pool.setPinned(true, "r1")
            let outcome = try await client.run("sort", input: [1, 2])
            #expect(outcome.output == [2, 1] && outcome.notKept?.contains("quota of 5 bytes") == true, "\(outcome.notKept ?? "")")
        }
        // Who wants nothing kept is told nothing.
        try withClient(pool: MemoryPool(quotaBytes: 0)) { client, _ in
            let outcome = try await client.run("sort", input: [1])
            #expect(outcome.notKept == nil)
        }
    }

    @Test func `A pool whose folder is removed in the middle is said to be gone`() throws {
        let folder = TemporaryFolder()
        let path = folder.path + "/pool"
        let pool = try ResourcePool(directory: path)
        try withClient(pool: pool) { client, cloud in
            cloud.setInputLimit(10_000)
            #expect(try await client.run("sort", input: [1], options: RunOptions(runID: "r1")).notKept == nil)
            try FileManager.default.removeItem(atPath: path)
            for size in [1, 5_000] {
                // Small results live in the index, large ones in files.
                let outcome = try await client.run("sort", input: [UInt8](repeating: 3, count: size))
                #expect(outcome.output.count == size && outcome.notKept?.contains(path) == true, "\(outcome.notKept ?? "")")
            }
        }
    }

    @Test func `A refused ticket is renewed and the same node asked again`() throws {
        try withClient { client, cloud in
            _ = try await client.run("sort", input: [1])
            cloud.set("station-a", .wantsTicket)
            cloud.clearLog()
            // The ticket was shown before and is not sent again until the node has forgotten it.
            #expect(try await client.run("sort", input: [2]).servedBy?.name == "station-a")
            #expect(cloud.log == ["run on station-a", "run on station-a", "attach by proof", "run on station-a"])
        }
    }

    @Test func `A ticket is renewed before it ends`() throws {
        try withClient { client, cloud in
            _ = try await client.run("sort", input: [1])
            try await cloud.sleep(for: .seconds(850))
            cloud.clearLog()
            _ = try await client.run("sort", input: [2])
            #expect(cloud.log.contains("lookup with proof"))
        }
    }

    @Test func `An unknown application is a clear error`() throws {
        try withClient { client, cloud in
            cloud.setApplicationKnown(false)
            await #expect { try await client.run("nonsense", input: []) } throws: { error in
                (error as? RunError)?.kind == .unknownApplication && (error as? RunError)?.code == .notFound
            }
        }
    }

    @Test func `A run that nobody answers ends at its deadline`() throws {
        try withClient { client, cloud in
            for name in ["station-a", "station-b", "center"] { cloud.set(name, .dead) }
            await #expect { try await client.run("sort", input: [1], options: RunOptions(timeout: .seconds(5))) } throws: { error in
                (error as? RunError)?.kind == .deadline
            }
            #expect(cloud.now() - .zero < .seconds(6))
            #expect(client.statistics.failed == 1)
        }
    }

    @Test func `Another result for a committed run id is reported, never handed out`() throws {
        let pool = MemoryPool(quotaBytes: 0)  // keeps no bytes, so the run is made again
        try withClient(pool: pool) { client, cloud in
            _ = try await client.run("sort", input: [1, 2], options: RunOptions(runID: "r1"))
            for name in ["station-a", "station-b"] { cloud.set(name, .lies) }
            await #expect { try await client.run("sort", input: [1, 2], options: RunOptions(runID: "r1")) } throws: { error in
                (error as? RunError)?.kind == .divergent
            }
            #expect(client.statistics.divergent == 1)
        }
    }

    @Test func `The ticket of an earlier process spares the proof`() throws {
        let store = MemoryStateStore()
        try withClient(store: store) { client, _ in _ = try await client.run("sort", input: [1]) }
        try withClient(store: store) { client, cloud in
            _ = try await client.run("sort", input: [1])
            #expect(cloud.log.contains("lookup with ticket"))
        }
    }

    @Test func `Two executions of one story are alike`() throws {
        func story() throws -> [String] {
            try withClient { client, cloud in
                _ = try await client.run("sort", input: [1])
                cloud.set("station-a", .dead)
                async let a = client.run("sort", input: [2])
                async let b = client.run("sort", input: [3])
                let outcomes = try await [a, b]
                return cloud.log + outcomes.flatMap { $0.timeline.entries.map { "\($0.at) \($0.what)" } }
            }
        }
        #expect(try story() == story())
    }

    // MARK: Whom it believes

    private func wrongSigners(_ cloud: ScriptedCloud) -> [(name: String, key: SigningKeyPair)] {
        var generator = SeededGenerator(seed: 66)
        return [("a stranger", SigningKeyPair(using: &generator)), ("the user's own device", cloud.userSigning)]
            + cloud.nodeSigners.map { ("the node \($0.name)", $0.key) }
    }

    @Test func `A placement, a ticket and a revocation list are believed from their signers only`() throws {
        for index in 0..<5 {
            try withClient { client, cloud in
                let signer = wrongSigners(cloud)[index]
                // The center issues the scripted tickets.
                cloud.forge(tickets: signer.name == "the node center" ? SigningKeyPair(privateKey: Array(repeating: 5, count: 32)) : signer.key)
                await #expect("tickets by \(signer.name)") { try await client.run("sort", input: [1]) } throws: { ($0 as? RunError)?.kind == .untrusted }
                cloud.forge(records: signer.key)
                await #expect("records by \(signer.name)") { try await client.run("sort", input: [1]) } throws: { ($0 as? RunError)?.kind == .untrusted }
                cloud.forge()
                cloud.set("station-b", .serves, listed: false)
                try cloud.remove(["station-a"], number: 9, signedBy: signer.key)
                #expect(try await client.run("sort", input: [1, 2]).servedBy?.name == "station-a", "revocations by \(signer.name)")
            }
        }
    }

    @Test func `A removed station is left at once, and never asked or believed again`() throws {
        let store = MemoryStateStore()
        try withClient(store: store) { client, cloud in
            #expect(try await client.run("sort", input: [1]).servedBy?.name == "station-a")
            cloud.set("station-a", .executesForever)
            async let running = client.run("sort", input: [1, 2])
            try await cloud.sleep(for: .milliseconds(200))
            try cloud.remove(["station-a"], number: 3)
            let outcome = try await running
            #expect(outcome.servedBy?.name == "station-b" && outcome.timeline.duration < .seconds(1), "\(outcome.timeline)")
            // The communication server goes on naming it, and an older list changes nothing.
            cloud.set("station-a", .serves)
            try cloud.remove([], number: 2)
            cloud.clearLog()
            for value in 0..<5 as Range<UInt8> { #expect(try await client.run("sort", input: [value]).servedBy?.name == "station-b") }
            #expect(!cloud.log.contains("run on station-a"))
        }
        // Nor does the next process of this user ask it, before it has heard anything.
        try withClient(store: store) { client, cloud in
            let outcome = try await client.run("sort", input: [7])
            #expect(outcome.servedBy?.name == "station-b")
            #expect(!cloud.log.contains("run on station-a"))
        }
    }
}

final class MemoryStateStore: ClientStateStore {
    private let state = Mutex<ClientState?>(nil)
    func load() -> ClientState? { state.withLock { $0 } }
    func save(_ new: ClientState) { state.withLock { $0 = new } }
}
