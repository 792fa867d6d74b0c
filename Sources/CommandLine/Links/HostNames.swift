import Foundation
import MastLinkEmulator

/// The resolver file of a shell: queries go to the host's end of the tunnel, which passes them on.
struct HostNames {
    /// Nil where the host has no resolver that could be asked.
    let file: String?
    let resolver: UInt32?

    init(addresses: TunnelAddresses) throws(Failure) {
        let text = (try? String(contentsOfFile: "/etc/resolv.conf", encoding: .utf8)) ?? ""
        let lines = text.split(whereSeparator: \.isNewline)
        let servers = lines.compactMap { line -> UInt32? in
            let words = line.split(whereSeparator: \.isWhitespace)
            guard words.count >= 2, words[0] == "nameserver" else { return nil }
            var address = in_addr()
            return inet_pton(AF_INET, String(words[1]), &address) == 1 ? UInt32(bigEndian: address.s_addr) : nil
        }
        guard let resolver = servers.first else {
            (file, self.resolver) = (nil, nil)
            return
        }
        self.resolver = resolver
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("mast-resolv-\(getpid())").path
        let kept = lines.filter { !$0.hasPrefix("nameserver") }.joined(separator: "\n")
        try InputFile.write(Array("nameserver \(addresses.host)\n\(kept)\n".utf8), to: path)
        file = path
    }

    func remove() { if let file { unlink(file) } }
}
