"""Runs one case: two namespaces, the link between, a recorder at each end, and the traffic."""
import json, random, struct, subprocess, sys, tempfile, time
import cases

ADDRESSES = {"client": "10.77.0.1", "server": "10.77.0.2"}
SNAP = 128


class Ends:
    """Namespaces of this lane."""

    def __init__(self, lane): self.names = {end: f"inference{lane}-{end}" for end in ADDRESSES}

    def open(self, end, *command, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.names[end], *map(str, command)], **options)

    def ip(self, end, *words): subprocess.run(["ip", "-n", self.names[end], *words], check=True)

    def make(self):
        self.remove()
        for end, name in self.names.items():
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.open(end, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv4.tcp_no_metrics_save=1").wait()

    def remove(self):
        for name in self.names.values(): subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def raise_devices(self):
        for end, other in (("client", "server"), ("server", "client")):
            self.ip(end, "link", "set", "lo", "up")
            self.ip(end, "addr", "add", ADDRESSES[end], "peer", ADDRESSES[other], "dev", "road")
            self.ip(end, "link", "set", "road", "mtu", "1500", "txqueuelen", "2000", "up")
            if end == "client": self.ip(end, "route", "add", "10.77.0.0/24", "dev", "road")

    def retransmitted(self, end):
        """By the kernel's own count."""
        text = subprocess.run(["ip", "netns", "exec", self.names[end], "cat", "/proc/net/snmp"], capture_output=True, text=True).stdout
        names, values = [line.split() for line in text.splitlines() if line.startswith("Tcp:")]
        return int(values[names.index("RetransSegs")])


def words(way):
    parts = []
    for key, value in way.items():
        if key in ("hold", "drop"): parts += [f"{key}={a}:{b}" for a, b in value]
        else: parts.append(f"{key}={':'.join(map(str, value))}" if isinstance(value, tuple) else f"{key}={value}")
    return ",".join(parts)


def iperf(case, ends):
    host = "127.0.0.1" if case.tool == "loopback-tcp" else ADDRESSES["server"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = ends.open("client" if case.tool == "loopback-tcp" else "server", "iperf3", "--server", "--one-off", **quiet)
    time.sleep(0.5)
    options, words = ["--client", host, "--time", int(case.seconds)], case.traffic.split()
    if case.protocol == "counted":
        options += ["--udp", "--bitrate", words[1], "--length", "1372", "--pacing-timer", "100"] + (["--reverse"] if case.main == ["down"] else [])
    else:
        options += ["--congestion", words[1] if len(words) > 1 else "cubic"]
        options += {"upload": [], "two-uploads": ["-P", "2"], "two-downloads": ["-P", "2", "--reverse"], "both-ways": ["--bidir"]}.get(case.tool, ["--reverse"])
        if case.tool == "paced": options += ["--bitrate", "3M", "--pacing-timer", "100"]
        if case.tool == "loopback-tcp": options += ["--bitrate", "200M"]
    return [server, ends.open("client", "iperf3", *options, **quiet)]


def scripts(case, ends, folder, seed):
    if case.protocol == "quic":
        program = [str(cases.PYTHON), str(cases.HERE / "quic.py")]
        arguments = {end: [end, ADDRESSES["server"], folder, case.seconds, case.main[0]] for end in ADDRESSES}
    else:
        program = [sys.executable, str(cases.HERE / "traffic.py"), case.tool]
        at = {"client": "127.0.0.1", "server": "127.0.0.1"} if case.tool.startswith("loopback") else ADDRESSES
        arguments = {"client": ["client", at["client"], at["server"], case.seconds, seed], "server": ["server", at["server"], at["client"], case.seconds, seed]}
    server = ends.open("client" if case.tool.startswith("loopback") else "server", *program, *arguments["server"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    server.stdout.readline()
    return [server, ends.open("client", *program, *arguments["client"], stderr=subprocess.DEVNULL)]


def run(case, ends, seed):
    """The traffic, from begin to end."""
    with tempfile.TemporaryDirectory() as folder:
        is_iperf = case.protocol == "counted" or case.tool in ("download", "upload", "two-downloads", "two-uploads", "both-ways", "paced", "loopback-tcp")
        began = time.monotonic()
        server, client = iperf(case, ends) if is_iperf else scripts(case, ends, folder, seed)
        try:
            if case.dies:
                end, at = case.dies
                time.sleep(max(0, at - (time.monotonic() - began)))
                # Without an address it hears nobody and says nothing: as a host without power, whose port goes on being recorded.
                ends.ip(end, "addr", "flush", "dev", "road")
                gone = time.time()
                time.sleep(max(0, case.seconds - (time.monotonic() - began)))
                return gone
            if case.tool == "killed":
                time.sleep(case.seconds / 2)
                server.kill()
            client.wait(case.seconds + 30)
            if case.tool in ("media", "two-calls"): server.wait(5)
        except subprocess.TimeoutExpired: pass
        finally:
            for process in (client, server):
                if process.poll() is None: process.kill()
                process.wait()


def first_second(path):
    data = path.read_bytes()[24:28]
    return struct.unpack("<I", data)[0] if len(data) == 4 else None


def spoil(path, case, shift, until):
    """What another recorder would have written: without some packets, some later than others, by a clock that is set otherwise; and none
    after `until`."""
    data, chance = path.read_bytes(), random.Random(1)
    records, place = [], 24
    while place + 16 <= len(data):
        seconds, fraction, length = struct.unpack_from("<III", data, place)
        rank = len(records) + (chance.randrange(20, 900) if place > 24 and chance.random() < case.late else 0)
        is_missed = place > 24 and chance.random() < case.missed
        if not is_missed and seconds + fraction / 1e6 <= until: records.append((rank, len(records), struct.pack("<I", seconds + shift) + data[place + 4:place + 16 + length]))
        place += 16 + length
    path.write_bytes(data[:24] + b"".join(record for *_, record in sorted(records)))


def record(case, folder, link, lane=0, seed=7):
    """Captures and the link's log into `folder`; gives what the link counted."""
    ends = Ends(lane)
    ends.make()
    process = subprocess.Popen([link, ends.names["client"], ends.names["server"], words(case.up), words(case.down), str(folder)], stdout=subprocess.PIPE, text=True)
    dumps, missed = {}, {}
    try:
        assert process.stdout.readline() == "ready\n"
        ends.raise_devices()
        for end in ["client"] if case.tool.startswith("loopback") else ADDRESSES:
            device = "lo" if case.tool.startswith("loopback") else case.device
            dump = ends.open(end, "tcpdump", "-i", device, "-s", SNAP, "-B", "8192", "--immediate-mode", "-U", "-w", folder / f"{end}.pcap", stderr=subprocess.PIPE, text=True)
            while "listening" not in dump.stderr.readline(): pass
            dumps[end] = dump
        gone = run(case, ends, seed)
        time.sleep(0.5)
        kernel = {"up": ends.retransmitted("client"), "down": ends.retransmitted("server")}
        ended = time.time()
        time.sleep(0.05)
        for end, dump in dumps.items():
            dump.terminate()
            said = dump.communicate()[1]
            missed[end] = next((int(line.split()[0]) for line in said.splitlines() if "dropped by kernel" in line), None)
        process.terminate()
        counted = json.loads(process.stdout.read())
    finally:
        for running in [*dumps.values(), process]:
            if running.poll() is None: running.kill()
        ends.remove()
    shift, paths = 0, [folder / f"{name}.pcap" for name in (*dumps, "middle")]
    if case.began is not None: shift = case.began - min(second for second in map(first_second, paths) if second is not None)
    for path in paths: spoil(path, case, shift, ended)
    return counted | {"epoch": counted["epoch"] + shift, "retransmissions": kernel, "missedByRecorder": missed, "goneS": gone and gone - counted["epoch"], "endS": ended - counted["epoch"]}
