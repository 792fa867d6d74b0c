import MastRPC
import MastTimebase

extension RPCHost {
    /// The end of a graceful stop, after `drain`: waits until the peers have the last answers, and closes all
    /// connections so that everybody knows at once. A task that was cancelled instead ends like a crash.
    func settle(reason: String) async {
        // An answer that is still on its way would be lost with its connection. A peer that is gone never
        // acknowledges, so this ends after some round trips of a slow link.
        let end = now() + .seconds(2)
        // What a handler wrote a moment ago may not have been handed to the socket yet, so look more than once.
        var quietLooks = 0
        while quietLooks < 3, now() < end {
            do { try await sleep(for: .milliseconds(10)) } catch { return }
            quietLooks = isSending ? 0 : quietLooks + 1
        }
        if !Task.isCancelled { close(reason: reason) }
    }
}
