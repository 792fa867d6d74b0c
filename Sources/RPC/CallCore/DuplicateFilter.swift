import MastTimebase
import MastTransport

/// Recognises a second attempt of a call that must not run twice (after RIFL, Lee et al., SOSP 2015).
///
/// A session belongs to one authenticated peer. Within it, a sequence number is new, running (the second
/// attempt joins the first), done (its result is replayed) or forgotten: then nobody can say whether it ran,
/// and it is never run again. The caller tells which outcomes it still needs, which frees the rest.
package struct DuplicateFilter {
    package struct Limits: Sendable {
        /// Running calls of one session; more are refused, with no effect.
        package var running = 4_096
        /// Finished calls of one session whose results are kept; older ones become forgotten.
        package var done = 512
        /// A larger result is not kept.
        package var resultBytes = 64 << 10
        /// All results together.
        package var totalBytes = 64 << 20
        package var sessions = 4096
        /// How long a silent session is remembered.
        package var lease = Interval.seconds(30 * 60)
        package init() {}
    }

    package struct Owner: Hashable, Sendable {
        var peer: PublicKey
        var session: SessionID
        package init(peer: PublicKey, session: SessionID) { (self.peer, self.session) = (peer, session) }
    }

    /// A finished call's answer: frames ready to be sent.
    package struct Outcome: Sendable, Equatable {
        var frames: [UInt8]
        package init(frames: [UInt8]) { self.frames = frames }
    }

    package enum Verdict: Equatable, Sendable {
        case new
        /// The server call that is doing it.
        case running(UInt64)
        case done(Outcome)
        /// It ran here and its result is gone, or an earlier incarnation may have run it.
        case forgotten
        case overloaded
    }

    private enum State: Sendable {
        case running(UInt64)
        case done(Outcome)
    }

    private struct Record: Sendable {
        var sequence: UInt64
        var state: State
    }

    /// A class, because changing a value within a dictionary allocates. The filter's owner has exclusivity.
    private final class Session {
        /// Sorted by sequence.
        @exclusivity(unchecked) var records: [Record] = []
        var running = 0
        @exclusivity(unchecked) var forgotten = SequenceRanges()
        /// Everything below that is not in `records` is forgotten.
        var floor: UInt64 = 0
        var lastUsed: Instant

        init(lastUsed: Instant) { self.lastUsed = lastUsed }

        func index(_ sequence: UInt64) -> (index: Int, found: Bool) {
            var low = 0
            var high = records.count
            while low < high {
                let middle = (low + high) / 2
                if records[middle].sequence < sequence { low = middle + 1 } else { high = middle }
            }
            return (low, low < records.count && records[low].sequence == sequence)
        }

        /// - Parameter isForeign: another attempt, whose first went to somebody else.
        /// - Returns: the verdict, and how many bytes of results are kept no longer.
        func admit(
            _ sequence: UInt64, firstIncomplete: UInt64, isForeign: Bool, atMost limit: Int, call: UInt64, at now: Instant
        ) -> (Verdict, freed: Int) {
            lastUsed = now
            let freed = release(below: firstIncomplete)
            let (index, found) = index(sequence)
            if found {
                switch records[index].state {
                case .running(let call): return (.running(call), freed)
                case .done(let outcome): return (.done(outcome), freed)
                }
            }
            if sequence < floor || forgotten.contains(sequence) || isForeign { return (.forgotten, freed) }
            guard running < limit else { return (.overloaded, freed) }
            records.insert(Record(sequence: sequence, state: .running(call)), at: index)
            running += 1
            return (.new, freed)
        }

        /// - Returns: how many more bytes of results are kept.
        func complete(_ sequence: UInt64, _ outcome: Outcome?, keeping most: Int) -> Int {
            let (index, found) = index(sequence)
            guard found, case .running = records[index].state else { return 0 }
            running -= 1
            guard let outcome else {
                records.remove(at: index)
                forgotten.insert(sequence)
                return 0
            }
            records[index].state = .done(outcome)
            return outcome.frames.count - (records.count - running > most ? forgetOldest() : 0)
        }

        func withdraw(_ sequence: UInt64) {
            let (index, found) = index(sequence)
            guard found, case .running = records[index].state else { return }
            running -= 1
            records.remove(at: index)
        }

        private func release(below sequence: UInt64) -> Int {
            guard sequence > floor else { return 0 }
            floor = sequence
            forgotten.removeAll(below: sequence)
            let end = index(sequence).index
            guard end > 0 else { return 0 }
            var (kept, freed): ([Record], Int) = ([], 0)
            for record in records[..<end] {
                switch record.state {
                case .running: kept.append(record)
                case .done(let outcome): freed += outcome.frames.count
                }
            }
            records.replaceSubrange(..<end, with: kept)
            return freed
        }

        private func forgetOldest() -> Int {
            for index in records.indices {
                if case .done(let outcome) = records[index].state {
                    forgotten.insert(records[index].sequence)
                    records.remove(at: index)
                    return outcome.frames.count
                }
            }
            return 0
        }
    }

    package let limits: Limits
    package let incarnation: UInt64
    private var sessions: [Owner: Session] = [:]  // lookup only
    /// Found last, and mostly next: hashing a key takes longer than comparing it with itself.
    private var latest: (owner: Owner, session: Session)?
    /// Every session once, with the moment it was put there; a second chance for those used since.
    private var queue: [(owner: Owner, since: Instant)] = []
    private var queueStart = 0
    private var keptBytes = 0
    /// Set when a session had to go before its lease ended: from then on an unknown session's retry may have run.
    private var evictedEarly = false

    package init(incarnation: UInt64, limits: Limits = Limits()) {
        (self.incarnation, self.limits) = (incarnation, limits)
    }

    package var sessionCount: Int { sessions.count }

    package mutating func admit(_ owner: Owner, header: RequestHeader, call: UInt64, at now: Instant) -> Verdict {
        guard let id = header.id else { return .new }
        let isRetry = header.attempt > 1
        sweep(at: now)
        let known = find(owner)
        let session = known ?? Session(lastUsed: now)
        if known == nil {
            guard makeRoom() else { return .overloaded }
            queue.append((owner, now))
            sessions[owner] = session
            if isRetry, evictedEarly { return .forgotten }
        }
        let (verdict, freed) = session.admit(
            id.sequence, firstIncomplete: header.firstIncomplete, isForeign: isRetry && header.earlierIncarnation != incarnation,
            atMost: limits.running, call: call, at: now)
        keptBytes -= freed
        return verdict
    }

    /// The call ended; `nil` when its result cannot be replayed (streams).
    package mutating func complete(_ owner: Owner, sequence: UInt64, outcome: Outcome?) {
        var outcome = outcome
        if let bytes = outcome?.frames.count, bytes > limits.resultBytes || keptBytes + bytes > limits.totalBytes { outcome = nil }
        keptBytes += find(owner)?.complete(sequence, outcome, keeping: limits.done) ?? 0
    }

    /// The call was refused before its handler ran: it may come again.
    package mutating func withdraw(_ owner: Owner, sequence: UInt64) {
        sessions[owner]?.withdraw(sequence)
    }

    private mutating func find(_ owner: Owner) -> Session? {
        if let latest, latest.owner == owner { return latest.session }
        guard let session = sessions[owner] else { return nil }
        latest = (owner, session)
        return session
    }

    /// The call never ran, and another attempt of it takes its place.
    package mutating func hand(_ owner: Owner, sequence: UInt64, to call: UInt64) {
        guard let (index, found) = sessions[owner]?.index(sequence), found else { return }
        if case .running = sessions[owner]?.records[index].state { sessions[owner]?.records[index].state = .running(call) }
    }

    /// Drops sessions whose lease has ended.
    private mutating func sweep(at now: Instant) {
        while queueStart < queue.count {
            let (owner, since) = queue[queueStart]
            guard now - since >= limits.lease else { break }
            queueStart += 1
            guard let session = sessions[owner] else { continue }
            if session.running > 0 || now - session.lastUsed < limits.lease {
                queue.append((owner, session.running > 0 ? now : session.lastUsed))
            } else {
                drop(owner)
            }
        }
        compact()
    }

    /// False when every session is busy.
    private mutating func makeRoom() -> Bool {
        var tries = queue.count - queueStart
        while sessions.count >= limits.sessions, tries > 0 {
            tries -= 1
            let (owner, since) = queue[queueStart]
            queueStart += 1
            guard let session = sessions[owner] else { continue }
            if session.running > 0 || session.lastUsed > since {
                queue.append((owner, session.lastUsed))
            } else {
                drop(owner)
                evictedEarly = true
            }
        }
        if sessions.count >= limits.sessions, queueStart < queue.count {
            // All were used since they were queued: the first idle one goes.
            for index in queueStart..<queue.count {
                let owner = queue[index].owner
                if let session = sessions[owner], session.running == 0 {
                    drop(owner)
                    queue.remove(at: index)
                    evictedEarly = true
                    break
                }
            }
        }
        compact()
        return sessions.count < limits.sessions
    }

    private mutating func drop(_ owner: Owner) {
        guard let session = sessions.removeValue(forKey: owner) else { return }
        if latest?.session === session { latest = nil }
        for record in session.records {
            if case .done(let outcome) = record.state { keptBytes -= outcome.frames.count }
        }
    }

    private mutating func compact() {
        if queueStart > 64, queueStart * 2 > queue.count {
            queue.removeSubrange(..<queueStart)
            queueStart = 0
        }
    }
}

/// Sequence numbers as sorted, disjoint ranges. At most 512: beyond that the two lowest become one with the
/// gap between them, which errs towards "forgotten".
package struct SequenceRanges: Sendable, Equatable {
    package private(set) var ranges: [ClosedRange<UInt64>] = []
    package init() {}

    package func contains(_ value: UInt64) -> Bool {
        let index = firstIndex(endingAtOrAfter: value)
        return index < ranges.count && ranges[index].lowerBound <= value
    }

    package mutating func insert(_ value: UInt64) {
        let index = firstIndex(endingAtOrAfter: value)
        if index < ranges.count, ranges[index].lowerBound <= value { return }
        let joinsBefore = index > 0 && ranges[index - 1].upperBound + 1 == value
        let joinsAfter = index < ranges.count && ranges[index].lowerBound - 1 == value
        switch (joinsBefore, joinsAfter) {
        case (true, true):
            ranges[index - 1] = ranges[index - 1].lowerBound...ranges[index].upperBound
            ranges.remove(at: index)
        case (true, false): ranges[index - 1] = ranges[index - 1].lowerBound...value
        case (false, true): ranges[index] = value...ranges[index].upperBound
        case (false, false):
            ranges.insert(value...value, at: index)
            if ranges.count > 512 {
                ranges[1] = ranges[0].lowerBound...ranges[1].upperBound
                ranges.remove(at: 0)
            }
        }
    }

    package mutating func removeAll(below value: UInt64) {
        let end = firstIndex(endingAtOrAfter: value)
        ranges.removeSubrange(..<end)
        if let first = ranges.first, first.lowerBound < value { ranges[0] = value...first.upperBound }
    }

    private func firstIndex(endingAtOrAfter value: UInt64) -> Int {
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
