import Foundation
import MastProcesses

/// What a process of ours holds in memory that it can write to, by `/proc/PID/mem`.
enum ProcessMemory {
    struct Unreadable: Error { var path: String }

    /// Whether this system lets a parent read its child's memory.
    static var isReadable: Bool {
        guard let child = try? ChildProcess(.init("/bin/sleep", ["60"])) else { return false }
        return (try? readBytes(child.processID)) ?? 0 > 0
    }

    /// How many bytes can be read.
    static func readBytes(_ pid: pid_t) throws -> Int {
        var count = 0
        try eachChunk(pid) { count += $0.count }
        return count
    }

    /// Those of `needles` that are there, by their index.
    static func scan(_ pid: pid_t, for needles: [[UInt8]]) throws -> Set<Int> {
        var found: Set<Int> = []
        try eachChunk(pid) { chunk in
            for (index, needle) in needles.enumerated() where !found.contains(index) && contains(chunk, needle) { found.insert(index) }
        }
        return found
    }

    /// Looks for the first byte with `memchr`, which is fast, and compares there.
    static func contains(_ bytes: UnsafeRawBufferPointer, _ needle: [UInt8]) -> Bool {
        guard var at = bytes.baseAddress, let first = needle.first else { return needle.isEmpty }
        var left = bytes.count
        return needle.withUnsafeBytes { needle in
            guard let start = needle.baseAddress else { return true }
            while left >= needle.count, let hit = memchr(at, Int32(first), left - needle.count + 1) {
                let found = UnsafeRawPointer(hit)
                if memcmp(found, start, needle.count) == 0 { return true }
                left -= found - at + 1
                at = found + 1
            }
            return false
        }
    }

    /// Chunks overlap, so that nothing hides between two.
    private static func eachChunk(_ pid: pid_t, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        let overlap = 128
        let memory = open("/proc/\(pid)/mem", O_RDONLY | O_CLOEXEC)
        guard memory >= 0 else { throw Unreadable(path: "/proc/\(pid)/mem") }
        defer { close(memory) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        for line in try String(contentsOfFile: "/proc/\(pid)/maps", encoding: .utf8).split(separator: "\n") {
            let fields = line.split(separator: " ")
            guard fields.count >= 2, fields[1].hasPrefix("rw") else { continue }
            let ends = fields[0].split(separator: "-").compactMap { UInt64($0, radix: 16) }
            guard ends.count == 2, ends[1] < UInt64(Int64.max) else { continue }
            var at = ends[0]
            let end = ends[1]
            while at < end {
                let count = pread(memory, buffer.baseAddress, Int(min(UInt64(buffer.count), end - at)), off_t(at))
                // A mapping may be gone since, or be a device's.
                guard count > 0 else { break }
                body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                guard count > overlap else { break }
                at += UInt64(count == Int(end - at) ? count : count - overlap)
            }
        }
    }
}

/// Something that nobody else says: 32 random bytes in hexadecimal.
struct Marker {
    let text: String

    init() {
        text = (0..<32).map { _ in
            let byte = String(UInt8.random(in: 0...255), radix: 16)
            return byte.count == 1 ? "0" + byte : byte
        }.joined()
    }

    /// Sixteen characters each: a cut through the marker, as by a packet's end, leaves at least two of them whole.
    var pieces: [[UInt8]] {
        let bytes = Array(text.utf8)
        return stride(from: 0, to: bytes.count, by: 16).map { Array(bytes[$0..<($0 + 16)]) }
    }
}
