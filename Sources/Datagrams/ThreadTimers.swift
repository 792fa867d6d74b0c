import CDatagrams

/// How punctually the system wakes a thread that waits.
package enum ThreadTimers {
    /// From now on the calling thread is woken in time rather than together with others (Linux).
    package static func bePunctual() { mast_poll_be_punctual() }
}
