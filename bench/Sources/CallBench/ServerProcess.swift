import Foundation

/// The other process: this same program, told to serve.
final class ServerProcess {
    struct Ready: Sendable {
        let callPort: UInt16
        let key: String
        let udpPort: UInt16

        /// The line by which a server says that it listens.
        var line: String { "ready \(callPort) \(key) \(udpPort)" }

        init(callPort: UInt16, key: String, udpPort: UInt16) {
            self.callPort = callPort
            self.key = key
            self.udpPort = udpPort
        }

        init?(line: String) {
            let words = line.split(separator: " ")
            guard words.count == 4, words[0] == "ready", let callPort = UInt16(words[1]), let udpPort = UInt16(words[3]) else { return nil }
            self.init(callPort: callPort, key: String(words[2]), udpPort: udpPort)
        }
    }

    let ready: Ready
    private let process = Process()
    /// The server ends with this pipe, so that it cannot outlive us, however we end.
    private let life = Pipe()

    init(semantics: String) throws {
        let output = Pipe()
        guard let program = Bundle.main.executableURL else { throw BenchError("cannot find this program's own file") }
        process.executableURL = program
        process.arguments = ["serve", "--semantics", semantics]
        process.standardInput = life
        process.standardOutput = output
        try process.run()
        var line = ""
        while let byte = try output.fileHandleForReading.read(upToCount: 1)?.first, byte != UInt8(ascii: "\n") {
            line.unicodeScalars.append(Unicode.Scalar(byte))
        }
        guard let ready = Ready(line: line) else { throw BenchError("the server's process did not become ready; it said: \(line)") }
        self.ready = ready
    }

    func stop() {
        try? life.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}

struct BenchError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
