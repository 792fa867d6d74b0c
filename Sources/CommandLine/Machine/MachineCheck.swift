import Foundation
import MastDatagrams
import MastFiles
import MastTimebase
import MastUDPDriver
import MastWasmRuntime

/// Looks at the machine without changing it.
enum MachineCheck {
    static func all() -> [Finding] {
        [wasmtime(), libpcap(), loopback()] + socketBuffers() + [clock(), sleeping(), tunnel(), openFiles(), home()]
    }

    // MARK: libraries

    private static func wasmtime() -> Finding {
        let name = "libwasmtime"
        do throws(EngineError) {
            let found = try WasmtimeLibrary.open()
            return Finding(name: name, state: .good, found: "\(WasmtimeLibrary.version), \(found.path)")
        } catch {
            let parts = "\(error)".split(separator: ";", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            return Finding(name: name, state: .missing, found: parts.first ?? "\(error)", mend: parts.count > 1 ? parts[1] : "run .ci/setup")
        }
    }

    private static func libpcap() -> Finding {
        // Linked at build time: what is asked here is which one the loader took.
        typealias Version = @convention(c) () -> UnsafePointer<CChar>?
        guard let symbol = dlsym(dlopen(nil, RTLD_NOW), "pcap_lib_version"),
            let text = unsafeBitCast(symbol, to: Version.self)()
        else {
            return Finding(name: "libpcap", state: .missing, found: "not loaded", mend: "install libpcap (Debian: apt-get install libpcap-dev)")
        }
        return Finding(name: "libpcap", state: .good, found: String(cString: text))
    }

    // MARK: network

    private static func loopback() -> Finding {
        let name = "UDP on loopback"
        let mend = "bring the loopback interface up: ip link set lo up"
        let socket = socket(AF_INET, datagramType, 0)
        guard socket >= 0 else { return Finding(name: name, state: .missing, found: "no socket: \(reason())", mend: mend) }
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let works = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                guard bind(socket, pointer, length) == 0, getsockname(socket, pointer, &length) == 0 else { return false }
                var byte: UInt8 = 1
                guard sendto(socket, &byte, 1, 0, pointer, length) == 1 else { return false }
                var wait = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
                return poll(&wait, 1, 1_000) == 1
            }
        }
        return works
            ? Finding(name: name, state: .good, found: "a datagram to 127.0.0.1 arrives")
            : Finding(name: name, state: .missing, found: "a datagram to 127.0.0.1 does not arrive: \(reason())", mend: mend)
    }

    /// What the driver asks for.
    private static let wantedBuffer = 4 << 20

    private static func socketBuffers() -> [Finding] {
        [("receive buffer", SO_RCVBUF, "net.core.rmem_max"), ("send buffer", SO_SNDBUF, "net.core.wmem_max")].map { name, option, sysctl in
            let socket = socket(AF_INET, datagramType, 0)
            defer { close(socket) }
            var size = Int32(wantedBuffer)
            setsockopt(socket, SOL_SOCKET, option, &size, socklen_t(MemoryLayout<Int32>.size))
            var length = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket, SOL_SOCKET, option, &size, &length)
            // Linux reports twice what may be used: the rest is its own bookkeeping.
            #if os(Linux)
                let granted = Int(size) / 2
            #else
                let granted = Int(size)
            #endif
            let limit = text("/proc/sys/" + sysctl.replacingOccurrences(of: ".", with: "/")).map { ", \(sysctl) is \($0)" } ?? ""
            let found = "\(granted >> 10) KiB of the wanted \(wantedBuffer >> 10) KiB\(limit)"
            guard granted < wantedBuffer else { return Finding(name: name, state: .good, found: found) }
            return Finding(name: name, state: .remark, found: found + "; bursts may be lost at high rates", mend: "sysctl -w \(sysctl)=\(wantedBuffer)")
        }
    }

    private static func tunnel() -> Finding {
        let name = "TUN device"
        let descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC)
        if descriptor >= 0 {
            close(descriptor)
            return Finding(name: name, state: .good, found: "/dev/net/tun can be opened")
        }
        let mend = errno == ENOENT ? "modprobe tun, or start the container with --device /dev/net/tun" : "run as root, or give the program CAP_NET_ADMIN"
        return Finding(name: name, state: .remark, found: "/dev/net/tun: \(reason()); only needed to emulate a link for foreign programs", mend: mend)
    }

    // MARK: time

    private static func clock() -> Finding {
        var resolution = timespec()
        clock_getres(CLOCK_MONOTONIC, &resolution)
        let nanoseconds = Int(resolution.tv_sec) * 1_000_000_000 + Int(resolution.tv_nsec)
        let source = text("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        let clock = SystemClock()
        let began = clock.now()
        for _ in 0..<10_000 { _ = clock.now() }
        let cost = (clock.now() - began).nanoseconds / 10_000
        let found = "resolution \(nanoseconds) ns, \(cost) ns a reading\(source.map { ", source \($0)" } ?? "")"
        let isSlow = nanoseconds > 1_000_000 || cost > 500
        return Finding(
            name: "clock", state: isSlow ? .remark : .good, found: found,
            mend: isSlow ? "choose the tsc clock source, if the machine offers it; round trips are measured more coarsely without" : nil)
    }

    private static func sleeping() -> Finding {
        let clock = SystemClock()
        var late: [Interval] = []
        for _ in 0..<21 {
            let began = clock.now()
            usleep(1_000)
            late.append(clock.now() - began - .milliseconds(1))
        }
        late.sort()
        let median = late[late.count / 2]
        let found = "a sleep of 1 ms ends \(median.microseconds) us late (median), \(late[late.count - 1].microseconds) us at most"
        let isLate = median > .milliseconds(1)
        return Finding(
            name: "timers", state: isLate ? .remark : .good, found: found,
            mend: isLate ? "stop what else keeps the machine busy; links are emulated less exactly meanwhile" : nil)
    }

    // MARK: limits and places

    private static func openFiles() -> Finding {
        var limit = rlimit()
        #if os(Linux)
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #else
            getrlimit(RLIMIT_NOFILE, &limit)
        #endif
        let found = "\(limit.rlim_cur) may be open at once"
        return limit.rlim_cur >= 1_024
            ? Finding(name: "open files", state: .good, found: found)
            : Finding(name: "open files", state: .remark, found: found + "; a relay needs one a client", mend: "ulimit -n 4096")
    }

    private static func home() -> Finding {
        let path = MastHome.path
        var folder = path
        while !folder.isEmpty, folder != "/", access(folder, F_OK) != 0 { folder = (folder as NSString).deletingLastPathComponent }
        if folder.isEmpty { folder = "." }
        if access(folder, W_OK) == 0 {
            let kept = access(MastHome.profile, F_OK) == 0 ? "profile.json is there" : "no profile yet"
            return Finding(name: "own files", state: .good, found: "\(path) (\(kept))")
        }
        return Finding(
            name: "own files", state: .remark, found: "\(path) cannot be written: \(reason()); keys of servers and results are not remembered",
            mend: "set MAST_HOME to a folder that can be written")
    }

    private static func text(_ path: String) -> String? {
        guard let bytes = try? InputFile.read(path, limit: 4_096) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        return text.isEmpty ? nil : text
    }

    private static func reason() -> String { String(cString: strerror(errno)) }

    #if os(Linux)
        private static let datagramType = Int32(SOCK_DGRAM.rawValue)
    #else
        private static let datagramType = SOCK_DGRAM
    #endif
}
