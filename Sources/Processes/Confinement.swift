import CSpawn
import Foundation

/// What a process takes from itself before it calculates with what strangers gave it.
package enum Confinement {
    /// From now on this process opens no file or socket, starts no process or thread (unless it is root's), gains no rights,
    /// leaves no core, and waits for a processor behind everything else. Nothing gives it back.
    ///
    /// - Parameters:
    ///   - memoryBytes: what it may take beside what it has. Where that is not enough, an allocation fails.
    ///   - processorSeconds: its time of a processor in all; SIGXCPU ends it then.
    /// - Throws: `SpawnFailure` when the system refuses; part of it may be in force then.
    package static func enter(memoryBytes: Int, processorSeconds: Int) throws(SpawnFailure) {
        let code = mast_confine(max(0, memoryBytes), UInt32(clamping: max(1, processorSeconds)))
        guard code == 0 else { throw SpawnFailure(what: "cannot limit this process", code: code) }
    }
}
