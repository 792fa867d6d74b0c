import Foundation
import MastCloudCore
import MastCloudServer
import MastTimebase
import MastWasmRuntime
import Testing

/// What a node keeps of its compiling: only its own, only whole, only for the very engine, and never more than it may.
@Suite struct ArtifactCacheTests {
    private let engine = EngineFingerprint(library: [UInt8](repeating: 1, count: 32), settings: [UInt8](repeating: 2, count: 32))
    private let artifact = Array("machine code".utf8)
    private let digest = ContentDigest(of: [1])

    private func filled(_ store: any BlobStore = MemoryBlobStore()) throws -> any BlobStore {
        try ArtifactCache(store).keep(artifact, of: digest, for: engine)
        return store
    }

    /// Asks a cache that has just been opened, and says what it counted.
    private func answer(
        _ store: any BlobStore, _ digest: ContentDigest? = nil, for engine: EngineFingerprint? = nil, node: UInt64 = 1
    ) throws -> (artifact: [UInt8]?, counts: ArtifactCache.Counts) {
        let cache = try ArtifactCache(store, node: node)
        let artifact = cache.artifact(digest ?? self.digest, for: engine ?? self.engine)
        return (artifact, cache.counts)
    }

    @Test func `an artifact is found again after a restart`() throws {
        let (found, counts) = try answer(try filled())
        #expect(found == artifact && counts == ArtifactCache.Counts(hits: 1))
        let (missing, misses) = try answer(try filled(), ContentDigest(of: [2]))
        #expect(missing == nil && misses == ArtifactCache.Counts(misses: 1))
    }

    @Test func `on a disk it is one file, for its owner only`() throws {
        let path = NSTemporaryDirectory() + "mast-artifacts-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let store = try filled(try DirectoryBlobStore(path: path))
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [digest.description])
        let attributes = try FileManager.default.attributesOfItem(atPath: path + "/" + digest.description)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        #expect(try answer(store).artifact == artifact)
    }

    @Test func `a changed byte, wherever it is, deletes the file`() throws {
        let whole = try #require(try filled().read(digest.description))
        for position in whole.indices {
            var changed = whole
            changed[position] ^= 0x40
            let store = MemoryBlobStore()
            store.write(digest.description, changed)
            let (found, counts) = try answer(store)
            #expect(found == nil && counts == ArtifactCache.Counts(refused: 1) && store.names() == [], "\(position)")
        }
    }

    @Test func `so does a lost end, and one that is too long`() throws {
        let whole = try #require(try filled().read(digest.description))
        for torn in (0..<whole.count).map({ Array(whole.prefix($0)) }) + [whole + [0]] {
            let store = MemoryBlobStore()
            store.write(digest.description, torn)
            let (found, counts) = try answer(store)
            #expect(found == nil && counts.refused == 1 && store.names() == [], "\(torn.count)")
        }
    }

    @Test func `another engine and other settings delete it, and are counted apart`() throws {
        for (library, settings) in [(UInt8(9), UInt8(2)), (1, 9)] {
            let other = EngineFingerprint(library: [UInt8](repeating: library, count: 32), settings: [UInt8](repeating: settings, count: 32))
            let store = try filled()
            let (found, counts) = try answer(store, for: other)
            #expect(found == nil && counts == ArtifactCache.Counts(outdated: 1))
            #expect(try store.names() == [])
        }
    }

    @Test func `another node's artifact is not taken, nor one under another module's name`() throws {
        let store = try filled()
        let other = ContentDigest(of: [2])
        let renamed = MemoryBlobStore()
        renamed.write(other.description, try #require(try store.read(digest.description)))
        let (found, counts) = try answer(renamed, other)
        #expect(found == nil && counts.refused == 1)
        let (foreign, refusals) = try answer(store, node: 2)
        #expect(foreign == nil && refusals.refused == 1)
        #expect(try store.names() == [])
    }

    @Test func `what was not used for longest goes first`() throws {
        let store = MemoryBlobStore()
        let digests = (1...4).map { ContentDigest(of: [UInt8($0)]) }
        try ArtifactCache(store).keep(artifact, of: digests[0], for: engine)
        let size = try #require(store.size(digests[0].description))
        let cache = try ArtifactCache(store, capacityBytes: 3 * size)
        for digest in digests[1...2] { cache.keep(artifact, of: digest, for: engine) }
        #expect(cache.artifact(digests[0], for: engine) != nil && cache.totalBytes == 3 * size)
        cache.keep(artifact, of: digests[3], for: engine)
        #expect(Set(store.names()) == Set([0, 2, 3].map { digests[$0].description }) && cache.counts.evicted == 1)
        // What is larger than all of it displaces nothing.
        cache.keep([UInt8](repeating: 0, count: 3 * size), of: digests[1], for: engine)
        #expect(store.names().count == 3 && cache.counts.evicted == 1 && cache.trouble == nil)
        // Nor does a smaller disk after a restart keep more.
        let smaller = try ArtifactCache(store, capacityBytes: size)
        #expect(store.names().count == 1 && smaller.totalBytes == size)
    }

    @Test func `withdrawn applications and strange files are deleted`() throws {
        let store = MemoryBlobStore()
        store.write("notes", [1])
        let cache = try ArtifactCache(store)
        #expect(store.names() == [])
        let digests = (1...3).map { ContentDigest(of: [UInt8($0)]) }
        for digest in digests { cache.keep(artifact, of: digest, for: engine) }
        cache.remove(digests[0])
        cache.keep(only: [digests[0], digests[2]])
        #expect(store.names() == [digests[2].description])
        #expect(cache.artifact(digests[1], for: engine) == nil && cache.totalBytes == store.size(digests[2].description))
    }

    @Test func `a full disk is said, asked again ever more rarely, and forgotten when it has room`() throws {
        let (store, clock) = (FillableStore(), HandClock())
        let cache = try ArtifactCache(store, clock: clock)
        store.isFull.withLock { $0 = true }
        var waits: [Int] = []
        var last = 0
        for second in 0..<32 {
            let before = cache.counts.failedWrites
            cache.keep(artifact, of: digest, for: engine)
            if cache.counts.failedWrites > before {
                waits.append(second - last)
                last = second
            }
            clock.pass(.seconds(1))
        }
        #expect(waits == [0, 1, 2, 4, 8, 16])
        #expect(cache.trouble == "compiled applications are not kept on disk: the disk is full: no space left on device")
        store.isFull.withLock { $0 = false }
        cache.keep(artifact, of: digest, for: engine)
        #expect(store.names() == [], "not asked yet")
        clock.pass(ArtifactCache.longestWait)
        cache.keep(artifact, of: digest, for: engine)
        #expect(store.names() == [digest.description] && cache.trouble == nil)
    }
}
