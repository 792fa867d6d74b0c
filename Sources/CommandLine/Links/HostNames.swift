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
        let kept = lines.filter { !$0.hasPrefix("nameserver") }.joined(separator: "\n")
        file = try Self.newFile("nameserver \(addresses.host)\n\(kept)\n")
    }

    /// A file that was not there before: shells in other namespaces have the same process numbers.
    private static func newFile(_ text: String) throws(Failure) -> String {
        var path = Array(FileManager.default.temporaryDirectory.appendingPathComponent("mast-resolv-XXXXXX").path.utf8CString)
        let descriptor = mkstemp(&path)
        let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard descriptor >= 0 else { throw Failure(.unavailable, "cannot make \(name): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        // Whoever runs inside asks for names.
        guard fchmod(descriptor, 0o644) == 0, write(descriptor, text, text.utf8.count) == text.utf8.count else {
            let reason = String(cString: strerror(errno))
            unlink(name)
            throw Failure(.unavailable, "cannot write \(name): \(reason)")
        }
        return name
    }

    func remove() { if let file { unlink(file) } }
}
