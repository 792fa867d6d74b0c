import Foundation
import MastLinkEmulator
import MastProcesses

/// Lets packets of tunnels go out under the host's own address: a table of nftables, one for all shells of a network
/// namespace, and forwarding. The last of them takes both away, also what was left by one that was killed.
enum HostMasquerade {
    private static let table = "inet mast-shells"

    /// - Returns: whether packets now get beyond this host: not without nft, or where it refuses.
    static func begin(for device: TunnelDevice) -> Bool {
        ShellState.locked { state in
            // In one transaction: those of other shells miss nothing.
            let rules = """
                table \(table)
                delete table \(table)
                table \(table) {
                    chain out {
                        type nat hook postrouting priority 100;
                        iifname "mast*" ip saddr 10.109.0.0/16 masquerade
                        iifname "mast*" ip6 saddr fd6d:6173:74::/48 masquerade
                    }
                }
                """
            return nft(rules) && HostForwarding(journal: state?.journal).switchOn(isOwnNamespace: device.addresses.isInsideAnother)
        }
    }

    /// Also where `begin` had no success: another shell may have counted on this one as a later one.
    static func end(of device: TunnelDevice) {
        ShellState.locked { state in
            // Within the lock: of two that end at once, one is the last.
            device.close()
            guard !TunnelDevice.isAnyHere else { return }
            _ = nft("delete table \(table)")
            HostForwarding(journal: state?.journal).restore()
        }
    }

    private static func nft(_ text: String) -> Bool {
        var start = ChildProcess.Start("/usr/bin/env", ["nft", text])
        start.environment = ["PATH": "/usr/sbin:/sbin:/usr/bin:/bin"]
        (start.output, start.errors) = (.nothing, .nothing)
        guard let child = try? ChildProcess(start) else { return false }
        // Takes milliseconds; whoever holds the lock must not wait for ever.
        return child.waitUntilEnd(within: .seconds(10)) == .exited(0)
    }
}

/// What shells of one machine keep together: a lock, and a file for each network namespace in which they changed something.
struct ShellState {
    /// The namespace's own; does not outlive the system's run.
    let journal: String

    /// - Parameter body: gets nil, and no lock, where nothing can be kept. Short: others wait for it.
    static func locked<Result>(_ body: (ShellState?) -> Result) -> Result {
        guard let folder = ["/run/mast", NSTemporaryDirectory() + "/mast-\(geteuid())"].first(where: isOurs) else { return body(nil) }
        let lock = open(folder + "/shells.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { return body(nil) }
        // The kernel gives it back when we die.
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0, errno == EINTR {}
        return body(ShellState(journal: "\(folder)/forwarding-\(namespace)"))
    }

    /// Makes it if need be; others must not be able to write there.
    private static func isOurs(_ folder: String) -> Bool {
        _ = mkdir(folder, 0o700)
        var status = stat()
        return lstat(folder, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid() && status.st_mode & 0o022 == 0
    }

    /// The network namespace's name, which no later one bears.
    private static var namespace: String {
        let boot = (try? String(contentsOfFile: "/proc/sys/kernel/random/boot_id", encoding: .utf8)) ?? ""
        var number: UInt64 = 0
        #if os(Linux)
            let probe = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            defer { close(probe) }
            var length = socklen_t(MemoryLayout<UInt64>.size)
            // SO_NETNS_COOKIE, Linux 5.14; before, the number of the namespace's file, which may come again.
            if getsockopt(probe, SOL_SOCKET, 71, &number, &length) != 0 {
                var status = stat()
                if stat("/proc/self/ns/net", &status) == 0 { number = UInt64(status.st_ino) }
            }
        #endif
        return "\(boot.prefix(8))-\(number)"
    }
}
