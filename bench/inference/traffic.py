"""The programs that make traffic, each an end: `traffic.py TRAFFIC client|server MY-ADDRESS PEER-ADDRESS SECONDS SEED`. A server
says `ready`. Nothing of Mast is in them."""
import http.server, os, random, select, socket, struct, subprocess, sys, threading, time


def listen(address, port=8080):
    listener = socket.create_server((address, port))
    print("ready", flush=True)
    return listener.accept()[0]


def exactly(peer, count):
    parts = b""
    while len(parts) < count:
        part = peer.recv(min(1 << 16, count - len(parts)))
        if not part: raise ConnectionError
        parts += part
    return parts


def requests(role, me, peer, seconds, chance):
    """A request of 300 bytes each 100 to 500 ms, answered by 2 to 60 kB, over one connection."""
    if role == "server":
        client = listen(me)
        while True:
            exactly(client, 300)
            size = chance.randrange(2_000, 60_000)
            client.sendall(struct.pack(">I", size) + bytes(size))
    end = time.monotonic() + seconds
    with socket.create_connection((peer, 8080)) as server:
        while time.monotonic() < end:
            server.sendall(bytes(300))
            exactly(server, struct.unpack(">I", exactly(server, 4))[0])
            time.sleep(chance.uniform(0.1, 0.5))


class Pages(http.server.BaseHTTPRequestHandler):
    """GET /N answers N bytes, and closes."""
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", self.path[1:])
        self.end_headers()
        self.wfile.write(bytes(int(self.path[1:])))
    def log_message(self, *_): pass


def http_pages(role, me, peer, seconds, chance):
    """curl, a connection for each page of 1 to 200 kB."""
    if role == "server":
        server = http.server.ThreadingHTTPServer((me, 8080), Pages)
        print("ready", flush=True)
        server.serve_forever()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        size = int(10 ** chance.uniform(3, 5.3))
        subprocess.run(["curl", "-s", "--max-time", str(seconds), "-o", os.devnull, f"{peer}:8080/{size}"])
        time.sleep(chance.uniform(0, 0.4))


def pauses(role, me, peer, seconds, chance):
    """The server sends 30 to 600 kB, and pauses for 0.2 to 1.5 s."""
    if role == "server":
        client = listen(me)
        while True:
            client.sendall(bytes(chance.randrange(30_000, 600_000)))
            time.sleep(chance.uniform(0.2, 1.5))
    end = time.monotonic() + seconds
    with socket.create_connection((peer, 8080)) as server:
        while time.monotonic() < end: server.recv(1 << 16)


def interactive(role, me, peer, seconds, chance):
    """20 to 200 bytes each 60 ms, each sent back."""
    if role == "server":
        client = listen(me)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while part := client.recv(4096): client.sendall(part)
        return
    end = time.monotonic() + seconds
    with socket.create_connection((peer, 8080)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.setblocking(False)
        while time.monotonic() < end:
            try: server.send(bytes(chance.randrange(20, 200)))
            except BlockingIOError: pass
            until = time.monotonic() + 0.06
            while (rest := until - time.monotonic()) > 0:
                if select.select([server], [], [], rest)[0]: server.recv(4096)


def idle(role, me, peer, seconds, chance):
    """A few words, then nothing but keep-alives each second, then a few words."""
    if role == "server":
        client = listen(me)
        while part := client.recv(4096): client.sendall(part * 3)
        return
    with socket.create_connection((peer, 8080)) as server:
        for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 20)):
            server.setsockopt(socket.IPPROTO_TCP, option, value)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for pause in [0.1] * 5 + [seconds - 2] + [0.1] * 5:
            server.sendall(bytes(400))
            exactly(server, 1200)
            time.sleep(pause)


def stops_reading(role, me, peer, seconds, chance):
    """A download whose reader does nothing from the third second on for a good third of the time."""
    if role == "server":
        client = listen(me)
        while True: client.sendall(bytes(1 << 14))
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 60_000)
    server.connect((peer, 8080))
    begin, has_slept = time.monotonic(), False
    while time.monotonic() - begin < seconds:
        if not has_slept and time.monotonic() - begin > 3:
            has_slept = True
            time.sleep(seconds * 0.4)
        server.recv(1 << 14)


def never_opens(role, me, peer, seconds, chance):
    """To an address that nobody has."""
    if role == "server":
        print("ready", flush=True)
        return time.sleep(seconds)
    try: socket.create_connection((peer.rsplit(".", 1)[0] + ".9", 8080), timeout=seconds - 0.5)
    except OSError: pass


def refused(role, me, peer, seconds, chance):
    """To a port that nobody listens on."""
    if role == "server":
        print("ready", flush=True)
        return time.sleep(seconds)
    for _ in range(3):
        try: socket.create_connection((peer, 8080), timeout=2)
        except OSError: pass
        time.sleep(0.3)


def broken(role, me, peer, seconds, chance):
    """A download that somebody ends from outside (`killed`), or whose client resets the connection half-way (`reset`)."""
    if role == "server":
        client = listen(me)
        try:
            while True: client.sendall(bytes(1 << 14))
        except OSError: return
    end = time.monotonic() + seconds / 2
    with socket.create_connection((peer, 8080)) as server:
        if sys.argv[1] == "killed":
            try:
                while server.recv(1 << 16): pass
            except OSError: pass
            return
        while time.monotonic() < end: server.recv(1 << 16)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def pace(seconds, rate, send):
    begin = time.monotonic()
    for number in range(int(seconds * rate)):
        time.sleep(max(0, begin + number / rate - time.monotonic()))
        try: send(number)
        except OSError: send(number)  # What the peer refused before is told here, and nothing was sent.


def media(role, me, peer, seconds, chance):
    """RTP both ways, 50 packets of 160 bytes a second; `two-calls` at once. The client begins."""
    outs = []
    for port in (40000, 41000) if sys.argv[1] == "two-calls" else (40000,):
        outs.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        outs[-1].bind((me, port))
        outs[-1].connect((peer, port))
    def call(out):
        sequence, stamp, source = chance.randrange(65536), chance.randrange(1 << 32), chance.randrange(1 << 32)
        pace(seconds, 50, lambda n: out.send(struct.pack(">BBHII", 0x80, 0, (sequence + n) & 0xFFFF, (stamp + 160 * n) & 0xFFFFFFFF, source) + bytes(160)))
    if role == "server":
        print("ready", flush=True)
        outs[0].recv(2048)
    calls = [threading.Thread(target=call, args=(out,)) for out in outs]
    for each in calls: each.start()
    for each in calls: each.join()


def plain(role, me, peer, seconds, chance):
    """Random bytes from a socket that is not connected, 100 packets a second downwards: identification 0, or, without don't-fragment
    (`stepping`), Linux's steps at random; two flows at once (`two-plain`)."""
    def flow(port):
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.bind((me, port))
        if "stepping" in sys.argv[1] or "two" in sys.argv[1] or "loopback" in sys.argv[1]: out.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER
        pace(seconds, 100, lambda _: out.sendto(chance.randbytes(chance.randrange(200, 900)), (peer, port + (1 if me == peer else 0))))
    ports = (5500, 5600) if "two" in sys.argv[1] or "loopback" in sys.argv[1] else (5500,)
    if role == "client":
        sinks = []
        for port in ports:
            sinks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sinks[-1].bind((me, port + (1 if me == peer else 0)))
        return time.sleep(seconds + 0.3)
    print("ready", flush=True)
    time.sleep(0.3)
    flows = [threading.Thread(target=flow, args=(port,)) for port in ports]
    for each in flows: each.start()
    for each in flows: each.join()


def names(role, me, peer, seconds, chance):
    """DNS: a question each 30 to 300 ms from a port of its own, asked again after a second without an answer."""
    if role == "server":
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((me, 53))
        print("ready", flush=True)
        while True:
            question, client = server.recvfrom(512)
            answer = question[:2] + b"\x81\x80" + question[4:6] + b"\0\1\0\0\0\0" + question[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x0a\x4d\0\2"
            server.sendto(answer, client)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            label = b"host%d" % chance.randrange(10**6)
            question = struct.pack(">HHHHHH", chance.randrange(65536), 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\7example\0\0\1\0\1"
            for _ in range(3):
                client.sendto(question, (peer, 53))
                try:
                    client.recv(512)
                    break
                except TimeoutError: pass
        time.sleep(chance.uniform(0.03, 0.3))


PROGRAMS = {
    "requests": requests, "http": http_pages, "pauses": pauses, "interactive": interactive, "idle": idle, "stops-reading": stops_reading,
    "never-opens": never_opens, "refused": refused, "killed": broken, "reset": broken, "media": media, "two-calls": media, "plain": plain,
    "stepping": plain, "two-plain": plain, "loopback-plain": plain, "names": names,
}

if __name__ == "__main__":
    name, role, me, peer, seconds, seed = sys.argv[1:]
    try: PROGRAMS[name](role, me, peer, float(seconds), random.Random(int(seed) * 2 + (role == "server")))
    except (ConnectionError, BrokenPipeError): pass
