import CWasmtime
import Crypto

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Finds, checks and opens wasmtime's C library, once per process.
package enum WasmtimeLibrary {
    package static let version = "50.0.1"

    /// A library that was found and has the expected hash.
    package struct Found: Sendable, Hashable {
        package let path: String
        /// SHA-256, lower-case hexadecimal.
        package let sha256: String
    }

    #if os(macOS)
        package static let fileName = "libwasmtime.dylib"
    #else
        package static let fileName = "libwasmtime.so"
    #endif

    /// SHA-256 of the libraries in the PyPI wheels of `version`, which is what the setup script installs.
    #if os(Linux) && arch(x86_64)
        static let expectedSHA256: String? = "3127ca42fe7cdd3f0a43a358e79177dcfedd46c1746329826403b9d854de6178"
    #elseif os(Linux) && arch(arm64)
        static let expectedSHA256: String? = "4777b787fcc6651c98130ccc7c8ce9160faba5f3b34918886785a43094026fc9"
    #else
        static let expectedSHA256: String? = nil
    #endif

    /// Where the library may be, first match first. `MAST_WASMTIME_LIB` stands alone: whoever names a library
    /// does not want to be given another one in silence.
    package static func candidates(environment: (String) -> String?, executable: String?) -> [String] {
        if let named = environment("MAST_WASMTIME_LIB"), !named.isEmpty { return [named] }
        var directories: [String] = []
        if let data = environment("XDG_DATA_HOME"), data.hasPrefix("/") {
            directories.append(data + "/mast/lib")
        } else if let home = environment("HOME"), home.hasPrefix("/") {
            directories.append(home + "/.local/share/mast/lib")
        }
        if let executable, let slash = executable.lastIndex(of: "/") {
            directories.append(executable[..<slash] + "/../lib")
        }
        directories += ["/usr/local/lib", "/usr/lib"]
        return directories.map { $0 + "/" + fileName }
    }

    /// Looks without opening anything: for a check of the machine.
    package static func locate() throws(EngineError) -> Found {
        try locate(environment: environmentVariable, executable: executablePath())
    }

    package static func locate(environment: (String) -> String?, executable: String?) throws(EngineError) -> Found {
        let named = environment("MAST_WASMTIME_LIB").map { !$0.isEmpty } ?? false
        // An explicit library may come with an explicit hash; the fixed places may not.
        let accepted = named ? environment("MAST_WASMTIME_SHA256")?.lowercased() ?? expectedSHA256 : expectedSHA256
        let paths = candidates(environment: environment, executable: executable)
        var strangers: [Found] = []
        for path in paths {
            guard let hash = sha256(ofFile: path) else { continue }
            if hash == accepted { return Found(path: path, sha256: hash) }
            strangers.append(Found(path: path, sha256: hash))
        }
        if let stranger = strangers.first {
            throw EngineError(
                .libraryMismatch,
                "\(stranger.path) is not the wasmtime \(version) library this program was tested with (its SHA-256 is "
                    + "\(stranger.sha256)); run .ci/setup, or set MAST_WASMTIME_LIB and MAST_WASMTIME_SHA256 to trust it")
        }
        throw EngineError(
            .libraryMissing,
            "the wasmtime \(version) library was not found (\(paths.joined(separator: ", "))); "
                + "run .ci/setup, or set MAST_WASMTIME_LIB to the path of \(fileName)")
    }

    /// Opens the library on first use; afterwards gives the same answer for ever.
    package static func open() throws(EngineError) -> Found { try bound.get() }

    private static let bound: Result<Found, EngineError> = {
        let found: Found
        do throws(EngineError) { found = try locate() } catch { return .failure(error) }
        var reason = [CChar](repeating: 0, count: 512)
        guard cwasmtime_bind(found.path, &reason, reason.count) else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return .failure(EngineError(.libraryBroken, "\(found.path) could not be opened: \(text)"))
        }
        return .success(found)
    }()

    // MARK: the machine

    private static func environmentVariable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    private static func executablePath() -> String? {
        #if os(Linux)
            var buffer = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/exe", &buffer, buffer.count)
            guard count > 0 else { return nil }
            return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        #else
            return CommandLine.arguments.first
        #endif
    }

    /// Nil when there is no readable file.
    package static func sha256(ofFile path: String) -> String? {
        guard let file = fopen(path, "rb") else { return nil }
        defer { fclose(file) }
        var hasher = SHA256()
        var chunk = [UInt8](repeating: 0, count: 1 << 18)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count <= 0 { break }
            chunk.withUnsafeBytes { hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
        guard ferror(file) == 0 else { return nil }
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in hasher.finalize() {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
