import Foundation

/// Lets packets of a tunnel go out under the host's own address, by a table of nftables that bears the device's name.
///
/// A table of a shell that was killed matches nothing any more; the next shell of that name replaces it.
struct HostMasquerade {
    private let table: String

    /// Nil when nft is missing or refuses.
    init?(device: String) {
        table = "mast-\(device)"
        _ = Self.nft("delete table inet \(table)")
        let rules = """
            table inet \(table) {
                chain out {
                    type nat hook postrouting priority 100;
                    iifname "\(device)" masquerade
                }
            }
            """
        guard Self.nft(rules) else { return nil }
        // Left on at the end: another shell, or the host itself, may need it.
        for path in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
            guard let file = fopen(path, "w") else { continue }
            fputs("1\n", file)
            fclose(file)
        }
    }

    func remove() { _ = Self.nft("delete table inet \(table)") }

    private static func nft(_ text: String) -> Bool {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["nft", text]
        process.environment = ["PATH": "/usr/sbin:/sbin:/usr/bin:/bin"]
        (process.standardInput, process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice, FileHandle.nullDevice)
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
