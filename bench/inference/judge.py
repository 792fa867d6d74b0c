"""Judges what `mast inspect` says from one vantage against the truth: the link's log, and what the vantage can prove."""
import bisect, collections, json, statistics, struct, subprocess
import cases, proofs
from record import ADDRESSES

OUTCOMES = ("stated and right", "stated and wrong", "rightly null", "needlessly null")
RIGHT, WRONG, RIGHTLY_NULL, NEEDLESSLY_NULL = OUTCOMES


def first_time(path):
    with open(path, "rb") as file: header = file.read(40)
    if len(header) < 40: return 0
    seconds, fraction = struct.unpack("<II", header[24:32])
    return seconds + fraction / 1e6


def inspect(mast, *captures):
    result = subprocess.run([mast, "inspect", *map(str, captures), "--json"], capture_output=True, text=True)
    if result.returncode: raise RuntimeError(f"mast inspect {' '.join(map(str, captures))}: exit {result.returncode}, {result.stderr.strip()[-300:]}")
    return json.loads(result.stdout)


def as_named_here(said):
    """(what is said, is it turned round): whoever sends first is called the client, where no handshake tells; here the client is who
    has the client's address."""
    if not said["flows"] or not said["flows"][0]["client"].startswith(ADDRESSES["server"]): return said, False
    other, link = {"up": "down", "down": "up", None: None}, said["link"]
    link["up"], link["down"] = link["down"], link["up"]
    for outage in link["outages"] + link.get("idleSenders", []): outage["direction"] = other[outage.get("direction")]
    for flow in said["flows"]: flow["up"], flow["down"], flow["client"], flow["server"] = flow["down"], flow["up"], flow["server"], flow["client"]
    return said, True


class Judge:
    """Of one case; `counted` is what the link and the recorders counted."""

    def __init__(self, case, log, counted, expected):
        self.case, self.log, self.counted, self.expected = case, log, counted, expected
        self.tally, self.wrongs, self.needless, self.confidences = collections.Counter(), [], [], []

    def say(self, kind, outcome, text=""):
        self.tally[kind, outcome] += 1
        if outcome in (WRONG, NEEDLESSLY_NULL):
            (self.wrongs if outcome == WRONG else self.needless).append({"vantage": self.vantage, "kind": kind, "text": text})

    def level(self, what): return self.expected[self.vantage].get(what, ("open", ""))[0]

    def figure(self, kind, what, told, is_right, bound_holds=None, text=""):
        """`bound_holds`: None: an exact figure, or null, is told; else whether the bound holds."""
        level = self.level(what)
        if told is None: self.say(kind, NEEDLESSLY_NULL if level == "proved" else RIGHTLY_NULL, f"{text}: null")
        elif bound_holds is None: self.say(kind, RIGHT if is_right else WRONG, text)
        elif not bound_holds: self.say(kind, WRONG, text + ", a bound that does not hold")
        # A bound that is as near as a figure has to be says no less.
        else: self.say(kind, NEEDLESSLY_NULL if level == "proved" and not is_right else RIGHT, text + ", only a bound")

    def judge(self, vantage, said, offsets):
        """`offsets`: from each capture's times to the link's."""
        said, is_turned = as_named_here(said)
        self.vantage, self.said, self.link = vantage, said, said["link"]
        # Of two captures the client's has the time 0; what was sent one way only is taken in the order given.
        has_both = all(said[way]["packets"] for way in ("up", "down"))
        self.offset = offsets[-1] if is_turned and has_both else offsets[0]
        if self.case.tool.startswith("loopback"): return self.judge_loopback()
        self.judge_outages()
        self.judge_silent_ends()
        self.judge_base()
        for way in ("down", "up"):
            self.judge_capacity(way)
            self.judge_loss(way)
            self.judge_sender(way)
        self.judge_flows()
        for handover in self.link["handovers"]:
            moved = self.case.up.get("then") or self.case.down.get("then")
            is_right = bool(moved) and abs(handover["startS"] + self.offset - moved[0]) < 1
            self.confidences.append((handover.get("confidence"), is_right, "handover"))
            self.say("handover", RIGHT if is_right else WRONG, f"at {handover['startS'] + self.offset:.2f} s, shift {handover.get('shiftMs')} ms; the path did not change")
        if vantage == "both": self.judge_delays()

    # MARK: Link

    def judge_loopback(self):
        found = [o for o in self.link["outages"] if o["kind"] != "senderIdle"]
        for outage in found: self.say("no outage", WRONG, f"{outage['kind']} at {outage['startS']:.2f} s on a loopback")
        if not found: self.say("no outage", RIGHTLY_NULL)
        for way in ("down", "up"):
            told = self.link[way]["lossRate"]
            self.figure("loss", f"loss {way}", told, told == 0, text=f"{way} {told} on a loopback")
        wrong = [f for f in self.said["flows"] for way in ("up", "down") if f[way]["lost"]]
        self.say("lost segments", WRONG if wrong else RIGHT, f"{sum(f[w]['lost'] or 0 for f in wrong for w in ('up', 'down'))} lost on a loopback")

    def judge_base(self):
        up, down = self.case.up, self.case.down
        truths = [up["delay"] + down["delay"]]
        if "then" in up: truths.append(up["then"][1] + down["then"][1])
        base = min(truths) * 1e3
        tolerance = max(1, base * 0.02)
        # A trace gives a chance each so many milliseconds; jitter comes on top; a packet of 60 bytes waits for both.
        slack = sum(2 * 12e6 / cases.rate(link) if "trace" in link else link.get("jitter", 0) * 1e3 for link in (up, down))
        told, is_bound = self.link["baseRttMs"], self.link.get("baseRttIsUpperBound", False)
        text = f"{'at most ' if is_bound else ''}{told} of {base:.1f} ms"
        self.figure("base round trip", "base RTT", told, told is not None and base - tolerance <= told <= base + tolerance + slack,
                    None if not is_bound else told >= base - tolerance, text)

    def judge_capacity(self, way):
        case, told = self.case, self.link[way]
        value, link = told["capacityMbps"], case.way(way)
        if value is None and way not in case.main and self.level(f"capacity {way}") != "proved": return self.say("capacity", RIGHTLY_NULL)
        mean = cases.rate(link) / 1e6
        busy = (self.log.busy_rate(way) or mean * 1e6) / 1e6
        truths, tolerance, most = [mean], 0.02, mean
        if "trace" in link:
            # One figure for what varies: its mean, or the median of what passed in 100 ms, or between; a bound may be of its best half second.
            steps = [step / 1e6 for step in self.log.served(way) if step > 0]
            medians = [(self.log.busy_median(way) or mean * 1e6) / 1e6, statistics.median(steps or [mean])]
            truths, tolerance, most = sorted([busy, self.mean_while_running(way), *medians]), 0.1, self.best_half_second(way)
        text = f"{way} {'at least ' if told['lowerBound'] else ''}{value} of {' to '.join(f'{truth:.3g}' for truth in sorted({truths[0], truths[-1]}))} Mbit/s"
        self.figure("capacity", f"capacity {way}", value, value is not None and truths[0] * (1 - tolerance) <= value <= truths[-1] * (1 + tolerance),
                    (value is not None and value <= most * 1.02) if told["lowerBound"] else None, text)
        series = told.get("capacitySeriesMbps")
        if series and "trace" in link and case.fills(way):
            # Where on the way from the queue to the recorder a step begins is not said: any place is right.
            fine, start = self.log.served(way, 0.01), self.link.get("windowStartS", 0) + self.offset
            errors = min((self.error(series, fine, start - shift / 100) for shift in range(int((case.up["delay"] + case.down["delay"]) * 100) + 2)), default=0)
            self.say("capacity over time", RIGHT if errors <= 0.1 else WRONG, f"{way} half of the 100 ms steps are off by more than {errors:.0%}, or a packet")

    @staticmethod
    def error(series, fine, start):
        """Median of a series in Mbit/s a 100 ms against bit/s a 10 ms; a packet counts as a tenth."""
        errors = []
        for index, figure in enumerate(series):
            place = round((start + index * 0.1) * 100)
            if 0 <= place and place + 10 <= len(fine):
                off = abs(figure - sum(fine[place:place + 10]) / 10e6)
                errors.append(min(off / max(figure, 0.12), off / 0.12 * 0.1))
        return statistics.median(errors) if len(errors) >= 20 else 0

    def mean_while_running(self, way):
        """Of the trace, in Mbit/s, between the first and the last packet."""
        times = [time / 1e3 for time in cases.read_trace(self.case.way(way)["trace"])]
        last = min(max((p.at for p in self.log.ways[way]), default=1), times[-1])
        return bisect.bisect(times, last) * 12_000 / max(1, last) / 1e6

    def best_half_second(self, way):
        times = cases.read_trace(self.case.way(way)["trace"])
        return max(bisect.bisect(times, time + 500) - index for index, time in enumerate(times)) * 12e3 / 500 / 1e3

    def judge_loss(self, way):
        packets = self.log.data(way)
        if len(packets) < 20: return
        told, most = self.link[way]["lossRate"], self.link[way].get("lossRateAtMost")
        # What an outage took is a loss to whoever does not tell the outage; the vantage may count acknowledgements in, or not.
        views = [packets, self.log.ways[way], [p for p in self.log.ways[way] if p.payload > 0]]
        views += [[p for p in view if p.fate != "f"] for view in views if any(p.fate == "f" for p in view)]
        ends, known = (float("inf"), self.log.end(way)), self.log.closed(way)
        counts = [self.log.losses(way, view, self.accepted[way], counting, until, closed) for counting in {"", self.untold[way]} for view in views
                  for until in ends for closed in ([{}, known] if known else [{}])]
        # A gap in a trace is an outage, and its full queue a full queue.
        if self.accepted[way]: counts += [self.log.losses(way, view) for view in views]
        real, lost, bursts, offered = counts[0]
        # Of a share of few packets one more or less is more than a tenth of a point.
        tolerance = max(0.001, 1 / offered if offered else 1)
        near = lambda value: any(abs(value - truth) <= tolerance for truth, *_ in counts)
        if told is not None or most is None: self.figure("loss", f"loss {way}", told, told is not None and near(told), text=f"{way} {told} of {real:.5f} ({lost} of {offered})")
        else: self.figure("loss", f"loss {way}", most, None, real <= most + tolerance, f"{way} at most {most:.5f} of {real:.5f}")
        burst = self.link[way]["meanBurst"]
        if burst is not None and burst < 1: self.say("mean burst", WRONG, f"{way} {burst}: more bursts than losses")
        elif bursts >= 10 and told:
            self.figure("mean burst", f"loss {way}", burst, burst is not None and any(b and abs(burst * b / l - 1) <= 0.1 for _, l, b, _ in counts), text=f"{way} {burst} of {lost / bursts:.2f} ({lost} in {bursts})")
        if self.vantage == "both" and (total := self.link[way].get("lossRateTotal")) is not None:
            self.say("loss, total", RIGHT if abs(total - self.log.total_loss(way)) <= tolerance else WRONG, f"{way} {total:.5f} of {self.log.total_loss(way):.5f}")

    def judge_delays(self):
        for way in ("down", "up"):
            told, real = self.link[way].get("oneWayDelayMs"), self.log.sojourns(way)
            if len(real) < 20 or not told: continue
            middle = real[len(real) // 2] * 1e3
            self.say("one-way delay", RIGHT if abs(told["p50"] - middle) <= max(2, middle * 0.02) or self.link.get("clock") == "relative" else WRONG,
                     f"{way} median {told['p50']} of {middle:.1f} ms, clocks {self.link.get('clock')}")

    # MARK: Outages

    def judge_outages(self):
        """Also gives the stretches that are rightly outages although nobody planned them: a long burst, a gap of a trace."""
        self.accepted, self.untold = {"up": [], "down": []}, {"up": "", "down": ""}
        # When the machine stood still, so did both ends: nobody's statement of it is judged.
        stalls = self.counted.get("stalls", [])
        is_judged = lambda o: not any(o["startS"] + self.offset < to + 0.1 and start - 0.1 < o["endS"] + self.offset for start, to in stalls)
        found = [o for o in self.link["outages"] if o["kind"] != "senderIdle" and is_judged(o)]
        stray = max(0.01, self.counted["latestMs"] / 1e3)
        # Half-way nobody knows how far the link is.
        apart = {way: stray + (self.case.way(way)["delay"] if self.vantage == "middle" else 0) for way in ("up", "down")}
        for way, kind, start, end in proofs.true_outages(self.case):
            if any(start < stall[1] + 0.1 and stall[0] - 0.1 < end for stall in stalls): continue
            what = f"{way} {kind} {start}"
            candidates = [o for o in found if o.get("direction") in (way, None) and o["startS"] + self.offset < end + 0.1 and o["endS"] + self.offset > start - 0.1]
            match = next((o for o in candidates if o["kind"] == kind), candidates[0] if candidates else None)
            if match is None:
                self.untold[way] = "oh"
                self.say("outage", NEEDLESSLY_NULL if self.level(f"outage {what}") == "proved" else RIGHTLY_NULL, f"{what} s not told")
                continue
            found.remove(match)
            if kind == "drop": self.accepted[way] += [tuple(sorted((edge, self.log.seam(way, edge, edge == end)))) for edge in (start, end)]
            text = f"{what}-{end} s is called {match.get('direction')} {match['kind']} {match['startS'] + self.offset:.3f}-{match['endS'] + self.offset:.3f}, confidence {match['confidence']}"
            self.say("outage", RIGHT if match["kind"] == kind else WRONG, text)
            if match["kind"] != kind: self.accepted[way].append((start, end))
            self.confidences.append((match["confidence"], match["kind"] == kind, "outage"))
            self.figure("outage's direction", f"direction {what}", match.get("direction"), True, text=text)
            for edge, real in (("start", start), ("end", end)):
                told, stated = match[edge + "S"] + self.offset, match[edge + "UncertaintyS"]
                # What was lost next to it nobody can tell from it.
                low, high = sorted((real, self.log.seam(way, real, edge == "end") if kind == "drop" else real))
                off = max(0, low - told, told - high)
                self.say("outage's edges", RIGHT if off <= stated + stray else WRONG, f"{what} s: {edge} off by {off * 1e3:.0f} ms, said +-{stated * 1e3:.0f}")
        for extra in found:
            start, end = extra["startS"] + self.offset, extra["endS"] + self.offset
            inner = (start + extra["startUncertaintyS"], end - extra["endUncertaintyS"])
            # Shorter than its edges are uncertain: any part of it will do.
            if inner[0] >= inner[1]: inner = (start, end)
            ways = [extra["direction"]] if extra.get("direction") else ["up", "down"]
            planned = next((o for o in proofs.true_outages(self.case) if o[2] - 0.1 < end and start < o[3] + 0.1), None)
            shows = self.log.is_held if extra["kind"] == "hold" else self.log.is_dropped
            spans = [inner] if extra["kind"] == "drop" else [(a + apart[way], b - apart[way]) for way in ways for a, b in (inner, (start, end))]
            is_right = any(shows(way, *span) for way in ways for span in spans)
            if is_right: self.accepted[ways[0]].append((start - 0.05, end + 0.05))
            self.confidences.append((extra["confidence"], is_right, "outage"))
            if is_right: self.say("outage", RIGHT)
            elif planned and extra.get("direction") not in (None, planned[0]):
                self.say("outage's direction", WRONG, f"{extra['direction']} {extra['kind']} {start:.2f}-{end:.2f} s, confidence {extra['confidence']}, where {planned[0]} {planned[1]} {planned[2]}-{planned[3]} was")
            else: self.say("no outage", WRONG, f"{extra.get('direction')} {extra['kind']} {start:.2f}-{end:.2f} s, confidence {extra['confidence']}, and there was none: {extra['basis']}")
        if not found: self.say("no outage", RIGHTLY_NULL)
        for idle in self.link["outages"] + self.link.get("idleSenders", []):
            if idle["kind"] != "senderIdle" or not is_judged(idle): continue
            way = idle.get("direction") or self.case.main[0]
            start, end = idle["startS"] + self.offset + idle["startUncertaintyS"] + apart[way], idle["endS"] + self.offset - idle["endUncertaintyS"] - apart[way]
            count = self.log.offers(way, start, end)
            self.confidences.append((idle["confidence"], count == 0, "idle sender"))
            self.say("idle sender", RIGHT if count == 0 else WRONG, f"{way} {start:.2f}-{end:.2f} s, confidence {idle['confidence']}, and {count} packets with data were sent")

    def judge_silent_ends(self):
        told = self.link.get("silentEnds", [])
        dead, at = self.case.dies or (None, 0), None
        if self.case.dies: dead, at = self.case.dies[0], self.counted["goneS"]
        matches = 0
        for silent in told:
            is_right = self.case.dies and silent["end"].startswith(ADDRESSES[dead]) and abs(silent["atS"] + self.offset - at) < 1
            matches += bool(is_right)
            self.say("silent end", RIGHT if is_right else WRONG, f"{silent['end']} fell silent at {silent['atS'] + self.offset:.2f} s; truth: {self.case.dies and f'{dead} at {at:.2f} s'}")
        if not told: self.say("silent end", NEEDLESSLY_NULL if self.case.dies and self.level("silent end") == "proved" else RIGHTLY_NULL, f"{dead} was gone at {at and round(at, 2)} s")

    # MARK: Flows

    def judge_sender(self, way):
        """Counts at the sender; elsewhere none may be above what was sent."""
        if not any(p.protocol == 6 for p in self.log.ways[way]): return
        real = self.log.senders[way]
        told = collections.Counter()
        for flow in self.said["flows"]:
            if flow["protocol"] != "tcp": continue
            for key in ("retransmissions", "spuriousRetransmissions", "synRetransmissions", "lost", "packets"): told[key] += flow[way][key] or 0
        kernel = self.counted["retransmissions"][way]
        is_proved = self.level(f"retransmissions {way}") == "proved"
        text = f"{way} {told['retransmissions']} of {real['resent']} (kernel {kernel})"
        holds = told["retransmissions"] in (kernel, real["resent"]) if is_proved else told["retransmissions"] <= max(kernel, real["resent"])
        self.say("retransmissions", RIGHT if holds else WRONG, text)
        if is_proved:
            self.say("SYN sent again", RIGHT if told["synRetransmissions"] == real["syn"] else WRONG, f"{way} {told['synRetransmissions']} of {real['syn']}")
            # From one end a copy is known to be one too many by D-SACK alone, if it comes; both ends show all. What overtook may be refused (RFC 7323, PAWS).
            other = "down" if way == "up" else "up"
            is_exact = self.vantage == "both" and not any(link.get("reorder") for link in (self.case.up, self.case.down))
            least = real["spurious"] if is_exact else real["shown"] if not self.log.total_loss(other) and "reorder" not in self.case.way(way) else 0
            spurious, lost = told["spuriousRetransmissions"], told["lost"]
            if self.case.dies or self.case.tool in ("killed", "reset"): return
            self.say("spurious", RIGHT if least <= spurious <= real["spurious"] else WRONG, f"{way} {spurious} of {real['spurious']}, {real['resent']} sent again")
            self.say("lost segments", RIGHT if real["lost"] <= lost <= real["data"] - least else WRONG, f"{way} {lost} of {real['lost']}, {real['resent']} sent again")
        if told["spuriousRetransmissions"] > told["retransmissions"]: self.say("invariants", WRONG, f"{way} {told['spuriousRetransmissions']} spurious of {told['retransmissions']} sent again")
        if told["lost"] > told["packets"] + told["retransmissions"]: self.say("invariants", WRONG, f"{way} {told['lost']} lost of {told['packets']} packets")

    def judge_flows(self):
        self.say("recorded twice", WRONG if self.said["duplicates"] else RIGHT, f"{self.said['duplicates']} packets; each was recorded once")
        link, probes = self.log, self.log.probes("client" if self.vantage == "both" else self.vantage)
        flows = [flow for flow in self.said["flows"] if flow["protocol"] == "tcp"]
        ports = lambda flow: (int(flow["client"].rsplit(":", 1)[1]), int(flow["server"].rsplit(":", 1)[1]))
        if flows and not self.case.missed:
            told = collections.Counter()
            for flow in flows:
                for way in ("up", "down"): told[way] += (flow[way]["keepAlives"] or 0) + (flow[way]["windowProbes"] or 0)
            for way in ("up", "down"): self.say("keep-alives and window probes", RIGHT if told[way] == probes[way] else WRONG, f"{way} {told[way]} of {probes[way]}")
        if not self.case.missed:
            pending = sorted(flows, key=lambda flow: flow["firstS"])
            for key, rights in link.states("client" if self.vantage == "both" else self.vantage):
                flow = next((flow for flow in pending if ports(flow) == key), None)
                if flow is None:
                    self.say("connection state", NEEDLESSLY_NULL, f"{key} not told, truth {'/'.join(rights)}")
                    continue
                pending.remove(flow)
                self.say("connection state", RIGHT if flow["state"] in rights else WRONG, f"{key} {flow['state']}, truth {'/'.join(rights)}")
            for flow in pending: self.say("connection state", WRONG, f"{ports(flow)} {flow['state']}, and there was no such connection")
        longest = sum(max(self.log.sojourns(way), default=0) for way in ("up", "down")) + 0.25
        base = (self.case.up["delay"] + self.case.down["delay"]) * (0.5 if self.vantage == "middle" else 1) * 1e3
        if "then" in self.case.up: base = min(base, (self.case.up["then"][1] + self.case.down["then"][1]) * 1e3 * (0.5 if self.vantage == "middle" else 1))
        for flow in self.said["flows"]:
            trip = flow["rttMs"]
            if trip.get("p50") is None: continue
            text = f"{flow['protocol']} min {trip['min']}, median {trip['p50']}, p95 {trip['p95']} ms by {trip['basis']}; path {base:.0f} ms, {longest * 1e3:.0f} at most"
            self.say("round trips", RIGHT if base - max(1.1, base * 0.02) <= trip["min"] <= trip["p50"] <= trip["p95"] <= longest * 1e3 else WRONG, text)
