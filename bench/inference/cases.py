"""The cases of the bench: a link, what crosses it, for how long, and what befalls an end or the recorder."""
import dataclasses, os, pathlib, random

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parent / ".peers/python/bin/python"
TRACES = os.environ.get("MAST_TRACES")


@dataclasses.dataclass
class Case:
    up: dict
    down: dict
    traffic: str
    seconds: float
    # The end that is gone from then on: (end, second).
    dies: tuple = None
    # What `tcpdump` listens on, the share that it misses, the share that it writes late, and when its clock says that it began (since 1970).
    device: str = "road"
    missed: float = 0
    late: float = 0
    began: int = None

    @property
    def tool(self): return self.traffic.split()[0]

    @property
    def protocol(self):
        """What tells of losses: tcp, quic, rtp, counted (UDP whose IP identifications count), plain (UDP without any number)."""
        tool = self.tool
        if tool in ("quic", "quic-up"): return "quic"
        if tool in ("media", "two-calls"): return "rtp"
        if tool in ("datagrams", "datagrams-up"): return "counted"
        if tool in ("plain", "stepping", "two-plain", "names"): return "plain"
        return "tcp"

    @property
    def main(self):
        """The directions that carry data."""
        if self.tool in ("upload", "two-uploads", "datagrams-up", "quic-up"): return ["up"]
        return ["up", "down"] if self.tool in ("both-ways", "media", "two-calls", "interactive", "names") else ["down"]

    def fills(self, way):
        """The traffic keeps the queue busy."""
        link = self.way(way)
        if way not in self.main: return False
        if self.tool.startswith("datagrams"): return float(self.traffic.split()[1].rstrip("M")) * 1e6 > rate(link) * 1.05
        if self.tool not in ("download", "upload", "both-ways", "two-downloads", "two-uploads", "quic", "quic-up"): return False
        product = rate(link) * (self.up["delay"] + self.down["delay"]) / 12_000
        return not link.get("loss") and not link.get("ge") and link["queue"] >= 0.3 * product

    def way(self, name): return self.up if name == "up" else self.down


def rate(link):
    """Mean, in bit/s."""
    if "trace" not in link: return link["rate"]
    times = read_trace(link["trace"])
    return len(times) * 12_000e3 / times[-1]


def read_trace(path): return [int(line) for line in pathlib.Path(path).read_text().split()]


def way(rate, delay=0.025, **rest): return {"rate": rate, "delay": delay, "queue": 100} | rest


def wandering(folder, name, seed, low, high, seconds=60, gaps=()):
    """A trace whose rate wanders, on a logarithmic scale, between two figures in Mbit/s; `gaps` are (second, length)."""
    path = pathlib.Path(folder) / f"{name}.trace"
    chance, lines, credit, level = random.Random(seed), [], 0.0, 0.5
    for millisecond in range(1, seconds * 1000 + 1):
        if millisecond % 50 == 0: level = min(1, max(0, level + chance.gauss(0, 0.12)))
        if any(at <= millisecond / 1000 < at + length for at, length in gaps): continue
        credit += low * (high / low) ** level / 12
        while credit >= 1:
            lines.append(millisecond)
            credit -= 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def stretch(folder, name, start, seconds=40):
    """A part of a public recording, of MAST_TRACES or kept before; else None."""
    path = pathlib.Path(folder) / f"{name}-{start}.trace"
    if path.exists(): return str(path)
    source = TRACES and pathlib.Path(TRACES) / "links" / name
    if not source or not source.exists(): return None
    times = [time - start * 1000 for time in read_trace(source) if start * 1000 < time <= (start + seconds) * 1000]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{time}\n" for time in times))
    return str(path)


def cases(folder):
    """Name and case, in order. `folder` takes the traces."""
    def case(traffic, seconds=12, up=None, down=None, both=None, rates=(5e6, 10e6), delay=0.025, **rest):
        both = both or {}
        return Case(way(rates[0], delay) | both | (up or {}), way(rates[1], delay) | both | (down or {}), traffic, seconds, **rest)

    # A constant link, TCP.
    yield "download", case("download")
    yield "download-hold-down", case("download", down={"hold": [(6, 6.3)]})
    yield "download-hold-up", case("download", up={"hold": [(6, 6.3)]})
    yield "download-hold-both", case("download", both={"hold": [(5.4, 6.1)]})
    yield "download-two-holds", case("download", down={"hold": [(4.2, 4.5), (8.1, 8.7)]})
    yield "download-hold-short", case("download", down={"hold": [(6, 6.12)]})
    yield "download-drop-both", case("download", 15, both={"drop": [(6, 7.2)]})
    yield "download-drop-down", case("download", 15, down={"drop": [(6, 7.2)]})
    yield "download-drop-up", case("download", 15, up={"drop": [(6, 7.2)]})
    yield "download-drop-and-hold", case("download", 18, both={"drop": [(4, 5.2)], "hold": [(12, 12.4)]})
    yield "download-drop-75ms", case("download", down={"drop": [(6, 6.075)]})
    yield "download-drop-150ms", case("download", both={"drop": [(6, 6.15)]})
    yield "download-drop-down-200ms", case("download", down={"drop": [(6, 6.2)]})
    yield "download-drop-400ms", case("download", both={"drop": [(6, 6.4)]})
    yield "download-loss", case("download", down={"loss": 0.01})
    yield "download-loss-up", case("download", up={"loss": 0.03})
    yield "download-loss-hold", case("download", 15, down={"loss": 0.01, "hold": [(6, 6.4)]})
    yield "download-loss-drop", case("download", 15, down={"loss": 0.01, "drop": [(6, 7)]})
    yield "download-bursts", case("download", down={"ge": (0.003, 0.3)})
    yield "download-much-loss", case("download", down={"loss": 0.05})
    yield "download-long-bursts", case("download", 20, down={"ge": (0.002, 0.1)})
    yield "download-jitter", case("download", down={"jitter": 0.004})
    yield "download-reordered", case("download", down={"reorder": (0.02, 0.004)})
    yield "download-reordered-loss", case("download", down={"reorder": (0.02, 0.004), "ge": (0.003, 0.3)})
    yield "download-acks-reordered", case("download", up={"reorder": (0.05, 0.006)})
    yield "download-small-queue", case("download", down={"queue": 8})
    yield "download-deep-queue", case("download", 15, down={"queue": 1000})
    yield "download-1mbit", case("download", 20, rates=(0.5e6, 1e6), delay=0.05)
    yield "download-50mbit", case("download", 8, rates=(20e6, 50e6), delay=0.015)
    yield "download-far", case("download", 20, delay=0.15)
    yield "download-far-drop", case("download", 20, both={"drop": [(8, 9.5)]}, delay=0.15)
    yield "download-far-hold", case("download", 20, down={"hold": [(8, 8.8)]}, delay=0.3)
    yield "download-reno", case("download reno")
    yield "download-bbr", case("download bbr")
    yield "download-cooked", case("download", 8, device="any")
    yield "download-missed", case("download", 8, missed=0.02)
    yield "download-late-records", case("download", 8, late=0.003)
    yield "download-second-zero", case("download", 8, began=0)
    yield "download-hold-2040", case("download", 8, down={"hold": [(4, 4.4)]}, began=2_209_000_000)
    yield "download-moved", case("download", 15, both={"hold": [(7, 7.25)], "then": (7.1, 0.05)})
    yield "two-downloads", case("two-downloads")
    yield "two-downloads-hold", case("two-downloads", down={"hold": [(6, 6.4)]})
    yield "two-downloads-bursts", case("two-downloads", down={"ge": (0.003, 0.3)})
    yield "upload", case("upload")
    yield "upload-hold", case("upload", up={"hold": [(6, 6.3)]})
    yield "upload-drop-both", case("upload", 15, both={"drop": [(6, 7.2)]})
    yield "upload-drop-up", case("upload", 15, up={"drop": [(6, 7)]})
    yield "upload-loss", case("upload", up={"loss": 0.01})
    yield "two-uploads", case("two-uploads")
    yield "both-ways", case("both-ways")
    yield "both-ways-hold", case("both-ways", both={"hold": [(6, 6.4)]})
    yield "paced", case("paced")
    yield "paced-loss", case("paced", down={"loss": 0.02})
    # A link that varies.
    slow, fast = wandering(folder, "slow", 3, 0.8, 8), wandering(folder, "fast", 5, 4, 40)
    gaps = wandering(folder, "gaps", 8, 2, 20, gaps=((6, 0.5), (10, 1.2)))
    yield "varying-slow", case("download", 20, down={"trace": slow})
    yield "varying-fast", case("download", 15, down={"trace": fast})
    yield "varying-loss", case("download", 15, down={"trace": fast, "loss": 0.01})
    yield "varying-gaps", case("download", 15, down={"trace": gaps, "queue": 300})
    yield "varying-gaps-shallow", case("download", 15, down={"trace": gaps, "queue": 40})
    yield "varying-upload", case("upload", 15, up={"trace": slow})
    yield "varying-hold", case("download", 15, down={"trace": fast, "hold": [(7, 7.6)]})
    yield "varying-drop", case("download", 15, down={"trace": fast, "drop": [(7, 8)]})
    yield "varying-requests", case("requests", 15, down={"trace": slow})
    yield "varying-media", case("media", 15, both={"trace": slow})
    for name, start in (("ATT-LTE-driving.down", 60), ("TMobile-LTE-short.down", 20), ("nyc-bus-3114405.down", 100), ("TMobile-UMTS-driving.down", 200)):
        part = stretch(folder, name, start)
        if part: yield "recorded-" + name.split("-")[0].lower() + "-" + name.split("-")[1].lower(), case("download", 25, down={"trace": part, "queue": 250})
    # Requests and flows that end soon.
    yield "requests", case("requests", 15)
    yield "requests-hold", case("requests", 15, both={"hold": [(6, 6.4)]})
    yield "requests-drop", case("requests", 15, both={"drop": [(6, 7.5)]})
    yield "requests-loss", case("requests", 15, both={"loss": 0.02})
    yield "http", case("http", 15)
    yield "http-loss", case("http", 15, both={"loss": 0.03})
    yield "http-drop", case("http", 15, both={"drop": [(6, 7.5)]})
    yield "pauses", case("pauses", 15)
    yield "pauses-loss", case("pauses", 15, down={"loss": 0.02})
    yield "pauses-hold", case("pauses", 15, both={"hold": [(6, 6.6)]})
    yield "interactive", case("interactive", 12)
    yield "interactive-drop", case("interactive", 15, both={"drop": [(6, 7)]})
    yield "interactive-hold-down", case("interactive", 15, down={"hold": [(6, 6.5)]})
    # Ends.
    yield "keep-alive", case("idle", 14)
    yield "keep-alive-loss", case("idle", 20, both={"loss": 0.1})
    yield "window-closed", case("stops-reading", 14)
    yield "window-closed-loss", case("stops-reading", 14, both={"loss": 0.02})
    yield "never-opens", case("never-opens", 8)
    yield "refused", case("refused", 3)
    yield "syn-lost", case("http", 10, both={"drop": [(0, 2.5)]})
    yield "synack-lost", case("http", 10, down={"drop": [(0, 2.5)]})
    yield "killed", case("killed", 8)
    yield "reset", case("reset", 8)
    yield "server-dies", case("download", 20, dies=("server", 5))
    yield "client-dies", case("download", 20, dies=("client", 5))
    yield "client-dies-upload", case("upload", 20, dies=("client", 5))
    yield "server-dies-interactive", case("interactive", 15, dies=("server", 5))
    # UDP.
    call = {"rates": (10e6, 20e6), "delay": 0.04}
    yield "media", case("media", 15, **call)
    yield "media-jitter", case("media", 15, both={"jitter": 0.01}, **call)
    yield "media-reordered", case("media", 15, both={"reorder": (0.02, 0.05), "loss": 0.02}, **call)
    yield "media-loss", case("media", 20, both={"loss": 0.02}, **call)
    yield "media-drop", case("media", 20, both={"drop": [(8.01, 10.51)]}, **call)
    yield "media-drop-short", case("media", 15, down={"drop": [(8.01, 8.31)]}, **call)
    yield "media-hold", case("media", 20, both={"hold": [(8.3, 10.8)]}, **call)
    yield "media-bursts", case("media", 30, both={"ge": (0.01, 0.25), "jitter": 0.01}, **call)
    yield "media-bursts-drop", case("media", 30, both={"ge": (0.01, 0.25), "drop": [(12, 14.5)]}, **call)
    yield "media-server-dies", case("media", 15, dies=("server", 6), **call)
    yield "two-calls", case("two-calls", 12, **call)
    yield "two-calls-loss", case("two-calls", 20, both={"loss": 0.03}, **call)
    yield "datagrams-below-loss", case("datagrams 6M", 8, down={"loss": 0.01})
    yield "datagrams-full", case("datagrams 14M", 8)
    yield "datagrams-below", case("datagrams 6M", 8)
    yield "datagrams-below-drop", case("datagrams 6M", 8, both={"drop": [(4, 5)]})
    yield "datagrams-full-hold", case("datagrams 12M", 8, down={"hold": [(4, 4.5)]})
    yield "datagrams-up-loss", case("datagrams-up 3M", 8, up={"loss": 0.01})
    yield "plain", case("plain", 10)
    yield "plain-loss", case("plain", 10, down={"loss": 0.05})
    yield "plain-drop", case("plain", 10, down={"drop": [(5, 6)]})
    yield "plain-hold", case("plain", 10, down={"hold": [(5, 5.6)]})
    yield "stepping", case("stepping", 10)
    yield "two-plain", case("two-plain", 10)
    yield "names", case("names", 15)
    yield "names-loss", case("names", 20, both={"loss": 0.1})
    yield "loopback-tcp", case("loopback-tcp", 3)
    yield "loopback-plain", case("loopback-plain", 6)
    if PYTHON.exists():
        path = {"rates": (4e6, 8e6), "delay": 0.03}
        yield "quic", case("quic", **path)
        yield "quic-loss", case("quic", down={"loss": 0.01}, **path)
        yield "quic-hold-down", case("quic", down={"hold": [(6, 6.4)]}, **path)
        yield "quic-hold-both", case("quic", both={"hold": [(6, 6.4)]}, **path)
        yield "quic-drop-down", case("quic", down={"drop": [(6, 7.2)]}, **path)
        yield "quic-drop-both", case("quic", 15, both={"drop": [(6, 7.2)]}, **path)
        yield "quic-up", case("quic-up", **path)
        yield "quic-up-hold", case("quic-up", up={"hold": [(6, 6.4)]}, **path)
        yield "quic-varying", case("quic", 15, delay=0.03, down={"trace": wandering(folder, "quic", 4, 2, 10)})


def drawn(folder, seed):
    """A case drawn at random: `random-SEED`."""
    chance = random.Random(seed)
    traffic = chance.choice(["download", "download", "upload", "two-downloads", "both-ways", "paced", "requests", "pauses", "http", "interactive", "media", "media", "datagrams 3M",
                             "download bbr"] + (["quic", "quic-up"] if PYTHON.exists() else []))
    delay = 10 ** chance.uniform(-2.3, -0.9)
    links = []
    for name in ("up", "down"):
        link = way(round(10 ** chance.uniform(6.2, 7.5)), round(delay, 4), queue=round(10 ** chance.uniform(1.3, 2.6)))
        if chance.random() < 0.25:
            low = chance.uniform(0.6, 4)
            link["trace"] = wandering(folder, f"random-{seed}-{name}", seed, low, low * chance.uniform(3, 12))
        kind = chance.choice(["", "", "", "loss", "loss", "ge"])
        if kind == "loss": link["loss"] = round(10 ** chance.uniform(-3.3, -1.5), 5)
        if kind == "ge": link["ge"] = (round(10 ** chance.uniform(-3.3, -2.2), 5), round(chance.uniform(0.15, 0.6), 2))
        if chance.random() < 0.15: link["jitter"] = round(chance.uniform(0.001, 0.01), 4)
        elif chance.random() < 0.15: link["reorder"] = (round(chance.uniform(0.001, 0.03), 4), round(chance.uniform(0.001, 0.01), 4))
        links.append(link)
    if chance.random() < 0.7:
        start = round(chance.uniform(4, 8), 2)
        outage = (start, round(start + 10 ** chance.uniform(-1.1, 0.4), 2))
        kind = chance.choice(["hold", "drop"])
        for link in {"up": links[:1], "down": links[1:], "both": links}[chance.choice(["up", "down", "both", "both"])]: link[kind] = [outage]
    return Case(*links, traffic, 14)
