import Logging
import MastRPC
import MastTransport
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The file that `MAST_KEYLOG` names: the keys of every connection of a host, as they come to be. Appended to, one write a
/// line, so that several hosts may share it.
final class KeyLogFile: SecretLog {
    private static let variable = "MAST_KEYLOG"
    /// More methods than a program has; a file of more would name what peers ask for, not what there is.
    private static let mostMethods = 4_096

    private let descriptor: Int32
    private let named = Mutex<Set<UInt32>>([])  // lookup only

    /// nil where nobody asked for one.
    static func asked(_ logger: Logger?) throws(UDPDriverError) -> KeyLogFile? {
        guard let path = setting, !path.isEmpty else { return nil }
        let file = try KeyLogFile(path)
        let warning = "\(variable) is set: the keys of all connections are written to \(path); whoever has the file reads their traffic"
        if let logger { logger.warning("\(warning)") } else { append("mast: \(warning)", to: 2) }
        return file
    }

    /// Of a program that runs with rights beyond its user's, the environment says nothing.
    private static var setting: String? {
        getuid() == geteuid() && getgid() == getegid() ? getenv(variable).map { String(cString: $0) } : nil
    }

    private init(_ path: String) throws(UDPDriverError) {
        let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw UDPDriverError("cannot write the key log \(path): \(String(cString: strerror(errno))); name another file in \(Self.variable), or unset it") }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o077 == 0 else {
            close(descriptor)
            throw UDPDriverError("the key log \(path) must be a file that only its owner may read: chmod 600 it, or name another in \(Self.variable)")
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    func add(_ keys: PacketKeys) { Self.append(keys.line, to: descriptor) }

    func add(method path: String, number: UInt32) {
        let isNew = named.withLock { named in named.count < Self.mostMethods && named.insert(number).inserted }
        if isNew, let line = KeyLog.line(method: path, number: number) { Self.append(line, to: descriptor) }
    }

    /// What cannot be written is missing later, and said there: traffic goes on.
    private static func append(_ line: String, to descriptor: Int32) {
        var line = line + "\n"
        line.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
}
