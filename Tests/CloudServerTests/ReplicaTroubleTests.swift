import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import Synchronization
import Testing

/// Replicas that cannot be had: tried ever less often, shown, and in nobody else's way.
@Suite struct ReplicaTroubleTests {
    private let upper = Array("uppr".utf8) + [UInt8](repeating: 7, count: 300_000)
    private let small = Array("uppr small".utf8)

    /// A disk that is full for what is larger than it has room.
    private final class FullDisk: BlobStore {
        struct Full: Error {}
        let blobs = MemoryBlobStore()
        let room = Mutex(1_000)
        let refusals = Mutex(0)
        func read(_ name: String) -> [UInt8]? { blobs.read(name) }
        func write(_ name: String, _ bytes: [UInt8]) throws {
            guard bytes.count <= room.withLock({ $0 }) else {
                refusals.withLock { $0 += 1 }
                throw Full()
            }
            blobs.write(name, bytes)
        }
        func remove(_ name: String) { blobs.remove(name) }
        func names() -> [String] { blobs.names() }
        func size(_ name: String) -> Int? { blobs.size(name) }
    }

    private func withStation(
        replicas: any BlobStore, _ configuration: StationConfiguration = .init(),
        _ body: @Sendable @escaping (SmallCloud, TestClient, Candidate, BaseStationNode) async throws -> Void
    ) throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            let stores = StationStores(files: MemoryBlobStore(), users: MemoryBlobStore(), replicas: replicas)
            let (station, _) = try await cloud.station(0, stores: stores, configuration: configuration)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                try await body(cloud, client, center, station)
                group.cancelAll()
            }
        }
    }

    private func station(_ status: CloudStatus) -> CloudStatus.Node? { status.nodes.first { $0.role == .station } }

    @Test func `a replica that does not fit is never fetched, and it is shown why`() throws {
        var configuration = StationConfiguration()
        configuration.replicaCapacityBytes = 100_000
        try withStation(replicas: MemoryBlobStore(), configuration) { cloud, client, center, node in
            _ = try await client.push("large", upper, to: center)
            _ = try await client.push("small", small, to: center)
            let status = try await client.wait { station($0)?.replicas == [ContentDigest(of: small)] }
            try await cloud.sleep(.seconds(20))
            // The communication server keeps what passes through it.
            let later = try await client.control.call(ControlMethods.status, Nothing())
            #expect(later.cachedApplications == 1 && later.cachedBytes == small.count)
            let trouble = station(later)?.replicaTroubles?.first
            #expect(trouble?.digest == ContentDigest(of: upper) && trouble?.nextTryMilliseconds == nil && trouble?.attempts == 0)
            #expect(trouble?.reason.contains("does not fit") == true)
            #expect(station(status) != nil)
            // A run can use it all the same.
            let candidate = try #require(try await client.lookup("large").candidates.first { $0.role == .station })
            #expect(try await client.run("large", "x", on: candidate, id: "1").output == ByteString("X"))
        }
    }

    @Test func `a disk that is full is tried ever less often, holds up no other application, and is shown`() throws {
        let disk = FullDisk()
        try withStation(replicas: disk) { cloud, client, center, node in
            _ = try await client.push("large", upper, to: center)
            _ = try await client.push("small", small, to: center)
            _ = try await client.wait { station($0)?.replicas == [ContentDigest(of: small)] }
            try await cloud.sleep(.seconds(120))
            _ = try await client.attach()
            // After 0, 1, 3, 7, 15, 31, 63 seconds.
            #expect((6...8).contains(disk.refusals.withLock { $0 }), "\(disk.refusals.withLock { $0 })")
            let trouble = station(try await client.control.call(ControlMethods.status, Nothing()))?.replicaTroubles?.first
            #expect(trouble?.digest == ContentDigest(of: upper) && (trouble?.attempts ?? 0) >= 6 && (trouble?.nextTryMilliseconds ?? 0) > 0)
            disk.room.withLock { $0 = .max }
            _ = try await client.wait { station($0)?.replicas.count == 2 && station($0)?.replicaTroubles == nil }
        }
    }

    @Test func `a run at a station whose disk is full has its answer there`() throws {
        let disk = FullDisk()
        var configuration = StationConfiguration()
        configuration.holdsAllApplications = false
        try withStation(replicas: disk, configuration) { cloud, client, center, node in
            _ = try await client.push("large", upper, to: center)
            _ = try await client.wait { station($0)?.isUp == true }
            let candidate = try #require(try await client.lookup("large").candidates.first { $0.role == .station })
            #expect(try await client.run("large", "x", on: candidate, id: "1").output == ByteString("X"))
            #expect(disk.refusals.withLock { $0 } == 1)
        }
    }

    @Test func `a copy from a station that is declared down comes from the next one instead`() throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            let stores = StationStores.inMemory()
            try stores.replicas.write(ContentDigest(of: upper).description, upper)
            let (first, port) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await first.run() }
                _ = try await client.push("upper", upper, to: center)
                _ = try await client.wait { station($0)?.replicas.count == 1 }
                let (second, _) = try await cloud.station(1)
                group.addTask { try await second.run() }
                // It asks in a moment, and the one that has it is silent for ever, which nobody knows yet.
                cloud.network.unplug(port: port)
                let began = cloud.simulation.now
                while await second.heldReplicas.isEmpty { try await cloud.sleep(.milliseconds(10)) }
                #expect(cloud.simulation.now - began < .seconds(2), "\(cloud.simulation.now - began)")
                group.cancelAll()
            }
        }
    }

    @Test func `a question to a center that is declared down ends then`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            _ = try await client.attach()
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.wait { $0.nodes.count == 2 }
                cloud.network.unplug(port: 2)
                let began = cloud.simulation.now
                // As a station does, whose question is passed on.
                let token = try #require(cloud.tokens.first)
                var generator = SeededGenerator(seed: 9)
                let keys = NodeKeys(using: &generator)
                let host = cloud.network.host(keys.identity, port: 70)
                let error = await #expect(throws: RPCError.self) {
                    _ = try await Membership.join(token, name: "late", keys: keys, addresses: [], host: host)
                }
                #expect(error?.code == .unavailable && cloud.simulation.now - began < .seconds(5), "\(cloud.simulation.now - began)")
                group.cancelAll()
            }
        }
    }
}

@Suite struct ReplicaTroublesTests {
    private let digest = ContentDigest(of: [1])
    private func at(_ seconds: Int64) -> Instant { .zero + .seconds(seconds) }

    @Test func `each failure doubles the wait, up to five minutes`() {
        var troubles = ReplicaTroubles()
        var now = Instant.zero
        var waits: [Int64] = []
        for _ in 0..<12 {
            troubles.failed(digest, .fetching, "nobody has it", at: now)
            let wait = troubles.report(at: now).first?.nextTryMilliseconds ?? 0
            waits.append(wait / 1_000)
            #expect(!troubles.isDue(digest, at: now + .milliseconds(wait - 1)) && troubles.isDue(digest, at: now + .milliseconds(wait)))
            now += .milliseconds(wait)
        }
        #expect(waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
    }

    @Test func `a run waits for two seconds at most, and for no disk`() {
        var troubles = ReplicaTroubles()
        for _ in 0..<9 { troubles.failed(digest, .fetching, "nobody has it", at: at(0)) }
        #expect(troubles.refusal(digest, at: at(1)) == "nobody has it" && troubles.refusal(digest, at: at(2)) == nil)
        troubles.failed(digest, .storing, "full", at: at(3))
        #expect(troubles.refusal(digest, at: at(3)) == nil && troubles.report(at: at(3)).first?.attempts == 1)
    }

    @Test func `new peers are asked at once, a full disk is not`() {
        var troubles = ReplicaTroubles()
        let other = ContentDigest(of: [2])
        troubles.failed(digest, .fetching, "nobody has it", at: at(0))
        troubles.failed(other, .storing, "full", at: at(0))
        troubles.peersChanged()
        #expect(troubles.isDue(digest, at: at(0)) && !troubles.isDue(other, at: at(0)))
        troubles.settled(digest)
        troubles.keep { $0 == digest }
        #expect(troubles.report(at: at(0)).isEmpty)
    }
}
