import Foundation

/// What memory the processes of this machine share.
enum MachineMemory {
    /// In bytes; a container's own where it is limited (cgroup v2).
    static var bytes: Int {
        let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
        let limit = (try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8))
            .flatMap { Int($0.trimmingCharacters(in: .whitespacesAndNewlines)) }
        return min(machine, limit ?? machine)
    }
}
