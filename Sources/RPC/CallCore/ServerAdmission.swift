import Collections
import MastTransport

/// Which of the calls that have come may run now, and who is next.
///
/// A source of traffic may start another handler only while it runs fewer than are free, so some always are (Choudhury and
/// Hahne's dynamic thresholds); a connection while it runs fewer than twice what its source has left. Alone, one connection
/// gets two fifths of the slots and its source half. Whoever may not start waits: turns go round the sources, within each
/// round its connections, and first come first served on a connection.
package struct ServerAdmission: Sendable {
    package struct Limits: Sendable {
        package var slots = 4_096
        package var perConnection: Int?
        package init(slots: Int = 4_096, perConnection: Int? = nil) { (self.slots, self.perConnection) = (slots, perConnection) }
    }

    private struct Line: Sendable {
        var running = 0
        /// Bounded by the streams that the peer may open.
        var waiting: Deque<UInt64> = []
    }

    private struct Source: Sendable {
        var running = 0
        var lines: [ConnectionHandle: Line] = [:]  // lookup only
        /// Connections with calls that wait, each once.
        var turns: Deque<ConnectionHandle> = []

        mutating func start(_ connection: ConnectionHandle) {
            running += 1
            lines[connection, default: Line()].running += 1
        }
    }

    package var limits: Limits
    package private(set) var running = 0
    package private(set) var waiting = 0
    private var sources: [TrafficSource: Source] = [:]  // lookup only
    /// Sources with calls that wait, each once.
    private var turns: Deque<TrafficSource> = []
    /// The line that ended last and its source are kept for the next call on it: one after the other, calls allocate nothing.
    private var resting: (source: TrafficSource, connection: ConnectionHandle)?

    /// Sources, and connections of each, that are looked at in one search: what it passes over is first in the next.
    private static let sourcesAtOnce = 64
    private static let connectionsAtOnce = 16

    package init(limits: Limits) { self.limits = limits }

    package func running(_ connection: ConnectionHandle, of source: TrafficSource) -> Int { sources[source]?.lines[connection]?.running ?? 0 }

    /// Whether a source that runs `ofSource` handlers may start one on a connection that runs `ofLine`.
    private func allows(ofSource: Int, ofLine: Int) -> Bool {
        let free = limits.slots - running
        return free > ofSource && ofLine < 2 * (free - ofSource) && ofLine < limits.perConnection ?? .max
    }

    /// Takes a slot for a call that has just come, unless others of its connection wait before it.
    package mutating func begin(_ connection: ConnectionHandle, of source: TrafficSource) -> Bool {
        let line = sources[source]?.lines[connection]
        guard line?.waiting.isEmpty ?? true, allows(ofSource: sources[source]?.running ?? 0, ofLine: line?.running ?? 0) else { return false }
        started(connection, source)
        return true
    }

    private mutating func started(_ connection: ConnectionHandle, _ source: TrafficSource) {
        running += 1
        sources[source, default: Source()].start(connection)
    }

    package mutating func wait(_ call: UInt64, on connection: ConnectionHandle, of source: TrafficSource) {
        waiting += 1
        sources[source, default: Source()].lines[connection, default: Line()].waiting.append(call)
        if sources[source]?.lines[connection]?.waiting.count == 1 { sources[source]?.turns.append(connection) }
        if sources[source]?.turns.count == 1, sources[source]?.lines[connection]?.waiting.count == 1 { turns.append(source) }
    }

    /// The call that runs next, its slot taken; nil when none may now.
    /// - Parameter mayStart: asked with how many handlers the connection runs.
    package mutating func next(where mayStart: (ConnectionHandle, TrafficSource, _ running: Int) -> Bool) -> UInt64? {
        var tries = min(turns.count, Self.sourcesAtOnce)
        while tries > 0, running < limits.slots, let source = turns.popFirst() {
            tries -= 1
            let call = next(of: source, where: mayStart)
            if sources[source]?.turns.isEmpty == false { turns.append(source) }
            if let call { return call }
        }
        return nil
    }

    private mutating func next(of source: TrafficSource, where mayStart: (ConnectionHandle, TrafficSource, _ running: Int) -> Bool) -> UInt64? {
        guard let count = sources[source]?.turns.count else { return nil }
        for _ in 0..<min(count, Self.connectionsAtOnce) {
            guard let state = sources[source], let connection = state.turns.first, let line = state.lines[connection] else { return nil }
            sources[source]?.turns.removeFirst()
            guard allows(ofSource: state.running, ofLine: line.running), mayStart(connection, source, line.running) else {
                sources[source]?.turns.append(connection)
                continue
            }
            let call = sources[source]?.lines[connection]?.waiting.popFirst()
            if line.waiting.count > 1 { sources[source]?.turns.append(connection) }
            guard let call else { return nil }
            waiting -= 1
            started(connection, source)
            return call
        }
        return nil
    }

    /// The call waits no longer.
    package mutating func leave(_ call: UInt64, on connection: ConnectionHandle, of source: TrafficSource) {
        guard let index = sources[source]?.lines[connection]?.waiting.firstIndex(of: call) else { return }
        waiting -= 1
        sources[source]?.lines[connection]?.waiting.remove(at: index)
        if sources[source]?.lines[connection]?.waiting.isEmpty == true {
            sources[source]?.turns.removeAll { $0 == connection }
            if sources[source]?.turns.isEmpty == true { turns.removeAll { $0 == source } }
        }
        rest(connection, source)
    }

    /// A handler has ended.
    package mutating func finished(_ connection: ConnectionHandle, of source: TrafficSource) {
        running -= 1
        sources[source]?.running -= 1
        sources[source]?.lines[connection]?.running -= 1
        rest(connection, source)
    }

    /// A line that nothing runs or waits on takes the place of the one that rested before.
    private mutating func rest(_ connection: ConnectionHandle, _ source: TrafficSource) {
        if let before = resting, before.connection == connection, before.source == source { return }
        guard isOver(connection, source) else { return }
        if let before = resting, isOver(before.connection, before.source) {
            sources[before.source]?.lines[before.connection] = nil
            if sources[before.source]?.lines.isEmpty == true { sources[before.source] = nil }
        }
        resting = (source, connection)
    }

    private func isOver(_ connection: ConnectionHandle, _ source: TrafficSource) -> Bool {
        guard let line = sources[source]?.lines[connection] else { return false }
        return line.running == 0 && line.waiting.isEmpty
    }
}
