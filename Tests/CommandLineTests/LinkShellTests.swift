import Foundation
import Testing

/// These need root and a TUN device.
@Suite(.enabled(if: getuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0, "mast link shell needs root and /dev/net/tun"), .serialized)
struct LinkShellTests {
    @Test func aRoundTripTakesTwiceTheDelay() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("link", "shell", "--delay", "30ms", "--", "python3", try echo(program))
        #expect(try milliseconds(result) >= 60)
    }

    @Test func theProgramsExitCodeIsTheShells() async throws {
        let program = try Program()
        defer { program.remove() }
        #expect(try await program.run("link", "shell", "--", "sh", "-c", "exit 7").status == 7)
        #expect(try await program.run("link", "shell", "--", "sh", "-c", "kill -9 $$").status == 137)
        #expect(try await program.run("link", "shell", "--", "/no/such/program").status == 127)
    }

    @Test func insideThereIsAnotherNetwork() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("link", "shell", "--", "sh", "-c", "echo $MAST_HOST; cat /proc/net/dev | grep -c mast")
        let lines = result.output.split(separator: "\n")
        #expect(lines.first?.hasPrefix("10.109.") == true)
        #expect(lines.last == "1")
    }

    @Test func aShellsPromptSaysThatItIsInside() async throws {
        let program = try Program()
        defer { program.remove() }
        let command = "echo $MAST_LINK; echo \"[$PS1]\"; PS1=mine; eval \"$PROMPT_COMMAND\"; eval \"$PROMPT_COMMAND\"; echo \"[$PS1]\""
        let shell = try program.write("shell", Array("#!/bin/sh\n\(command)\n".utf8))
        #expect(chmod(shell, 0o755) == 0)
        let result = try await program.run(["SHELL=\(shell)", Program.executable, "link", "shell", "--delay", "1ms"], executable: "/usr/bin/env")
        #expect(result.output == "link\n[(mast) $ ]\n[(mast) mine]\n", "\(result.errors)")
        // No live line where nobody looks.
        #expect(!result.errors.contains("queue"))
    }

    @Test(.enabled(if: LinkShellHostTests.hasNft, "nested shells need nft")) func nestedShellsAddTheirDelays() async throws {
        let program = try Program()
        defer { program.remove() }
        // From the inner one to the outer one's host: both links are on the way.
        let inner = [Program.executable, "link", "shell", "--delay", "20ms", "--", "python3", try echo(program)]
        let result = try await program.run(["link", "shell", "--delay", "10ms", "--"] + inner)
        #expect(try milliseconds(result) >= 60)
    }

    @Test func itsLogTellsWhatPassed() async throws {
        let program = try Program()
        defer { program.remove() }
        let prefix = program.path("link")
        let result = try await program.run("link", "shell", "--rate", "1mbit", "--log", prefix, "--", "python3", try echo(program))
        #expect(result.status == 0, "\(result.errors)")
        for direction in ["up", "down"] {
            let log = try String(contentsOfFile: "\(prefix).\(direction).log", encoding: .utf8)
            #expect(log.contains(" + "))
            #expect(log.contains(" - "))
        }
    }

    /// The host's server answers with the address that it sees, from a process outside the shell.
    @Test(arguments: [("address", "10 True"), ("port", "2 False")])
    func aReboundClientIsSeenUnderAnother(_ what: String, _ expected: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try program.write("server.py", Array(Self.mirror.utf8))
        let client = try program.write("client.py", Array(Self.asks.utf8))
        let shell = "\(Program.executable) link shell --change 0s:rebind=\(what) -- python3 \(client)"
        let result = try await program.run(["-c", "exec python3 \(server) \(shell)"], executable: "/bin/sh")
        #expect(result.output.trimmingCharacters(in: .whitespacesAndNewlines) == expected, "\(result.errors)")
    }

    /// Starts the command with its port in $PORT, and answers datagrams until it has ended.
    private static let mirror = """
        import os, socket, subprocess, sys, threading
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("127.0.0.1", 0))
        def serve():
            while True:
                data, peer = s.recvfrom(100)
                s.sendto(f"{peer[0]} {peer[1]}".encode(), peer)
        threading.Thread(target=serve, daemon=True).start()
        sys.exit(subprocess.run(sys.argv[1:], env=os.environ | {"PORT": str(s.getsockname()[1])}).returncode)
        """

    /// Prints the last number of the address under which it is seen, and whether its port is its own.
    private static let asks = """
        import os, socket
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(10)
        s.connect((os.environ["MAST_HOST"], int(os.environ["PORT"])))
        s.send(b"who am I?")
        address, port = s.recv(100).decode().split()
        print(address.split(".")[3], int(port) == s.getsockname()[1])
        """

    @Test func itMayBeginFurtherOn() async throws {
        let program = try Program()
        defer { program.remove() }
        let prefix = program.path("link")
        let result = try await program.run("link", "shell", "--start-at", "500s", "--log", prefix, "--", "python3", try echo(program))
        #expect(result.status == 0, "\(result.errors)")
        let log = try String(contentsOfFile: "\(prefix).up.log", encoding: .utf8)
        let times = log.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap { Int($0.prefix { $0 != " " }) }
        #expect(times.min() == 500_000, "\(log)")
    }

    @Test func itsEndTellsWhatTheLinkDid() async throws {
        let program = try Program()
        defer { program.remove() }
        let stats = program.path("stats.json")
        let result = try await program.run("link", "shell", "--queue", "codel", "--ecn", "--rate", "1mbit", "--stats", stats, "--", "python3", try echo(program))
        #expect(result.status == 0, "\(result.errors)")
        let report = try #require(try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: stats))) as? [String: Any])
        let up = try #require(report["up"] as? [String: Any])
        #expect(up["offeredPackets"] as? Int ?? 0 >= 1 && up["marks"] as? Int == 0 && up["activeQueueDrops"] as? Int == 0)
    }

    @Test func aRequestToEndGoesToTheProgram() async throws {
        let program = try Program()
        defer { program.remove() }
        let shell = try program.start(
            ["link", "shell", "--", "sh", "-c", "trap 'exit 9' TERM; echo here; while read line; do :; done"], input: .pipe, output: .pipe)
        #expect(await shell.output?.line(within: .seconds(60)) == "here")
        shell.send(SIGTERM)
        #expect(await shell.ending(within: .seconds(60)) == .exited(9))
    }

    @Test func aRequestToEndIsNotLostWhileTheNamespaceIsMade() async throws {
        let program = try Program()
        defer { program.remove() }
        for _ in 0..<10 {
            let shell = try program.start(["link", "shell", "--", "sh", "-c", "read line"], input: .pipe)
            let limit = ContinuousClock.now + .seconds(60)
            while !hasChildInAnotherNetwork(shell.processID), ContinuousClock.now < limit { await Task.yield() }
            shell.send(SIGTERM)
            #expect(await shell.ending(within: .seconds(60)) == .exited(128 + SIGTERM))
        }
    }

    private func hasChildInAnotherNetwork(_ process: pid_t) -> Bool {
        func network(_ process: String) -> String? { try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(process)/ns/net") }
        let children = try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)
        return children?.split(separator: " ").contains { network(String($0)).map { $0 != network("self") } ?? false } ?? false
    }

    @Test(.timeLimit(.minutes(20))) func allItsProcessesEndWhenItIsKilled() async throws {
        let program = try Program()
        defer { program.remove() }
        let shell = try program.start(["link", "shell", "--", "sh", "-c", "echo here; sleep 600; exit 0"], output: .pipe)
        #expect(await shell.output?.line(within: .seconds(60)) == "here")
        shell.send(SIGKILL)
        #expect(await shell.ending(within: .seconds(60)) == .killed(signal: SIGKILL))
        // The end of what it writes is the end of the program inside, which held the pipe.
        #expect(await shell.output?.rest(within: .seconds(60)) == [])
    }

    /// Sends a datagram to a closed port of the host and waits for the ICMP error that answers it; prints milliseconds.
    private static let echo = """
        import os, socket, time
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(10)
        s.connect((os.environ["MAST_HOST"], 9))
        begin = time.monotonic()
        s.send(b"x")
        try:
            s.recv(1)
        except ConnectionRefusedError:
            print((time.monotonic() - begin) * 1000)
        """

    private func echo(_ program: Program) throws -> String { try program.write("echo.py", Array(Self.echo.utf8)) }

    private func milliseconds(_ result: Program.Result) throws -> Double {
        #expect(result.status == 0, "\(result.errors)")
        return try #require(Double(result.output.trimmingCharacters(in: .whitespacesAndNewlines)), "\(result.output)")
    }
}
