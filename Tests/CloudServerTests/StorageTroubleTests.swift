import Foundation
import Logging
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import Synchronization
import Testing

@Suite struct StorageTroubleTests {
    /// Lines that a logger was given.
    private final class Lines: Sendable {
        let all = Mutex<[(level: Logger.Level, text: String)]>([])
        var logger: Logger {
            var logger = Logger(label: "test") { _ in Handler(lines: self) }
            logger.logLevel = .trace
            return logger
        }
        func count(_ level: Logger.Level) -> Int { all.withLock { $0.count { $0.level == level } } }
    }

    private struct Handler: LogHandler {
        let lines: Lines
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        func log(event: LogEvent) { lines.all.withLock { $0.append((event.level, "\(event.message) \(event.metadata ?? [:])")) } }
        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }
    }

    private let full = StorageError(.full, "the disk is full: make room")

    @Test("The log hears at once and then ever more seldom; status says it until it is over")
    func backOff() {
        let lines = Lines()
        var troubles = StorageTroubles(log: lines.logger)
        var now = Instant.zero
        // A failure each second for a day.
        for _ in 0..<86_400 {
            troubles.failed("users", full, at: now)
            now = now + .seconds(1)
        }
        #expect(troubles.lines == ["users cannot be stored: the disk is full: make room"])
        // At 0 s, then after 1, 2, 4, 8, 16, 32 minutes and each hour.
        #expect((20...32).contains(lines.count(.warning)), "\(lines.count(.warning))")
        // Another reason is news.
        troubles.failed("users", StorageError(.denied, "no permission"), at: now)
        #expect(lines.all.withLock { $0.last?.text.contains("no permission") } == true)
        troubles.failed("the release index", full, at: now)
        #expect(troubles.lines.count == 2)
        troubles.succeeded("users")
        #expect(troubles.lines == ["the release index cannot be stored: the disk is full: make room"])
        #expect(lines.count(.notice) == 1)
    }

    @Test("What the system says is named", arguments: [
        (ENOSPC, StorageError.Kind.full, "the disk is full"), (EDQUOT, .full, "quota"), (EROFS, .denied, "read-only"), (EACCES, .denied, "no permission"),
        (EPERM, .denied, "no permission"), (EIO, .inputOutput, "Input/output error"),
    ])
    func names(_ code: Int32, _ kind: StorageError.Kind, _ words: String) {
        errno = code
        let error = StorageError.system("write", "/some/file")
        #expect(error.kind == kind && error.message.contains(words) && error.message.contains("/some/file"), "\(error)")
    }

    @Test("A disk that is full leaves what was there and says so", .enabled(if: SmallDisk.isAvailable, "needs root and mount(8) for a small tmpfs"))
    func smallDisk() throws {
        let folder = TemporaryFolder()
        let disk = try SmallDisk(folder.path + "/disk", kilobytes: 128)
        defer { disk.unmount() }
        let store = try DirectoryBlobStore(path: disk.path + "/station")
        try store.write("users", Array("old".utf8))
        disk.fill()
        let error = #expect(throws: StorageError.self) { try store.write("users", [UInt8](repeating: 1, count: 64 << 10)) }
        #expect(error?.kind == .full && error?.message.contains("disk is full") == true, "\(String(describing: error))")
        #expect(try store.read("users") == Array("old".utf8))
        #expect(try store.names() == ["users"])
        disk.empty()
        try store.write("users", Array("new".utf8))
        #expect(try store.read("users") == Array("new".utf8))
    }

    @Test("A center whose disk is full refuses a change, adds nobody, and goes on", .enabled(if: SmallDisk.isAvailable, "needs root and mount(8) for a small tmpfs"))
    func centersDisk() throws {
        let folder = TemporaryFolder()
        let disk = try SmallDisk(folder.path + "/disk", kilobytes: 256)
        defer { disk.unmount() }
        let cloud = try TestCloud()
        var generator = SeededGenerator(seed: 1)
        var registry = try CenterRegistry(keys: cloud.keys, membership: cloud.membership, store: SQLiteCenterStore.create(path: disk.path + "/center.sqlite", for: cloud.keys.root.publicKey))
        disk.fill()
        let long = (0..<200).map { String(repeating: "x", count: 100) + "\($0)" }
        let error = #expect(throws: CenterError.self) { try registry.addUser(AddUser(name: "ada", applications: long), at: noon, using: &generator) }
        guard case .storage(let reason) = error else { return #expect(Bool(false), "\(String(describing: error))") }
        #expect(reason.kind == .full && reason.message.contains("the disk is full"), "\(reason)")
        #expect(RPCError(center: CenterError.storage(reason)).code == .resourceExhausted)
        #expect(registry.status.users.isEmpty)
        disk.empty()
        _ = try registry.addUser(AddUser(name: "ada", applications: long), at: noon, using: &generator)
        #expect(registry.status.users.map(\.name) == ["ada"])
    }

    /// A center's store on a disk that can be full.
    private final class FillableCenterStore: CenterStore {
        let memory = MemoryCenterStore()
        let isFull = Mutex(false)
        private func check() throws(CenterError) {
            if isFull.withLock({ $0 }) { throw .storage(StorageError(.full, "the disk is full")) }
        }
        func load() -> CenterState { memory.load() }
        func module(_ digest: ContentDigest) -> [UInt8]? { memory.module(digest) }
        func save(_ releases: SignedRecord<ReleaseIndex>, _ index: ReleaseIndex, adding: (digest: ContentDigest, bytes: [UInt8])?) throws(CenterError) {
            try check()
            memory.save(releases, index, adding: adding)
        }
        func save(_ user: StoredUser, revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
            try check()
            memory.save(user, revocations: revocations)
        }
        func save(_ station: StoredStation, using token: StoredToken?, revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
            try check()
            memory.save(station, using: token, revocations: revocations)
        }
        func save(_ token: StoredToken) throws(CenterError) {
            try check()
            memory.save(token)
        }
        func save(_ servers: SignedRecord<CommunicationServers>) throws(CenterError) {
            try check()
            memory.save(servers)
        }
        func save(_ divergences: [StoredDivergence], dropping: [ContentDigest], revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
            try check()
            memory.save(divergences, dropping: dropping, revocations: revocations)
        }
        func save(_ renewal: StateRenewal) throws(CenterError) {
            try check()
            memory.save(renewal)
        }
        func save(heardEpoch: UInt64) throws(CenterError) {
            try check()
            memory.save(heardEpoch: heardEpoch)
        }
        func removeTokens(endedBefore time: WallTime) throws(CenterError) {
            try check()
            memory.removeTokens(endedBefore: time)
        }
    }

    @Test("Center and station with a full disk say so in status, and stop saying so when there is room")
    func status() throws {
        let centerDisk = FillableCenterStore()
        let cloud = try SmallCloud(stations: 1, centerStore: centerDisk)
        let stationDisk = FillableStore()
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            let (station, _) = try await cloud.station(0, stores: StationStores(files: stationDisk, users: MemoryBlobStore(), replicas: MemoryBlobStore()))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await operating.wait { $0.nodes.count(where: \.isUp) == 2 }

                centerDisk.isFull.withLock { $0 = true }
                let refused = await #expect(throws: RPCError.self) {
                    try await operating.node(center).call(AdminMethods.addUser, AddUser(name: "ada"), options: try await operating.asOperator(center))
                }
                #expect(refused?.code == .resourceExhausted && refused?.message.contains("the disk is full") == true, "\(String(describing: refused))")
                let says = { (role: NodeRole, words: String) in
                    { @Sendable (status: CloudStatus) in status.nodes.contains { $0.role == role && $0.health.troubles.contains { $0.contains(words) } } }
                }
                _ = try await operating.wait { says(.center, "the center's state cannot be stored: the disk is full")($0) }
                centerDisk.isFull.withLock { $0 = false }

                stationDisk.isFull.withLock { $0 = true }
                _ = try await operating.push("upper", Array("uppr".utf8), to: center)
                _ = try await operating.wait { says(.station, "the release index cannot be stored: the disk is full")($0) && !says(.center, "disk")($0) }
                stationDisk.isFull.withLock { $0 = false }
                _ = try await operating.wait { !says(.station, "disk")($0) }
                group.cancelAll()
            }
        }
    }
}

/// A file system in memory that is soon full.
struct SmallDisk {
    static let isAvailable = geteuid() == 0
    let path: String

    init(_ path: String, kilobytes: Int) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard mount("mast-test", path, "tmpfs", 0, "size=\(kilobytes)k,mode=0700") == 0 else { throw StorageError(.inputOutput, String(cString: strerror(errno))) }
    }

    /// Takes what room there is.
    func fill() {
        guard let file = fopen(path + "/filler", "w") else { return }
        let page = [UInt8](repeating: 0, count: 4_096)
        while fwrite(page, 1, page.count, file) == page.count, fflush(file) == 0 {}
        fclose(file)
    }

    func empty() { unlink(path + "/filler") }
    func unmount() { umount2(path, Int32(MNT_DETACH)) }
}
