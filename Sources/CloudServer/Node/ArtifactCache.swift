import Crypto
import Logging
import MastCloudCore
import MastTimebase
import MastWasmRuntime
import Synchronization

/// What a node compiled, on its disk: after a restart it need not compile again. It is never needed: what is missing,
/// damaged or another's is compiled again, and what the disk does not take is not kept.
package final class ArtifactCache: Sendable {
    /// Since the start.
    package struct Counts: Sendable, Hashable {
        package var hits, misses: Int
        /// Deleted, because another engine or other settings made them.
        package var outdated: Int
        /// Deleted, because they were torn, changed or another node's.
        package var refused: Int
        package var evicted = 0
        package var failedWrites = 0

        package init(hits: Int = 0, misses: Int = 0, outdated: Int = 0, refused: Int = 0) {
            (self.hits, self.misses, self.outdated, self.refused) = (hits, misses, outdated, refused)
        }
    }

    private struct State: Sendable {
        /// Least recently used first; after a restart nobody knows, and the names decide.
        var entries: [(digest: ContentDigest, size: Int)] = []
        var counts = Counts()
        var trouble: Trouble?

        mutating func forget(_ digest: ContentDigest) { entries.removeAll { $0.digest == digest } }
    }

    private struct Trouble: Sendable {
        var reason: String
        var last: Instant
        var wait: Interval
    }

    /// Wait after a first failed write; it doubles with each further one.
    package static let firstWait = Interval.seconds(1)
    package static let longestWait = Interval.seconds(300)

    private let store: any BlobStore
    private let capacityBytes: Int
    private let key: SymmetricKey
    private let now: @Sendable () -> Instant
    private let log: Logger
    // Never held while a file is read or written.
    private let state: Mutex<State>

    /// - Parameters:
    ///   - store: of this cache alone; what else is there goes.
    ///   - capacityBytes: on the disk.
    ///   - key: this node's alone.
    package init(
        store: any BlobStore, capacityBytes: Int, key: SymmetricKey, log: Logger, now: @escaping @Sendable () -> Instant
    ) throws {
        (self.store, self.capacityBytes, self.key, self.log, self.now) = (store, capacityBytes, key, log, now)
        var state = State()
        for name in try store.names() {
            if let digest = ContentDigest(name), let size = try store.size(name) {
                state.entries.append((digest, size))
            } else {
                try? store.remove(name)
            }
        }
        self.state = Mutex(state)
        makeRoom(for: 0)
    }

    package var counts: Counts { state.withLock { $0.counts } }
    package var totalBytes: Int { state.withLock { $0.entries.reduce(0) { $0 + $1.size } } }

    /// What goes wrong, on one line; nil when nothing does.
    package var trouble: String? {
        state.withLock { $0.trouble.map { "compiled applications are not kept on disk: \($0.reason)" } }
    }

    /// The artifact of a module; nil when there is none that may run.
    package func artifact(_ digest: ContentDigest, for engine: EngineFingerprint) -> [UInt8]? {
        let isKnown = state.withLock { state in
            guard let index = state.entries.firstIndex(where: { $0.digest == digest }) else {
                state.counts.misses += 1
                return false
            }
            state.entries.append(state.entries.remove(at: index))
            return true
        }
        guard isKnown else { return nil }
        do {
            // Somebody may have put there what fills the memory.
            let size = try store.size(digest.description) ?? 0
            guard size <= capacityBytes, let file = try store.read(digest.description) else { throw ArtifactFile.Fault.damaged }
            let artifact = try ArtifactFile.artifact(in: file, of: digest, for: engine, key: key)
            state.withLock { $0.counts.hits += 1 }
            return artifact
        } catch let fault as ArtifactFile.Fault {
            discard(digest, isOutdated: fault == .otherEngine || fault == .otherSettings, "\(fault)")
        } catch {
            discard(digest, isOutdated: false, "\(error)")
        }
        return nil
    }

    /// Deletes an artifact that the engine did not take after all.
    func discard(_ digest: ContentDigest, isOutdated: Bool, _ reason: String) {
        state.withLock { state in
            state.forget(digest)
            if isOutdated { state.counts.outdated += 1 } else { state.counts.refused += 1 }
        }
        try? store.remove(digest.description)
        log.notice("artifact deleted, to be compiled again", metadata: ["digest": "\(digest)", "reason": "\(reason)"])
    }

    /// Keeps what was compiled and has been found to work, if there is room for it and the disk takes it.
    package func keep(_ artifact: [UInt8], of digest: ContentDigest, for engine: EngineFingerprint) {
        let size = artifact.count + ArtifactFile.headerBytes
        guard size <= capacityBytes, isDue else { return }
        makeRoom(for: size)
        do {
            try store.write(digest.description, ArtifactFile.bytes(artifact, of: digest, for: engine, key: key))
            let wasTrouble = state.withLock { state in
                state.forget(digest)
                state.entries.append((digest, size))
                defer { state.trouble = nil }
                return state.trouble != nil
            }
            if wasTrouble { log.notice("compiled applications are kept on disk again") }
        } catch {
            failed("\(error)")
        }
    }

    private var isDue: Bool {
        let now = now()
        return state.withLock { state in state.trouble.map { now - $0.last >= $0.wait } ?? true }
    }

    private func failed(_ reason: String) {
        let now = now()
        let isNew = state.withLock { state in
            let before = state.trouble
            state.counts.failedWrites += 1
            state.trouble = Trouble(reason: reason, last: now, wait: before.map { min($0.wait * 2, Self.longestWait) } ?? Self.firstWait)
            return before?.reason != reason
        }
        if isNew { log.warning("compiled applications are not kept on disk", metadata: ["reason": "\(reason)"]) }
    }

    /// Deletes what belongs to none of these modules.
    package func keep(only digests: [ContentDigest]) {
        let gone = state.withLock { state in
            let gone = state.entries.map(\.digest).filter { !digests.contains($0) }
            for digest in gone { state.forget(digest) }
            return gone
        }
        for digest in gone { try? store.remove(digest.description) }
    }

    package func remove(_ digest: ContentDigest) {
        let isKnown = state.withLock { state in
            defer { state.forget(digest) }
            return state.entries.contains { $0.digest == digest }
        }
        if isKnown { try? store.remove(digest.description) }
    }

    private func makeRoom(for size: Int) {
        let victims = state.withLock { state in
            var victims: [ContentDigest] = []
            var total = state.entries.reduce(0) { $0 + $1.size }
            while total > capacityBytes - size, !state.entries.isEmpty {
                let victim = state.entries.removeFirst()
                total -= victim.size
                victims.append(victim.digest)
            }
            state.counts.evicted += victims.count
            return victims
        }
        for victim in victims { try? store.remove(victim.description) }
    }
}
