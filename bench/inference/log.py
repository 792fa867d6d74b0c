"""What the link did, from its own log: the truth that everything is judged by. Times are seconds since its first packet."""
import bisect, collections, csv, statistics

Packet = collections.namedtuple("Packet", "way at served left length fate protocol source destination sequence acknowledgement flags payload")
FIN, SYN, RST, ACK = 1, 2, 4, 16


def ahead(a, b):
    """How far sequence number a is ahead of b."""
    return ((a - b + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


class Log:
    def __init__(self, path, case, end=None):
        """`end`: when the recorders stopped."""
        self.case, self.packets, self.stop = case, [], float("inf") if end is None else end
        with open(path) as file:
            for row in csv.DictReader(file):
                if end is not None and float(row["atS"]) > end: break
                # `f`: what was on its way when the recorders stopped.
                if row["fate"] == "d" and (row["leftS"] == "0.000000" or end is not None and float(row["leftS"]) > end): row["fate"] = "f"
                self.packets.append(Packet(
                    "up" if row["way"] == "u" else "down", float(row["atS"]), float(row["servedS"]), float(row["leftS"]), int(row["length"]), row["fate"],
                    int(row["protocol"]), int(row["source"]), int(row["destination"]), int(row["sequence"]), int(row["acknowledgement"]), int(row["flags"]), int(row["payload"])))
        self.ways = {way: [p for p in self.packets if p.way == way] for way in ("up", "down")}
        self.senders = {way: self.resent(way) for way in self.ways}

    def data(self, way):
        """Those that carry something; where there is nothing but acknowledgements, these."""
        carrying = [p for p in self.ways[way] if p.payload > 0 and p.protocol in (6, 17)]
        return carrying if way in self.case.main else self.ways[way]

    def losses(self, way, packets=None, without=(), counting="", until=float("inf"), closed={}):
        """(share, lost, bursts, offered), outside outages and outside the stretches `without`; `counting` are fates in outages (`o`, `h`)
        that count as losses nevertheless, because nobody called them an outage. After `until` nothing is lost: nobody could know yet; nor what a
        connection carries after its time in `closed`: nobody answered it."""
        lost, bursts, offered, was_lost = 0, 0, 0, False
        for p in self.data(way) if packets is None else packets:
            if p.fate in "oh" and p.fate not in counting or any(a <= p.at <= b for a, b in without): continue
            offered += 1
            is_lost = p.fate not in "df" and p.at <= min(until, closed.get((p.source, p.destination), until))
            lost, bursts, was_lost = lost + is_lost, bursts + (is_lost and not was_lost), is_lost
        return lost / max(1, offered), lost, bursts, offered

    def total_loss(self, way):
        known = [p for p in self.ways[way] if p.fate != "f"]
        return sum(p.fate != "d" for p in known) / max(1, len(known))

    def end(self, way):
        """Until when the fate of what was sent can have come back."""
        return max((p.at for p in self.packets), default=0) - sum(max(self.sojourns(w), default=0) for w in self.ways)

    def closed(self, way):
        """By connection, until when what came was acknowledged: then its receiver was gone, and said so by a RST."""
        found, least = {}, min(self.sojourns(way), default=0)
        for p in self.packets:
            if p.way != way and p.protocol == 6 and p.flags & RST: found.setdefault((p.destination, p.source), p.at - least)
        return found

    def sojourns(self, way): return sorted(p.left - p.at for p in self.ways[way] if p.fate == "d" and p.left > 0)

    def busy_rate(self, way):
        """Bit/s while something waited; None where nothing did for a second."""
        busy, size, end = 0.0, 0, 0.0
        for p in self.ways[way]:
            if p.fate != "d": continue
            busy += max(0, p.served - max(end, p.at))
            size, end = size + p.length * 8, max(end, p.served)
        return size / busy if busy > 1 else None

    def served(self, way, step=0.1):
        """Bit/s in each step."""
        bins = collections.Counter(int(p.served / step) for p in self.ways[way] if p.fate == "d")
        sizes = collections.Counter()
        for p in self.ways[way]:
            if p.fate == "d": sizes[int(p.served / step)] += p.length * 8 / step
        return [sizes[index] for index in range(max(bins, default=0) + 1)]

    def busy_median(self, way):
        """Of what was served in steps of 100 ms during all of which something waited, bit/s."""
        waits, sizes, end = collections.Counter(), collections.Counter(), 0.0
        for p in self.ways[way]:
            if p.fate != "d": continue
            sizes[int(p.served * 10)] += p.length * 80
            start, end = max(end, p.at), max(end, p.served)
            while start < end:
                step = int(start * 10 + 1e-9)
                part = min(end, (step + 1) / 10) - start
                waits[step], start = waits[step] + part, start + max(part, 1e-6)
        full = [sizes[step] for step, wait in waits.items() if wait > 0.095]
        return statistics.median(full) if full else None

    def offers(self, way, start, end):
        """Packets with something to carry that came to the link between."""
        return sum(start < p.at < end for p in self.ways[way] if p.payload > 0)

    def is_held(self, way, start, end):
        """Something waited, and nothing was served."""
        if end <= start: return False
        served = [p for p in self.ways[way] if p.fate == "d"]
        return any(p.at < start + (end - start) * 0.3 and p.served > start + (end - start) * 0.7 for p in served) \
            and not any(start < p.served < end for p in served)

    def is_dropped(self, way, start, end):
        """All that came was lost, and something came."""
        fates = [p.fate for p in self.ways[way] if start < p.at < end]
        return len(fates) >= 2 and "d" not in fates

    def seam(self, way, edge, is_end):
        """How far an outage's edge moves if the losses next to it count in."""
        packets = [p for p in self.ways[way] if p.at >= edge] if is_end else [p for p in reversed(self.ways[way]) if p.at < edge]
        for p in packets:
            if p.fate in "df": break
            edge = p.at
        return edge

    # MARK: TCP

    def resent(self, way):
        """Counts at the sender: resent, spurious (of data whose original came through), shown (of these, those that came through as well,
        so that a D-SACK says so), lost, syn, fin, probes (keep-alives and window probes: a number before the next, without data)."""
        counts, flows = collections.Counter(), {}
        for p in self.ways[way]:
            if p.protocol != 6 or p.flags & RST: continue
            size = p.payload + bool(p.flags & SYN) + bool(p.flags & FIN)
            key = (p.source, p.destination)
            flow = flows.get(key)
            if flow is None or (p.flags & SYN and p.sequence != flow["first"]):
                flow = flows[key] = {"first": p.sequence, "highest": p.sequence, "through": []}
            end = p.sequence + size
            if size == 0:
                counts["probes"] += ahead(p.sequence, flow["highest"]) == -1
                continue
            if ahead(p.sequence, flow["highest"]) < 0:
                counts["resent"] += 1
                counts["syn"] += bool(p.flags & SYN)
                counts["fin"] += bool(p.flags & FIN) and p.payload == 0
                if p.payload > 0:
                    counts["data"] += 1
                    is_spurious = covers(flow["through"], p.sequence - flow["first"], p.sequence - flow["first"] + p.payload)
                    counts["spurious"] += is_spurious
                    counts["shown"] += is_spurious and p.fate == "d"
            if ahead(end, flow["highest"]) > 0: flow["highest"] = end & 0xFFFFFFFF
            if p.fate == "d" and p.payload > 0: add(flow["through"], p.sequence - flow["first"], p.sequence - flow["first"] + p.payload)
        counts["lost"] = counts["data"] - counts["spurious"]
        return counts

    def seen(self, vantage):
        """(time, packet) as a recorder there sees them, in order."""
        seen = []
        for p in self.packets:
            is_sender = (vantage == "client") == (p.way == "up")
            if vantage == "middle":
                if p.fate in "df": seen.append((p.served + self.case.way(p.way)["delay"] / 2, p))
            elif is_sender: seen.append((p.at, p))
            elif p.fate == "d" and p.left > 0: seen.append((p.left, p))
        return sorted((pair for pair in seen if pair[0] <= self.stop), key=lambda pair: pair[0])

    def probes(self, vantage):
        """Keep-alives and window probes that pass there, by direction."""
        counts, highest = collections.Counter(), {}
        for _, p in self.seen(vantage):
            if p.protocol != 6 or p.flags & RST: continue
            key, size = (p.way, p.source, p.destination), p.payload + bool(p.flags & SYN) + bool(p.flags & FIN)
            if p.flags & SYN or key not in highest: highest[key] = (p.sequence + size) & 0xFFFFFFFF
            elif size == 0: counts[p.way] += ahead(p.sequence, highest[key]) == -1
            elif ahead(p.sequence + size, highest[key]) > 0: highest[key] = (p.sequence + size) & 0xFFFFFFFF
        return counts

    def states(self, vantage):
        """(client's port, server's port) and the set of states that name it rightly, one entry a connection, in order."""
        found, current = [], {}
        for _, p in self.seen(vantage):
            if p.protocol != 6: continue
            key = (p.source, p.destination) if p.way == "up" else (p.destination, p.source)
            connection = current.get(key)
            is_first = p.flags & SYN and not p.flags & ACK
            if connection is None or (is_first and p.sequence != connection["first"]):
                connection = current[key] = {"key": key, "first": p.sequence if is_first else None, "saw": set(), "fin": set()}
                found.append(connection)
            saw = connection["saw"]
            if p.flags & RST: saw.add("reset" if "acknowledged" in saw or not saw & {"syn", "syn-ack"} else "half-reset" if "syn-ack" in saw else "refused")
            elif p.flags & SYN: saw.add("syn-ack" if p.flags & ACK else "syn")
            elif p.way == "up" and "syn-ack" in saw or not saw & {"syn", "syn-ack"}: saw.add("acknowledged")
            if p.flags & FIN: connection["fin"].add(p.way)
        return [(connection["key"], state(connection)) for connection in found]


def state(connection):
    saw, fins = connection["saw"], len(connection["fin"])
    if "refused" in saw: return {"refused"}
    if "half-reset" in saw: return {"halfOpen", "reset"}
    if "reset" in saw: return {"closed", "reset"} if fins == 2 else {"reset"}
    if fins: return {"closed"} if fins == 2 else {"closing"}
    if "syn" in saw and "syn-ack" not in saw: return {"neverOpened"}
    if "syn-ack" in saw and "acknowledged" not in saw: return {"halfOpen"}
    return {"open"} if "syn" in saw else {"open", "midway"}


def covers(ranges, start, end):
    place = bisect.bisect_right(ranges, (start, float("inf"))) - 1
    return place >= 0 and ranges[place][1] >= end


def add(ranges, start, end):
    place = bisect.bisect_left(ranges, (start, end))
    if place > 0 and ranges[place - 1][1] >= start: place, start = place - 1, ranges[place - 1][0]
    last = place
    while last < len(ranges) and ranges[last][0] <= end: end, last = max(end, ranges[last][1]), last + 1
    ranges[place:last] = [(start, end)]
