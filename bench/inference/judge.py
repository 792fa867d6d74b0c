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
        else: self.say(kind, NEEDLESSLY_NULL if level == "proved" else RIGHT, text + ", only a bound")

    def judge(self, vantage, said, offset):
        """`offset`: from the capture's times to the link's."""
        self.vantage, self.said, self.link, self.offset = vantage, said, said["link"], offset
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
            self.confidences.append((handover["confidence"], is_right))
            self.say("handover", RIGHT if is_right else WRONG, f"at {handover['startS'] + self.offset:.2f} s, confidence {handover['confidence']}, shift {handover.get('shiftMs')} ms; the path did not change")
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
        truths, tolerance = ([mean], 0.02) if "trace" not in link else ([busy, self.mean_while_running(way)], 0.1)
        text = f"{way} {'at least ' if told['lowerBound'] else ''}{value} of {' or '.join(f'{truth:.3g}' for truth in truths)} Mbit/s"
        self.figure("capacity", f"capacity {way}", value, value is not None and any(abs(value / truth - 1) <= tolerance for truth in truths),
                    (value is not None and value <= max(truths) * 1.02) if told["lowerBound"] else None, text)
        series = told.get("capacitySeriesMbps")
        if series and "trace" in link and case.fills(way):
            start = self.link.get("windowStartS", 0) + self.offset
            served = self.log.served(way)
            pairs = [(figure, served[place] / 1e6) for index, figure in enumerate(series) if 0 <= (place := int((start + index * 0.1) / 0.1 + 0.5)) < len(served)]
            errors = [abs(a - b) / max(b, 0.12) for a, b in pairs[10:-10]]
            # Half of the steps within 10 %, or a packet.
            if len(errors) >= 20: self.say("capacity over time", RIGHT if statistics.median(min(e, abs(a - b) / 0.12 * 0.1) for e, (a, b) in zip(errors, pairs[10:-10])) <= 0.1 else WRONG, f"{way} half of the 100 ms steps are off by more than {statistics.median(errors):.0%}")

    def mean_while_running(self, way):
        """Of the trace, in Mbit/s, between the first and the last packet."""
        times = [time / 1e3 for time in cases.read_trace(self.case.way(way)["trace"])]
        last = min(max((p.at for p in self.log.ways[way]), default=1), times[-1])
        return bisect.bisect(times, last) * 12_000 / max(1, last) / 1e6

    def judge_loss(self, way):
        packets = self.log.data(way)
        if len(packets) < 20: return
        told, most = self.link[way]["lossRate"], self.link[way].get("lossRateAtMost")
        # What an outage took is a loss to whoever does not tell the outage; the vantage may count acknowledgements in, or not.
        counts = [self.log.losses(way, which, self.accepted[way], counting) for counting in {"", self.untold[way]} for which in (packets, self.log.ways[way])]
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
        found = [o for o in self.link["outages"] if o["kind"] != "senderIdle"]
        stray = max(0.01, self.counted["latestMs"] / 1e3)
        for way, kind, start, end in proofs.true_outages(self.case):
            what = f"{way} {kind} {start}"
            candidates = [o for o in found if o.get("direction") in (way, None) and o["startS"] + self.offset < end + 0.1 and o["endS"] + self.offset > start - 0.1]
            match = next((o for o in candidates if o["kind"] == kind), candidates[0] if candidates else None)
            if match is None:
                self.untold[way] = "oh"
                self.say("outage", NEEDLESSLY_NULL if self.level(f"outage {what}") == "proved" else RIGHTLY_NULL, f"{what} s not told")
                continue
            found.remove(match)
            text = f"{what}-{end} s is called {match.get('direction')} {match['kind']} {match['startS'] + self.offset:.3f}-{match['endS'] + self.offset:.3f}, confidence {match['confidence']}"
            self.say("outage", RIGHT if match["kind"] == kind else WRONG, text)
            if match["kind"] != kind: self.accepted[way].append((start, end))
            self.confidences.append((match["confidence"], match["kind"] == kind))
            self.figure("outage's direction", f"direction {what}", match.get("direction"), True, text=text)
            for edge, real in (("start", start), ("end", end)):
                off, stated = abs(match[edge + "S"] + self.offset - real), match[edge + "UncertaintyS"]
                self.say("outage's edges", RIGHT if off <= stated + stray else WRONG, f"{what} s: {edge} off by {off * 1e3:.0f} ms, said +-{stated * 1e3:.0f}")
        for extra in found:
            start, end = extra["startS"] + self.offset, extra["endS"] + self.offset
            inner = (start + extra["startUncertaintyS"], end - extra["endUncertaintyS"])
            ways = [extra["direction"]] if extra.get("direction") else ["up", "down"]
            planned = next((o for o in proofs.true_outages(self.case) if o[2] - 0.1 < end and start < o[3] + 0.1), None)
            shows = self.log.is_held if extra["kind"] == "hold" else self.log.is_dropped
            is_right = inner[1] > inner[0] and any(shows(way, *inner) for way in ways)
            if is_right: self.accepted[ways[0]].append((start - 0.05, end + 0.05))
            self.confidences.append((extra["confidence"], is_right))
            if is_right: self.say("outage", RIGHT)
            elif planned and extra.get("direction") not in (None, planned[0]):
                self.say("outage's direction", WRONG, f"{extra['direction']} {extra['kind']} {start:.2f}-{end:.2f} s, confidence {extra['confidence']}, where {planned[0]} {planned[1]} {planned[2]}-{planned[3]} was")
            else: self.say("no outage", WRONG, f"{extra.get('direction')} {extra['kind']} {start:.2f}-{end:.2f} s, confidence {extra['confidence']}, and there was none: {extra['basis']}")
        if not found: self.say("no outage", RIGHTLY_NULL)
        for idle in self.link["outages"]:
            if idle["kind"] != "senderIdle": continue
            start, end = idle["startS"] + self.offset + idle["startUncertaintyS"] + stray, idle["endS"] + self.offset - idle["endUncertaintyS"] - stray
            way = idle.get("direction") or self.case.main[0]
            count = self.log.offers(way, start, end)
            self.confidences.append((idle["confidence"], count == 0))
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
            spurious, lost = told["spuriousRetransmissions"], told["lost"]
            # From one end a copy is known to be one too many by D-SACK alone, which may be lost.
            is_exact = self.vantage == "both" or not self.log.total_loss("down" if way == "up" else "up")
            self.say("spurious", RIGHT if spurious == real["spurious"] or not is_exact and spurious < real["spurious"] else WRONG, f"{way} {spurious} of {real['spurious']}, {real['resent']} sent again")
            if not self.case.dies: self.say("lost segments", RIGHT if lost == real["lost"] or not is_exact and lost > real["lost"] else WRONG, f"{way} {lost} of {real['lost']}, {real['resent']} sent again")
        if told["spuriousRetransmissions"] > told["retransmissions"]: self.say("invariants", WRONG, f"{way} {told['spuriousRetransmissions']} spurious of {told['retransmissions']} sent again")
        if told["lost"] > told["packets"] + told["retransmissions"]: self.say("invariants", WRONG, f"{way} {told['lost']} lost of {told['packets']} packets")

    def judge_flows(self):
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
