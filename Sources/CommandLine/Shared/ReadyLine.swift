import MastTimebase
import MastTransport

/// The one line a server prints on standard output when it serves: `mast <role> ready: <address> key <key>`.
/// Scripts wait for it and read it.
enum ReadyLine {
    static func print(_ role: String, _ address: NetworkAddress, key: PublicKey) {
        Output.line("mast \(role) ready: \(address) key \(key)")
    }
}
