import Foundation
import Testing

/// Hosts of the test's own on one wire: a network namespace for each, and one between them for the bridge. Gone with the test.
final class Lan {
    enum Fault: String, CaseIterable, Sendable, CustomTestStringConvertible {
        /// A rule of the host's own firewall: EPERM for each datagram sent.
        case firewall
        /// ENETUNREACH.
        case noRoute
        case interfaceDown
        case addressGone

        var testDescription: String { rawValue }
    }

    static let isPossible: Bool = {
        func has(_ tool: String) -> Bool { ["/usr/sbin/", "/sbin/", "/usr/bin/"].contains { access($0 + tool, X_OK) == 0 } }
        return getuid() == 0 && has("ip") && has("nft")
    }()

    private let program: Program
    private let prefix: String
    private let names: [String]

    /// - Parameter names: of the hosts, which get 10.77.0.1, 10.77.0.2, … in this order.
    init(_ program: Program, _ names: [String]) async throws {
        (self.program, self.names) = (program, names)
        prefix = "mast\(getpid())x\(UInt16.random(in: 0 ... .max))"
        var lines = ["set -e", "ip netns add \(prefix)-wire", "ip -n \(prefix)-wire link add bridge type bridge", "ip -n \(prefix)-wire link set bridge up"]
        for (index, name) in names.enumerated() {
            let host = "\(prefix)-\(name)"
            lines += [
                "ip netns add \(host)", "ip -n \(host) link set lo up",
                "ip -n \(prefix)-wire link add port\(index) type veth peer name eth0 netns \(host)",
                "ip -n \(prefix)-wire link set port\(index) master bridge up", "ip -n \(host) addr add \(address(name))/24 dev eth0", "ip -n \(host) link set eth0 up",
            ]
        }
        try await shell(lines)
    }

    deinit {
        // Whatever still runs in them keeps them alive; the programs of a test end with it.
        for name in names + ["wire"] { _ = Self.spawn(["ip", "netns", "del", "\(prefix)-\(name)"]) }
    }

    func address(_ name: String) -> String { "10.77.0.\((names.firstIndex(of: name) ?? 0) + 1)" }
    func namespace(_ name: String) -> String { "\(prefix)-\(name)" }
    func inside(_ name: String) -> Program { program.inside(namespace(name)) }

    func begin(_ fault: Fault, at name: String) async throws {
        let host = namespace(name)
        switch fault {
        case .firewall:
            try await shell([
                "set -e", "ip netns exec \(host) nft 'add table inet fault'",
                "ip netns exec \(host) nft 'add chain inet fault out { type filter hook output priority 0; }'",
                "ip netns exec \(host) nft 'add rule inet fault out meta l4proto udp drop'",
            ])
        case .noRoute: try await shell(["ip -n \(host) route flush dev eth0"])
        case .interfaceDown: try await shell(["ip -n \(host) link set eth0 down"])
        case .addressGone: try await shell(["ip -n \(host) addr flush dev eth0"])
        }
    }

    func end(_ fault: Fault, at name: String) async throws {
        let host = namespace(name)
        switch fault {
        case .firewall: try await shell(["ip netns exec \(host) nft 'delete table inet fault'"])
        case .noRoute: try await shell(["ip -n \(host) route replace 10.77.0.0/24 dev eth0"])
        case .interfaceDown: try await shell(["ip -n \(host) link set eth0 up"])
        case .addressGone: try await shell(["ip -n \(host) addr add \(address(name))/24 dev eth0"])
        }
    }

    /// What becomes of datagrams to a host's IPv6 address.
    enum IPv6: String, CaseIterable, Sendable, CustomTestStringConvertible {
        /// There is no route to it.
        case absent
        /// Nobody listens: an ICMP message says so.
        case refused
        case silent

        var testDescription: String { rawValue }
    }

    func address6(_ name: String) -> String { "fd77::\((names.firstIndex(of: name) ?? 0) + 1)" }

    func setUp(_ ipv6: IPv6, of host: String, seenBy other: String) async throws {
        guard ipv6 != .absent else { return }
        var lines = ["set -e"] + [host, other].map { "ip -n \(namespace($0)) addr add \(address6($0))/64 dev eth0 nodad" }
        if ipv6 == .silent {
            lines += [
                "ip netns exec \(namespace(host)) nft 'add table inet silent'",
                "ip netns exec \(namespace(host)) nft 'add chain inet silent in { type filter hook input priority 0; }'",
                "ip netns exec \(namespace(host)) nft 'add rule inet silent in meta nfproto ipv6 udp dport 4600 drop'",
            ]
        }
        try await shell(lines)
    }

    /// Runs the program on a host whose own file of names knows one.
    func runKnowing(_ name: String, _ addresses: [String], at host: String, _ arguments: [String]) async throws -> Program.Result {
        let file = try program.write("hosts", Array(addresses.map { "\($0) \(name)\n" }.joined().utf8))
        // A namespace's programs have mounts of their own.
        let script = "mount --bind \(file) /etc/hosts && exec \"$@\""
        return try await program.run(
            ["ip", "netns", "exec", namespace(host), "sh", "-c", script, "sh", Program.executable] + arguments, executable: "/usr/bin/env")
    }

    /// Nothing may be sent from `name` to one other host.
    func ban(_ other: String, at name: String) async throws {
        let host = namespace(name)
        try await shell([
            "set -e", "ip netns exec \(host) nft 'add table inet fault'",
            "ip netns exec \(host) nft 'add chain inet fault out { type filter hook output priority 0; }'",
            "ip netns exec \(host) nft 'add rule inet fault out ip daddr \(address(other)) udp dport != 1 drop'",
        ])
    }

    /// Datagrams from UDP port 0, as anybody may send them: 64 bytes that ask for a key, and others that ask for a reset.
    func datagramsFromPortZero(at name: String, to address: String) async throws {
        let script = try program.write("zero.py", Array(Self.fromPortZero.utf8))
        try await shell(["ip netns exec \(namespace(name)) python3 \(script) \(address.replacingOccurrences(of: ":", with: " "))"])
    }

    private static let fromPortZero = """
        import socket, struct, sys
        host, port = sys.argv[1], int(sys.argv[2])
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        for first in (0x0C, 0x08, 0x04):
            name = bytes([0, 0, 0, 0, 1, 2, 3, 4] if first == 0x08 else 8)
            payload = bytes([first]) + name + bytes([2]) + bytes(range(54 if first != 0x04 else 190))
            s.sendto(struct.pack("!HHHH", 0, port, 8 + len(payload), 0) + payload, (host, 0))
        """

    private func shell(_ lines: [String]) async throws {
        let result = try await program.run(["-c", lines.joined(separator: "\n")], executable: "/bin/sh")
        try #require(result.status == 0, "\(result.errors)")
    }

    private static func spawn(_ words: [String]) -> Int32 {
        var arguments = words.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var child: pid_t = 0
        guard posix_spawnp(&child, words[0], nil, nil, &arguments, environ) == 0 else { return -1 }
        var status: Int32 = 0
        waitpid(child, &status, 0)
        return status
    }
}
