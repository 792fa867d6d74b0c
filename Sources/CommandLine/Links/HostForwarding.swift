import Foundation
import MastLinkEmulator

/// The forwarding of packets in this network namespace: switched on for tunnels, and afterwards as it was.
///
/// What was found is written to a file before anything is changed, so that a later shell can restore what one that was
/// killed has left.
///
/// IPv4 asks the device by which a packet comes in, so net.ipv4.ip_forward stays untouched: writing it would reset
/// every device, and redirects. IPv6 asks one setting for all; a change of it resets every device too, and a device that
/// forwards listens to no router any more and forgets its default route (Linux: ip-sysctl, accept_ra). So devices
/// are given their own settings back at once, and until then listen whatever they do.
struct HostForwarding {
    /// Lines of a path below /proc/sys/net and its value; nil if nothing can be remembered.
    let journal: String?

    private static let all4 = "ipv4/conf/all/forwarding"
    private static let all6 = "ipv6/conf/all/forwarding"
    /// A journal holds four lines for each device; a longer one is none of ours.
    private static let mostBytes = 1 << 20

    /// - Parameter isOwnNamespace: it was made by a shell, and nothing in it is anybody else's.
    /// - Returns: false if nothing was changed because nothing can be remembered.
    func switchOn(isOwnNamespace: Bool) -> Bool {
        if isOwnNamespace {
            for path in [Self.all4, Self.all6] { Self.set(path, "1") }
            return true
        }
        // The loopback's own stays out: nothing is forwarded that comes in there.
        let four = Self.devices("ipv4").filter { $0 != "lo" }.map { "ipv4/conf/\($0)/forwarding" }.filter { Self.value($0) == "0" }
        let foreign = Self.value(Self.all4) == "0" ? four.filter { !Self.isTunnel($0) } : []
        var six: [String] = []
        if Self.value(Self.all6) == "0" {
            let devices = Self.devices("ipv6").map { "ipv6/conf/\($0)/" }.filter { !Self.isTunnel($0) }
            six = [Self.all6, "ipv6/conf/default/forwarding"] + devices.map { $0 + "forwarding" } + devices.map { $0 + "accept_ra" }
        }
        guard remember(foreign + six) else { return false }
        for path in foreign + four.filter(Self.isTunnel) { Self.set(path, "1") }
        if !six.isEmpty {
            let before = six.dropFirst().map { ($0, Self.value($0)) }
            for (path, value) in before where path.hasSuffix("accept_ra") && value == "1" { Self.set(path, "2") }
            Self.set(Self.all6, "1")
            for (path, value) in before { Self.set(path, value) }
        }
        return true
    }

    /// Gives back what is remembered.
    func restore() {
        let before = remembered()
        // Somebody has switched it on for good meanwhile.
        let isForwarding4 = Self.value(Self.all4) == "1"
        for (path, value) in before where !(isForwarding4 && path.hasPrefix("ipv4/")) { Self.set(path, value) }
        if let journal, !before.isEmpty { unlink(journal) }
    }

    /// Adds the values of these, unless they are remembered already.
    private func remember(_ paths: [String]) -> Bool {
        let known = Set(remembered().map(\.path))  // lookup only
        let text = paths.filter { !known.contains($0) }.compactMap { path in Self.value(path).map { "\(path) \($0)\n" } }.joined()
        if text.isEmpty { return true }
        guard let journal else { return false }
        let file = open(journal, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { return false }
        defer { close(file) }
        return write(file, text, text.utf8.count) == text.utf8.count
    }

    /// In the order of writing: what resets others comes before them.
    private func remembered() -> [(path: String, value: String)] {
        guard let journal, let data = FileManager.default.contents(atPath: journal), data.count <= Self.mostBytes else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count == 2 ? (String(words[0]), String(words[1])) : nil
        }
    }

    private static func devices(_ family: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/sys/net/\(family)/conf")) ?? []
        return names.filter { !["all", "default"].contains($0) }.sorted()
    }

    private static func isTunnel(_ path: String) -> Bool {
        path.split(separator: "/").dropFirst(2).first.map { TunnelDevice.isTunnel(String($0)) } ?? false
    }

    private static func value(_ path: String) -> String? {
        (try? String(contentsOfFile: "/proc/sys/net/\(path)", encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Not where it has the value already: some settings reset others when they are written.
    private static func set(_ path: String, _ value: String?) {
        guard let value, Self.value(path) != value, let file = fopen("/proc/sys/net/\(path)", "w") else { return }
        fputs("\(value)\n", file)
        fclose(file)
    }
}
