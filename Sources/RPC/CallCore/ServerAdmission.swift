import Collections
import MastTransport

/// Which of the calls that have come may run now, and who is next.
///
/// A source of traffic may start another handler only while it runs fewer than are free, so some always are (Choudhury and
/// Hahne's dynamic thresholds); a connection while it runs fewer than twice what its source has left. Alone, one connection
/// gets two fifths of the slots and its source half. Whoever may not start waits: turns go round the sources, within each
/// round its connections, and first come first served on a connection.
package struct ServerAdmission {
    package struct Limits: Sendable {
        package var slots = 4_096
        package var perConnection: Int?
        package init(slots: Int = 4_096, perConnection: Int? = nil) { (self.slots, self.perConnection) = (slots, perConnection) }
    }

    // Classes, because changing a value within a dictionary allocates.
    fileprivate final class Line {
        var running = 0
        /// Bounded by the streams that the peer may open.
        var waiting: Deque<UInt64> = []

        var isOver: Bool { running == 0 && waiting.isEmpty }
    }

    fileprivate final class Source {
        var running = 0
        var lines: [ConnectionHandle: Line] = [:]  // lookup only
        /// Connections with calls that wait, each once.
        var turns: Deque<ConnectionHandle> = []
    }

    /// A connection's line, found: good as long as a call waits or runs on it, or nothing else happens.
    package struct Place {
        fileprivate let connection: ConnectionHandle
        fileprivate let line: Line
        fileprivate let name: TrafficSource
        fileprivate let source: Source

        /// Handlers that run for the connection.
        package var running: Int { line.running }
    }

    package var limits: Limits
    package private(set) var running = 0
    package private(set) var waiting = 0
    private var sources: [TrafficSource: Source] = [:]  // lookup only
    /// Sources with calls that wait, each once.
    private var turns: Deque<TrafficSource> = []
    /// The line that ended last and its source are kept for the next call on it: one after the other, calls allocate nothing.
    private var resting: Place?

    /// Sources, and connections of each, that are looked at in one search: what it passes over is first in the next.
    private static let sourcesAtOnce = 64
    private static let connectionsAtOnce = 16

    package init(limits: Limits) { self.limits = limits }

    private func allows(_ source: Source, _ line: Line) -> Bool {
        let free = limits.slots - running
        return free > source.running && line.running < 2 * (free - source.running) && line.running < limits.perConnection ?? .max
    }

    package mutating func place(_ connection: ConnectionHandle, of name: TrafficSource) -> Place {
        let source = sources[name] ?? Source()
        if let line = source.lines[connection] { return Place(connection: connection, line: line, name: name, source: source) }
        let line = Line()
        source.lines[connection] = line
        sources[name] = source
        return Place(connection: connection, line: line, name: name, source: source)
    }

    /// Takes a slot for a call that has just come, unless others of its connection wait before it.
    package mutating func begin(_ place: Place) -> Bool {
        guard place.line.waiting.isEmpty, allows(place.source, place.line) else {
            rest(place)
            return false
        }
        start(place.source, place.line)
        return true
    }

    private mutating func start(_ source: Source, _ line: Line) {
        running += 1
        source.running += 1
        line.running += 1
    }

    package mutating func wait(_ call: UInt64, on connection: ConnectionHandle, of name: TrafficSource) {
        let place = place(connection, of: name)
        waiting += 1
        place.line.waiting.append(call)
        guard place.line.waiting.count == 1 else { return }
        place.source.turns.append(connection)
        if place.source.turns.count == 1 { turns.append(name) }
    }

    /// The call that runs next, its slot taken; nil when none may now.
    /// - Parameter mayStart: asked with how many handlers the connection runs.
    package mutating func next(where mayStart: (ConnectionHandle, TrafficSource, _ running: Int) -> Bool) -> UInt64? {
        var tries = min(turns.count, Self.sourcesAtOnce)
        while tries > 0, running < limits.slots, let name = turns.popFirst() {
            tries -= 1
            guard let source = sources[name] else { continue }
            let call = next(of: name, source, where: mayStart)
            if !source.turns.isEmpty { turns.append(name) }
            if let call { return call }
        }
        return nil
    }

    private mutating func next(
        of name: TrafficSource, _ source: Source, where mayStart: (ConnectionHandle, TrafficSource, _ running: Int) -> Bool
    ) -> UInt64? {
        for _ in 0..<min(source.turns.count, Self.connectionsAtOnce) {
            guard let connection = source.turns.popFirst(), let line = source.lines[connection] else { return nil }
            guard allows(source, line), mayStart(connection, name, line.running) else {
                source.turns.append(connection)
                continue
            }
            guard let call = line.waiting.popFirst() else { return nil }
            if !line.waiting.isEmpty { source.turns.append(connection) }
            waiting -= 1
            start(source, line)
            return call
        }
        return nil
    }

    /// The call waits no longer.
    package mutating func leave(_ call: UInt64, on connection: ConnectionHandle, of name: TrafficSource) {
        guard let source = sources[name], let line = source.lines[connection], let index = line.waiting.firstIndex(of: call) else { return }
        waiting -= 1
        line.waiting.remove(at: index)
        if line.waiting.isEmpty {
            source.turns.removeAll { $0 == connection }
            if source.turns.isEmpty { turns.removeAll { $0 == name } }
        }
        rest(Place(connection: connection, line: line, name: name, source: source))
    }

    /// A handler has ended.
    package mutating func finished(_ place: Place) {
        running -= 1
        place.source.running -= 1
        place.line.running -= 1
        rest(place)
    }

    /// A line on which nothing runs or waits takes the place of the one that rested before.
    private mutating func rest(_ place: Place) {
        guard place.line.isOver, resting?.line !== place.line else { return }
        if let before = resting, before.line.isOver {
            before.source.lines[before.connection] = nil
            if before.source.lines.isEmpty { sources[before.name] = nil }
        }
        resting = place
    }
}
