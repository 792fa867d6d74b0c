import Foundation
import Testing

/// What shells do to the host that they begin at, and to each other. Each test has a host of its own, a network
/// namespace in which a script plays the people who open and close shells.
@Suite(.enabled(if: getuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0, "mast link shell needs root and /dev/net/tun"), .serialized)
struct LinkShellHostTests {
    static let hasNft = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/bin/nft"].map { $0 as String }.contains { access($0, X_OK) == 0 }

    @Test func sixOpenedAtOnceLoseNothing() async throws {
        let result = try await onAHost(
            """
            port = serve()
            write("client.py", '''
            import os, socket, sys
            print("here", flush=True)
            sys.stdin.readline()
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.settimeout(10)
            s.connect((os.environ["MAST_HOST"], int(sys.argv[1])))
            for number in range(20):
                s.send(bytes([number]))
                assert s.recv(100)[:1] == bytes([number])
            print("all 20", flush=True)
            ''')
            shells = [Shell("exec", "python3", "client.py", str(port)) for _ in range(6)]
            for shell in shells: shell.here()
            for shell in shells: shell.say("go")
            for shell in shells: print(shell.line())
            for shell in shells: shell.process.wait()
            """)
        #expect(result == Array(repeating: "all 20", count: 6))
    }

    /// The outermost host's own loopback answers, through two and three links, and says from which address it was asked.
    @Test(
        .enabled(if: hasNft, "nested shells need nft"),
        arguments: [
            ("SHELL --delay 20ms -- ASK", 60.0),
            ("SHELL --delay 5ms -- SHELL --delay 15ms -- ASK", 60),
            // Neither an emptied environment nor a forged one leads anywhere else.
            ("env -i PATH=$PATH SHELL --delay 5ms -- env MAST_HOST=192.0.2.1 SHELL --delay 15ms -- ASK", 60),
        ])
    func nestedShellsLeadToTheOutermostHost(_ inside: String, _ milliseconds: Double) async throws {
        let result = try await onAHost(
            """
            port = serve()
            write("ask.py", '''
            import os, socket, time
            for name in ["MAST_HOST", "MAST_HOST6"]:
                host = os.environ[name]
                s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(10)
                s.connect((host, PORT))
                begin = time.monotonic()
                s.send(b"?")
                address = s.recv(100)[1:].decode()
                print(name, address, (time.monotonic() - begin) * 1000)
            '''.replace("PORT", str(port)))
            inside = "\(inside)".replace("SHELL", mast + " link shell").replace("ASK", "python3 ask.py")
            print(run(mast + " link shell --delay 10ms -- " + inside), end="")
            """)
        let words = result.map { $0.split(separator: " ").map(String.init) }
        try #require(words.count == 2 && words.allSatisfy { $0.count == 3 }, "\(result)")
        #expect(words.map { $0[1] } == ["10.109.1.2", "fd6d:6173:74:1::2"])
        for line in words { #expect(Double(line[2]) ?? 0 >= milliseconds) }
    }

    @Test(.enabled(if: hasNft, "nested shells need nft")) func aNestedShellSaysWhatIsMissingWithoutNft() async throws {
        let result = try await onAHost(
            """
            for folder in ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]:
                if os.path.exists(folder + "/nft"): run("mount --bind /dev/null " + folder + "/nft")
            print(run(mast + " link shell -- " + mast + " link shell -- echo inside 2>&1"), end="")
            """)
        #expect(result.first?.contains("install nft for the rest of the world") == true, "\(result)")
        #expect(result.contains { $0.contains("without nft") && $0.contains("10.109.2.1") }, "\(result)")
        #expect(result.last == "inside")
    }

    /// Ended in any order, killed, or opened at once: no setting differs afterwards, and net.ipv4.ip_forward never does.
    @Test(.enabled(if: hasNft, "forwarding needs nft")) func forwardingIsAfterwardsAsItWas() async throws {
        let result = try await onAHost(
            """
            def put(path, value):
                with open("/proc/sys/net/" + path, "w") as file: file.write(value)
            def get(path):
                with open("/proc/sys/net/" + path) as file: return file.read().strip()
            def state():
                paths = [f"{family}/conf/{device}/{name}"
                    for family, names in [("ipv4", ["forwarding", "accept_redirects"]), ("ipv6", ["forwarding", "accept_redirects", "accept_ra"])]
                    for device in ["all", "default", "lo", "v0", "v1"] for name in names]
                return {path: get(path) for path in paths} | {"tables": run("nft list tables").count("mast")}
            def check(when):
                now = state()
                assert now == before, (when, [(key, before[key], now[key]) for key in before if before[key] != now[key]])
            def check_on():
                on = dict(before) | {"ipv4/conf/v0/forwarding": "1", "ipv6/conf/all/forwarding": "1", "tables": 1}
                now = state()
                assert now == on, [(key, on[key], now[key]) for key in on if on[key] != now[key]]

            run("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up")
            for path, value in [
                ("ipv4/ip_forward", "0"), ("ipv4/conf/v1/forwarding", "1"), ("ipv6/conf/all/forwarding", "0"), ("ipv6/conf/v0/accept_ra", "1"),
                ("ipv6/conf/v1/accept_ra", "2"), ("ipv6/conf/v1/forwarding", "1")]: put(path, value)
            before = state()
            for order in [(0, 1, 2), (2, 1, 0), (1, 0, 2)]:
                shells = [Shell().here() for _ in order]
                for number in order:
                    check_on()
                    shells[number].end()
                check(order)
            shells = [Shell() for _ in range(4)]
            for shell in shells: shell.here()
            check_on()
            for shell in shells: shell.process.stdin.close()
            for shell in shells: shell.end()
            check("all at once")
            Shell().here().kill()
            check_on()
            Shell().here().end()
            check("after a killed one")
            first, second = Shell().here(), Shell().here()
            first.kill()
            check_on()
            second.end()
            check("beside a killed one")

            first = Shell().here()
            put("ipv4/ip_forward", "1")
            before = state() | {"ipv6/conf/all/forwarding": "0", "tables": 0}
            first.end()
            check("switched on by somebody else meanwhile")
            put("ipv6/conf/all/forwarding", "1")
            put("ipv4/conf/v1/forwarding", "0")
            before = state()
            first = Shell().here()
            before["tables"] = 1
            check("on before")
            first.end()
            before["tables"] = 0
            check("on before, and after")
            print("as it was")
            """)
        #expect(result == ["as it was"])
    }

    /// Another host, which is also the router that this one has heard of.
    @Test(.enabled(if: hasNft, "forwarding needs nft")) func theWorldIsReachedAndTheHostsRouterRemembered() async throws {
        let result = try await onAHost(
            """
            write("world.py", '''
            import socket, struct, subprocess, sys, threading
            print("here", flush=True)
            sys.stdin.readline()
            open("/proc/sys/net/ipv6/conf/v1/accept_dad", "w").write("0")
            subprocess.run("ip addr add 198.51.100.1/24 dev v1; ip addr add 2001:db8::1/64 dev v1; ip link set v1 up", shell=True, check=True)
            print("up", flush=True)
            s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            s.bind(("::", 7))
            def answer():
                while True:
                    data, peer = s.recvfrom(100)
                    s.sendto(peer[0].encode(), peer)
            threading.Thread(target=answer, daemon=True).start()
            # A router that stays for half an hour (RFC 4861 section 4.2), said as often as asked; an end just up may not send yet.
            router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
            for line in sys.stdin:
                try: router.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, socket.if_nametoindex("v1")))
                except OSError: pass
                print("said", flush=True)
            ''')
            write("ask.py", '''
            import socket
            for host in ["198.51.100.1", "2001:db8::1"]:
                s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
                s.settimeout(10)
                s.connect((host, 7))
                s.send(b"?")
                print(s.recv(100).decode())
            ''')
            run("ip link add v0 type veth peer name v1")
            for name, value in [("accept_dad", "0"), ("accept_ra", "1")]:
                with open("/proc/sys/net/ipv6/conf/v0/" + name, "w") as file: file.write(value)
            run("ip addr add 198.51.100.2/24 dev v0; ip addr add 2001:db8::2/64 dev v0; ip link set v0 up")
            world = Child(["unshare", "--net", "python3", "world.py"]).here()
            run(f"ip link set v1 netns {world.process.pid}")
            world.say("go")
            assert world.line() == "up"
            def router(): return run("ip -6 route show default").count("proto ra")
            limit = time.monotonic() + 30
            while router() == 0 and time.monotonic() < limit:
                world.say("who routes?")
                assert world.line() == "said"
            shell = Shell().here()
            print(router())
            print(run(mast + " link shell -- python3 ask.py"), end="")
            shell.end()
            print(router())
            """)
        #expect(result == ["1", "::ffff:198.51.100.2", "2001:db8::2", "1"])
    }

    /// What the scripts share.
    private static let common = """
        import atexit, os, socket, subprocess, sys, textwrap, threading, time
        mast = sys.argv[1]
        os.chdir(sys.path[0])
        def run(line): return subprocess.run(line, shell=True, check=True, text=True, stdout=subprocess.PIPE).stdout
        def write(name, text):
            with open(name, "w") as file: file.write(textwrap.dedent(text))
        class Child:
            def __init__(self, words):
                self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                atexit.register(self.process.kill)
            def line(self):
                line = self.process.stdout.readline()
                assert line, "it has ended"
                return line.strip()
            def say(self, text):
                self.process.stdin.write(text + "\\n")
                self.process.stdin.flush()
            def here(self):
                assert self.line() == "here"
                return self
            def end(self):
                self.process.stdin.close()
                assert self.process.wait() == 9
            def kill(self):
                self.process.kill()
                self.process.wait()
        class Shell(Child):
            # Ends with its standard input.
            def __init__(self, *words):
                super().__init__([mast, "link", "shell", "--", "sh", "-c", " ".join(words) or "echo here; read line; exit 9"])
        # On the loopback interface, IPv6 everywhere; answers what it was sent, and by whom.
        def serve():
            run("ip link set lo up")
            four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            four.bind(("127.0.0.1", 0))
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            six.bind(("::", four.getsockname()[1]))
            def answer(s):
                while True:
                    data, peer = s.recvfrom(100)
                    s.sendto(data + peer[0].encode(), peer)
            for s in [four, six]: threading.Thread(target=answer, args=[s], daemon=True).start()
            return four.getsockname()[1]

        """

    /// - Returns: the lines that the script prints.
    private func onAHost(_ script: String) async throws -> [String] {
        let program = try Program()
        defer { program.remove() }
        let file = try program.write("script.py", Array((Self.common + script).utf8))
        let result = try await program.run(["--net", "--mount", "python3", file, Program.executable], executable: "/usr/bin/unshare")
        #expect(result.status == 0, "\(result.errors)")
        return result.output.split(separator: "\n").map(String.init)
    }
}
