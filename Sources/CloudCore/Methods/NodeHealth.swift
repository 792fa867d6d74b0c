import MastRPC
import MastTimebase

/// What a node says of itself with each report, for whoever looks after the cloud. Nothing is decided by it.
package struct NodeHealth: Codable, Hashable, Sendable {
    package static let mostTroubles = 8
    package static let mostTroubleBytes = 200

    /// Of the program; empty when it is not known.
    package var version: String
    package var diskFreeBytes: Int64?
    /// What goes wrong now, a line each.
    package var troubles: [String]

    package init(version: String = "", diskFreeBytes: Int64? = nil, troubles: [String] = []) {
        (self.version, self.diskFreeBytes, self.troubles) = (version, diskFreeBytes, troubles)
    }

    /// The same within bounds: texts of a peer are printed and kept.
    package var bounded: NodeHealth {
        func cut(_ text: String, _ limit: Int) -> String { text.utf8.count <= limit ? text : String(decoding: text.utf8.prefix(limit), as: UTF8.self) }
        return NodeHealth(
            version: cut(version, 32), diskFreeBytes: diskFreeBytes,
            troubles: troubles.prefix(Self.mostTroubles).map { cut($0, Self.mostTroubleBytes) })
    }
}

/// A node as the communication server sees it: told to the center now and then, which keeps it in memory.
package struct NodeSighting: Codable, Hashable, Sendable {
    package var nodeID: NodeID
    /// Of the record that it showed.
    package var epoch: UInt64
    package var observedAddress: String
    package var isUp: Bool
    package var replicas: Int
    package var health: NodeHealth
    /// Two processes registered as this node within the last moments: its folder was copied.
    package var runsTwice: Bool
    package var clockOffsetMilliseconds: Int64?

    package init(
        nodeID: NodeID, epoch: UInt64, observedAddress: String, isUp: Bool, replicas: Int, health: NodeHealth, runsTwice: Bool,
        clockOffset: Interval? = nil
    ) {
        clockOffsetMilliseconds = clockOffset?.milliseconds
        self.nodeID = nodeID
        self.epoch = epoch
        self.observedAddress = observedAddress
        self.isUp = isUp
        self.replicas = replicas
        self.health = health
        self.runsTwice = runsTwice
    }
}
