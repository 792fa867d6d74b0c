import MastLinkModel
import MastTimebase

/// What goes wrong, and when.
package struct FaultPlan: Hashable, Sendable, CustomStringConvertible {
    package enum Fault: Hashable, Sendable {
        case kill(SimulatedRole)
        case start(SimulatedRole)
        /// On client `number`'s link, both ways.
        case outage(client: Int, Outage.Mode, Interval)
        /// Client `number`'s packets come from another port.
        case rebind(client: Int)
    }

    package struct Event: Hashable, Sendable {
        package var at: Interval
        package var fault: Fault

        package init(_ at: Interval, _ fault: Fault) { (self.at, self.fault) = (at, fault) }
    }

    /// In order of time.
    package private(set) var events: [Event]

    package init(_ events: [Event] = []) {
        // Equal times keep their order.
        self.events = events.enumerated().sorted { ($0.element.at, $0.offset) < ($1.element.at, $1.offset) }.map(\.element)
    }

    /// When the last fault has stopped.
    package var end: Interval {
        events.reduce(.zero) { end, event in
            if case .outage(_, _, let duration) = event.fault { max(end, event.at + duration) } else { max(end, event.at) }
        }
    }

    /// Faults of every kind at random times before `horizon`: servers killed and started again, some at once and
    /// some after seconds, and one client's link out in all modes. At the horizon everything runs.
    package static func swarm(_ chance: inout SeededGenerator, roles: [SimulatedRole], horizon: Interval) -> FaultPlan {
        func time(_ limit: Interval) -> Interval { .milliseconds(Int64(chance.next(below: UInt64(max(1, limit.milliseconds))))) }
        var events: [Event] = []
        for _ in 0..<(3 + chance.next(below: 5)) {
            let at = time(horizon)
            switch chance.next(below: 10) {
            case 0..<6:
                let role = roles[Int(chance.next(below: UInt64(roles.count)))]
                let away = chance.next(below: 3) == 0 ? .milliseconds(5) : time(.seconds(6)) + .milliseconds(5)
                events.append(Event(at, .kill(role)))
                events.append(Event(min(at + away, horizon), .start(role)))
            case 6..<9:
                let mode = Outage.Mode.allCases[Int(chance.next(below: 3))]
                events.append(Event(at, .outage(client: 0, mode, min(time(.seconds(3)) + .milliseconds(100), horizon - at + .milliseconds(1)))))
            default: events.append(Event(at, .rebind(client: 0)))
            }
        }
        for role in roles { events.append(Event(horizon, .start(role))) }
        return FaultPlan(events)
    }

    package var description: String {
        events.map { event in
            let what = switch event.fault {
            case .kill(let role): "kill \(role)"
            case .start(let role): "start \(role)"
            case .outage(let client, let mode, let duration): "\(mode.rawValue) client \(client) for \(duration.text)"
            case .rebind(let client): "rebind client \(client)"
            }
            return "\(event.at.text) \(what)"
        }.joined(separator: ", ")
    }
}

extension SimulatedCloud {
    /// Does what the plan says, its time zero being `start`.
    package func apply(_ plan: FaultPlan, from start: Instant) async throws {
        var rebinds: UInt16 = 0
        var addresses: [(client: Int, address: NetworkAddress)] = []
        for event in plan.events {
            try await simulation.time.sleep(until: start + event.at)
            switch event.fault {
            case .kill(let role): kill(role)
            case .start(let role): try self.start(role)
            case .outage(let client, let mode, let duration):
                let address = addresses.first { $0.client == client }?.address ?? Self.clientAddress(client)
                simulation.network.interrupt(address, mode, for: duration)
            case .rebind(let client):
                let old = addresses.first { $0.client == client }?.address ?? Self.clientAddress(client)
                rebinds += 1
                let new = old.with(port: 51_000 + rebinds)
                simulation.network.move(old, to: new)
                addresses.removeAll { $0.client == client }
                addresses.append((client, new))
            }
        }
    }
}
