import Foundation
import MastCloudClient
import MastCloudCore
import MastTimebase
import Synchronization
import Testing

/// What both pools promise. Each test runs against a fresh pool of either kind.
@Suite struct `Result pools` {
    enum Kind: CaseIterable { case memory, disk }

    func withPool(_ kind: Kind, quota: Int = 1 << 20, _ body: (any ResultPool) throws -> Void) throws {
        switch kind {
        case .memory: try body(MemoryPool(quotaBytes: quota))
        case .disk:
            let folder = TemporaryFolder()
            try body(try ResourcePool(directory: folder.path, quotaBytes: quota))
        }
    }

    @Test(arguments: Kind.allCases) func `A run id keeps its first result`(_ kind: Kind) throws {
        try withPool(kind) { pool in
            let first = try pool.commit(submission("r1", [1, 2, 3]), at: noon)
            guard case .committed(let resource) = first else { return #expect(Bool(false), "\(first)") }
            #expect(resource.size == 3 && resource.resident && resource.servedBy == "station-a" && resource.createdAt == noon)

            let second = try pool.commit(submission("r1", [1, 2, 3], servedBy: "station-b"), at: noon)
            #expect(second == .duplicateSame(resource))

            let third = try pool.commit(submission("r1", [9], servedBy: "station-b"), at: noon)
            #expect(third == .divergent(committed: resource, other: ContentDigest(of: [9])))

            #expect(try pool.contents(of: "r1") == [1, 2, 3])
            let statistics = try pool.statistics()
            #expect(statistics.committed == 1 && statistics.duplicateSame == 1 && statistics.divergent == 1)
            #expect(statistics.entries == 1 && statistics.bytes == 3 && statistics.hits == 1)
        }
    }

    @Test(arguments: Kind.allCases) func `A run id cannot be used for another input`(_ kind: Kind) throws {
        try withPool(kind) { pool in
            _ = try pool.commit(submission("r1", [1]), at: noon)
            #expect(throws: PoolError.runIDInUse(runID: "r1", application: "grep")) {
                try pool.commit(submission("r1", [1], input: "other"), at: noon)
            }
        }
    }

    @Test(arguments: Kind.allCases) func `What was used longest ago goes first`(_ kind: Kind) throws {
        try withPool(kind, quota: 30_000) { pool in
            for index in 0..<3 { _ = try pool.commit(submission(RunID(rawValue: "r\(index)"), Array(repeating: UInt8(index), count: 10_000)), at: noon) }
            _ = try pool.contents(of: "r0")
            _ = try pool.commit(submission("r3", Array(repeating: 3, count: 10_000)), at: noon)
            #expect(try pool.resources().map(\.resident) == [true, false, true, true])
            #expect(try pool.contents(of: "r1") == nil)
            #expect(try pool.statistics().bytes == 30_000)
            #expect(try pool.statistics().evicted == 1)
        }
    }

    @Test(arguments: Kind.allCases) func `An evicted result is restored by the same bytes and told from others`(_ kind: Kind) throws {
        try withPool(kind, quota: 10_000) { pool in
            let bytes = Array(repeating: UInt8(7), count: 8_000)
            _ = try pool.commit(submission("r1", bytes), at: noon)
            _ = try pool.commit(submission("r2", Array(repeating: 8, count: 8_000)), at: noon)
            #expect(try pool.contents(of: "r1") == nil)
            guard case .divergent = try pool.commit(submission("r1", [1]), at: noon) else { return #expect(Bool(false)) }
            guard case .committed(let back) = try pool.commit(submission("r1", bytes), at: noon) else { return #expect(Bool(false)) }
            #expect(back.resident)
            #expect(try pool.contents(of: "r1") == bytes)
            #expect(try pool.statistics().restored == 1)
            #expect(try pool.statistics().duplicateSame == 0)
        }
    }

    @Test(arguments: Kind.allCases) func `Pinned and leased results stay, until the lease runs out`(_ kind: Kind) throws {
        try withPool(kind, quota: 20_000) { pool in
            let bytes = { (value: UInt8) in Array(repeating: value, count: 10_000) }
            _ = try pool.commit(submission("pinned", bytes(1)), at: noon)
            _ = try pool.commit(submission("leased", bytes(2)), at: noon)
            #expect(try pool.setPinned(true, "pinned"))
            let lease = try #require(try pool.lease("leased", for: .seconds(60), at: noon))
            #expect(lease.expires == noon + .seconds(60))

            let refused = try pool.commit(submission("new", bytes(3)), at: noon)
            #expect(!refused.resource.resident)
            #expect(throws: PoolError.leased("leased")) { try pool.remove("leased", force: false, at: noon) }

            let later = noon + .seconds(61)
            #expect(try pool.commit(submission("new", bytes(3)), at: later).resource.resident)
            #expect(try pool.contents(of: "leased") == nil)
            #expect(try pool.contents(of: "pinned") == bytes(1))
        }
    }

    @Test(arguments: Kind.allCases) func `Equal results share their bytes, and go with the last entry`(_ kind: Kind) throws {
        try withPool(kind) { pool in
            let bytes = Array(repeating: UInt8(5), count: 9_000)
            _ = try pool.commit(submission("r1", bytes), at: noon)
            _ = try pool.commit(submission("r2", bytes), at: noon)
            #expect(try pool.statistics().bytes == 9_000)
            #expect(try pool.remove("r1", force: false, at: noon))
            #expect(try pool.contents(of: "r2") == bytes)
            #expect(try pool.remove("r2", force: false, at: noon))
            #expect(try pool.remove("r2", force: false, at: noon) == false)
            #expect(try pool.statistics().bytes == 0)
        }
    }

    @Test(arguments: Kind.allCases) func `A result larger than the quota is committed without bytes`(_ kind: Kind) throws {
        try withPool(kind, quota: 100) { pool in
            _ = try pool.commit(submission("small", [1]), at: noon)
            let outcome = try pool.commit(submission("large", Array(repeating: 1, count: 5_000)), at: noon)
            #expect(!outcome.resource.resident)
            #expect(try pool.contents(of: "small") == [1])
        }
    }

    @Test(arguments: Kind.allCases) func `Run ids are plain names`(_ kind: Kind) throws {
        try withPool(kind) { pool in
            for bad in ["", "a\nb", "a b", String(repeating: "x", count: 129)] {
                #expect(throws: PoolError.self) { try pool.commit(submission(RunID(rawValue: bad), [1]), at: noon) }
            }
        }
    }

    /// The memory pool is the model: whatever happens to both, they must stay alike.
    @Test(arguments: [1, 2, 3] as [UInt64]) func `Both pools agree over random operations`(_ seed: UInt64) throws {
        let folder = TemporaryFolder()
        let disk = try ResourcePool(directory: folder.path, quotaBytes: 60_000)
        let memory = MemoryPool(quotaBytes: 60_000)
        var generator = SeededGenerator(seed: seed)
        func draw(_ bound: UInt64) -> Int { Int(generator.next() % bound) }
        for step in 0..<150 {
            let runID = RunID(rawValue: "r\(draw(12))")
            let now = noon + .seconds(Int64(step))
            switch draw(8) {
            case 0...3:
                let bytes = Array(repeating: UInt8(draw(5)), count: [100, 4_096, 4_097, 20_000][draw(4)])
                #expect(try disk.commit(submission(runID, bytes), at: now) == memory.commit(submission(runID, bytes), at: now))
            case 4: #expect(try disk.contents(of: runID) == memory.contents(of: runID))
            case 5:
                let force = draw(2) == 0
                #expect(
                    Result { try disk.remove(runID, force: force, at: now) }.mapError { $0 as! PoolError }
                        == Result { try memory.remove(runID, force: force, at: now) }.mapError { $0 as! PoolError })
            case 6:
                let pinned = draw(3) == 0
                #expect(try disk.setPinned(pinned, runID) == memory.setPinned(pinned, runID))
            default:
                #expect(
                    try disk.lease(runID, for: .seconds(5), at: now)?.expires
                        == memory.lease(runID, for: .seconds(5), at: now)?.expires)
            }
            #expect(try disk.statistics() == memory.statistics(), "step \(step)")
        }
        #expect(try disk.resources() == memory.resources())
        // Every file belongs to an entry, and nothing half-written is left.
        let wanted = Set(try disk.resources().filter { $0.resident && $0.size > 4_096 }.map { "\($0.digest)" })
        #expect(Set(folder.files(under: "blobs").map { String($0.suffix(64)) }) == wanted)
        #expect(folder.files(under: "incoming").isEmpty)
    }
}

/// What only the pool on disk promises.
@Suite struct `The resource pool on disk` {
    let large = (0..<10_000).map { UInt8(truncatingIfNeeded: $0) }

    @Test func `Results, pins and counters are there after a restart`() throws {
        let folder = TemporaryFolder()
        var pool: ResourcePool? = try ResourcePool(directory: folder.path, quotaBytes: 50_000)
        _ = try pool?.commit(submission("r1", large), at: noon)
        _ = try pool?.commit(submission("r2", [1]), at: noon)
        _ = try pool?.setPinned(true, "r1")
        let before = try pool?.resources()
        pool = nil
        let again = try ResourcePool(directory: folder.path)
        #expect(try again.resources() == before)
        #expect(try again.contents(of: "r1") == large)
        #expect(try again.contents(of: "r2") == [1])
        #expect(try again.statistics().quotaBytes == 50_000)
        #expect(try again.statistics().committed == 2)
    }

    @Test func `What a dead writer left is swept, and what an entry names is not`() throws {
        let folder = TemporaryFolder()
        do {
            let pool = try ResourcePool(directory: folder.path)
            _ = try pool.commit(submission("r1", large), at: noon)
        }
        let named = ContentDigest(of: large)
        let orphan = ContentDigest(of: [7])
        try FileManager.default.createDirectory(
            atPath: "\(folder.path)/blobs/\("\(orphan)".prefix(2))", withIntermediateDirectories: true)
        for path in ["incoming/\(orphan).99999999.1", "incoming/\(named).99999999.2", "blobs/\("\(orphan)".prefix(2))/\(orphan)"] {
            try Data([7]).write(to: URL(filePath: "\(folder.path)/\(path)"))
        }
        let pool = try ResourcePool(directory: folder.path)
        #expect(folder.files(under: "incoming").isEmpty)
        #expect(folder.files(under: "blobs").map { String($0.suffix(64)) } == ["\(named)"])
        #expect(try pool.contents(of: "r1") == large)
    }

    @Test(arguments: [true, false]) func `A damaged or missing file is noticed and can be restored`(_ missing: Bool) throws {
        let folder = TemporaryFolder()
        let pool = try ResourcePool(directory: folder.path)
        _ = try pool.commit(submission("r1", large), at: noon)
        let file = "\(folder.path)/blobs/\(folder.files(under: "blobs")[0])"
        if missing {
            try FileManager.default.removeItem(atPath: file)
        } else {
            try Data(repeating: 0, count: large.count).write(to: URL(filePath: file))
        }
        #expect(try pool.contents(of: "r1") == nil)
        #expect(try pool.resource(for: "r1")?.resident == false)
        #expect(try pool.statistics().lost == 1)
        guard case .committed = try pool.commit(submission("r1", large), at: noon) else { return #expect(Bool(false)) }
        #expect(try pool.contents(of: "r1") == large)
    }

    @Test func `Several users of one folder commit one result per run id`() throws {
        let folder = TemporaryFolder()
        let users = try (0..<4).map { _ in try ResourcePool(directory: folder.path, quotaBytes: 120_000) }
        let firsts = Atomic<Int>(0)
        let failures = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: users.count) { index in
            for run in 0..<15 {
                let bytes = Array(repeating: UInt8(run), count: run.isMultiple(of: 2) ? 10_000 : 10)
                do {
                    if case .committed = try users[index].commit(submission(RunID(rawValue: "r\(run)"), bytes), at: noon) {
                        firsts.add(1, ordering: .relaxed)
                    }
                    if let read = try users[index].contents(of: RunID(rawValue: "r\(run)")), read != bytes { failures.add(1, ordering: .relaxed) }
                } catch { failures.add(1, ordering: .relaxed) }
            }
        }
        let statistics = try users[0].statistics()
        #expect(failures.load(ordering: .relaxed) == 0)
        #expect(firsts.load(ordering: .relaxed) == 15)
        #expect(statistics.committed == 15 && statistics.duplicateSame == 45 && statistics.divergent == 0 && statistics.lost == 0)
    }

    @Test func `A foreign or newer index is refused with its path`() throws {
        let folder = TemporaryFolder()
        try Data("not a database, but long enough to be taken for one at first sight".utf8)
            .write(to: URL(filePath: "\(folder.path)/index.sqlite"))
        #expect { try ResourcePool(directory: folder.path) } throws: { error in
            guard case .damaged(let path, _) = error as? PoolError else { return false }
            return path.hasSuffix("index.sqlite")
        }
    }

    @Test func `A smaller quota takes effect at once`() throws {
        let folder = TemporaryFolder()
        let pool = try ResourcePool(directory: folder.path)
        _ = try pool.commit(submission("r1", large), at: noon)
        _ = try pool.commit(submission("r2", Array(large.reversed())), at: noon)
        try pool.setQuota(bytes: 15_000, at: noon)
        #expect(try pool.resources().map(\.resident) == [false, true])
        #expect(folder.files(under: "blobs").count == 1)
    }
}
