import MastTimebase

/// How a base station behaves.
package struct StationConfiguration: Sendable {
    /// Disk for replicas.
    package var replicaCapacityBytes = 1 << 30
    /// Whether to fetch each newest version when it is released, or only when a run needs it.
    package var holdsAllApplications = true
    /// How long a run waits for a missing replica before another node is the better choice.
    package var replicaPatience = Interval.seconds(10)
    package var syncPatience = Interval.seconds(3)
    package var runs = RunConfiguration()
    /// Of the program, for status.
    package var version = ""

    package init() {}
}

/// The folders, or their stand-ins in memory, in which a station keeps what survives a restart.
package struct StationStores: Sendable {
    package var files: any BlobStore
    package var users: any BlobStore
    package var replicas: any BlobStore

    package init(files: any BlobStore, users: any BlobStore, replicas: any BlobStore) {
        self.files = files
        self.users = users
        self.replicas = replicas
    }

    /// All in memory; keep the value to restart a simulated station with its disk.
    package static func inMemory() -> StationStores {
        StationStores(files: MemoryBlobStore(), users: MemoryBlobStore(), replicas: MemoryBlobStore())
    }

    package init(_ directory: NodeDirectory) throws {
        self.init(files: directory.files, users: try directory.folder("users"), replicas: try directory.folder("replicas"))
    }
}
