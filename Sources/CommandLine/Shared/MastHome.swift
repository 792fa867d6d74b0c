import Foundation

/// Where a user's own files are.
enum MastHome {
    /// `$MAST_HOME`, else `$XDG_CONFIG_HOME/mast`, else `~/.config/mast`.
    static var path: String {
        let environment = ProcessInfo.processInfo.environment
        if let home = environment["MAST_HOME"], !home.isEmpty { return home }
        if let config = environment["XDG_CONFIG_HOME"], config.hasPrefix("/") { return config + "/mast" }
        return (environment["HOME"] ?? NSHomeDirectory()) + "/.config/mast"
    }

    static var profile: String { path + "/profile.json" }
    static var echoKey: String { path + "/echo.key" }
    static var knownHosts: String { path + "/known_hosts" }
    static var pool: String { path + "/pool" }
}
