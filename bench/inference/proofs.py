"""What each vantage can prove of a case, known before it runs: the rules, in one place, with their reasons.

A level is `proved` (the packets there tell the figure: null, or a bound, says less than they do), `open` (it depends on what
happens to pass: a right figure, a bound that holds and null are all right), or `hidden` (nothing there tells; null is right, and what is
said must be right by the truth all the same). Nothing is ever right by being hidden.
"""
import cases

VANTAGES = ("client", "server", "middle", "both")
SHORTEST = 0.15  # s: of an outage that must be told; below, it is of the length of a pause of TCP's own.


def receives(vantage, way):
    """The capture shows that direction after the link."""
    return vantage in ("both", "middle") or (vantage == "client") == (way == "down")


def vantages(case):
    return ("client",) if case.tool.startswith("loopback") else VANTAGES


def capacity(case, vantage, way):
    if case.tool.startswith("loopback"): return "hidden", "nothing limits a loopback but the host"
    if case.missed: return "open", "a recorder that misses packets widens the spacings"
    if not case.fills(way): return "open", "the queue is not kept busy: at most a lower bound"
    if "trace" in case.way(way):
        return ("proved", "packets leave a busy queue at its pace") if receives(vantage, way) else ("open", "acknowledgements thin out what varies")
    if receives(vantage, way): return "proved", "packets leave a busy queue at its pace"
    if case.protocol != "tcp": return "hidden", "acknowledgements are sealed, or there are none"
    if len(case.main) > 1: return "open", "acknowledgements wait in the other direction's queue"
    return "proved", "acknowledgements tell what arrived, and at which pace"


def base(case, vantage):
    if case.tool.startswith("loopback") or case.tool == "never-opens": return "open", "nothing crossed a link and back"
    if any("jitter" in link or "trace" in link or "reorder" in link for link in (case.up, case.down)):
        return "open", "each packet waited for something of its own: the smallest may have waited as well"
    if case.tool in ("refused", "names"): return "open", "few answers, or those of an application that takes its time"
    if any(a == 0 for link in (case.up, case.down) for a, _ in link.get("drop", [])): return "open", "the handshake was sent more than once"
    if case.missed: return "open", "the recorder may have missed the handshake"
    if case.protocol in ("tcp", "counted"):
        lossy = any(link.get("loss") or link.get("ge") for link in (case.up, case.down))
        return ("open", "the handshake may have been sent more than once") if lossy and case.tool in ("http", "idle") else ("proved", "a handshake over an empty queue")
    if vantage == "both":
        if case.protocol == "plain": return "hidden", "one direction alone: the clocks' difference is unknown"
        return "proved", "the smallest delays of both directions: a clock's difference cancels out"
    if case.protocol == "quic": return "open", "handshake and spin bit hold what the peer takes to answer"
    return "hidden", "nothing answers anything"


def loss(case, vantage, way):
    if case.tool.startswith("loopback"): return "open", "no link"
    if case.dies or case.tool in ("killed", "reset", "never-opens", "refused"): return "open", "what was sent to nobody is not told from what was lost"
    if case.missed: return "open", "what the recorder missed looks like what the link lost, except where both ends of a resend are seen"
    if vantage == "both": return "proved", "each packet is looked for at the other end"
    if case.protocol == "rtp": return ("proved", "sequence numbers") if receives(vantage, way) else ("hidden", "nothing comes back")
    if case.protocol == "counted" and way in case.main:
        return ("open", "identifications that count by one, and nobody else seen who takes some: a bound at least") if receives(vantage, way) else ("hidden", "nothing comes back")
    if case.protocol in ("plain", "quic", "counted"): return ("open" if receives(vantage, way) else "hidden"), "no number that counts packets can be read"
    if way not in case.main: return ("open", "identifications may count acknowledgements") if receives(vantage, way) else ("hidden", "nothing answers an acknowledgement")
    if case.tool in ("interactive", "idle", "http"): return "open", "few segments, resent by timers"
    if vantage == "middle": return "open", "a hole that is filled is a loss before, one that is not seen a loss after"
    if receives(vantage, way) and any(link.get("reorder") for link in (case.up, case.down)): return "open", "late is not told from resent where the original was not seen"
    return "proved", "holes and what fills them" if receives(vantage, way) else "SACK tells what was lost of what was sent"


def sender(case, vantage, way):
    """Counts of what is sent again."""
    if case.protocol != "tcp" or case.tool.startswith("loopback"): return "open", "no TCP on a link"
    if case.missed: return "open", "of what the recorder missed nothing tells whether it was sent again"
    if vantage == "both" or (vantage == "client") == (way == "up") and vantage != "middle": return "proved", "the sender's own packets all pass here"
    return "hidden", "what was lost before is seen once"


def outage(case, vantage, way, kind, start, end):
    """(level of telling it, level of its direction, why)."""
    other = case.way("down" if way == "up" else "up")
    if case.tool in ("requests", "http", "pauses", "names", "idle", "interactive") or start == 0:
        return "open", "open", "it may fall into a pause of the traffic"
    if way not in case.main:
        is_alone = not any(key in other for key in ("hold", "drop"))
        if vantage == "both" and case.protocol == "tcp" and is_alone and end - start >= SHORTEST: return "proved", "proved", "acknowledgements stop while the data goes on"
        return "open", "open", "acknowledgements stop when the data does"
    if end - start < SHORTEST: return "open", "open", "shorter than what TCP's own pauses come to"
    if case.protocol == "plain":
        if not receives(vantage, way): return "hidden", "hidden", "nothing comes back"
        if kind == "hold": return "proved", "proved", "silence, then all at once"
        return ("proved", "proved", "packets that left did not come") if vantage == "both" else ("open", "open", "a silence without numbers may be the sender's")
    if vantage == "both": return "proved", "proved", "when each packet left and came, or did not"
    if case.protocol == "quic" and not receives(vantage, way): return "open", "open", "acknowledgements are sealed"
    if receives(vantage, way): return "proved", "proved" if kind == "drop" or not other.get("hold") else "open", "silence, then a backlog or a gap in the numbers"
    if case.protocol == "tcp": return "proved", "open", "acknowledgements stop: whose way stopped is told only by timestamps"
    return "hidden", "hidden", "nothing comes back"


def silent_end(case, vantage):
    if not case.dies: return "hidden", "both ends live"
    dead = case.dies[0]
    if vantage == dead: return "open", "its own port still shows what comes"
    speaks = case.tool in ("interactive", "media") or (case.tool == "download" and dead == "client") or (case.tool == "upload" and dead == "server")
    return ("proved", "its peer goes on trying") if speaks else ("open", "its peer has little to say to it")


def states(case, vantage):
    if case.protocol not in ("tcp", "counted") or case.tool.startswith("loopback"): return "hidden", "no TCP on a link"
    return ("open", "packets are missing") if case.missed else ("proved", "SYN, FIN and RST that pass")


def true_outages(case):
    """(direction, kind, start, end), as planned."""
    return [(way, kind, start, end) for way in ("up", "down") for kind in ("hold", "drop") for start, end in case.way(way).get(kind, [])]


def proofs(case):
    """{vantage: {what: [level, why]}}"""
    found = {}
    for vantage in vantages(case):
        list = found[vantage] = {"base RTT": base(case, vantage), "silent end": silent_end(case, vantage), "connection states": states(case, vantage)}
        for way in ("down", "up"):
            list[f"capacity {way}"] = capacity(case, vantage, way)
            list[f"loss {way}"] = loss(case, vantage, way)
            list[f"retransmissions {way}"] = sender(case, vantage, way)
        for way, kind, start, end in true_outages(case):
            level, direction, why = outage(case, vantage, way, kind, start, end)
            list[f"outage {way} {kind} {start}"] = (level, why)
            list[f"direction {way} {kind} {start}"] = (direction, why)
    return found


def text(name, case, found):
    """The truth for a reader, before the run."""
    lines = [name, "", f"traffic  {case.traffic}, {case.seconds} s" + (f", the {case.dies[0]} is gone after {case.dies[1]} s" if case.dies else "")
             + (f", the recorder misses {case.missed:.0%}" if case.missed else "") + (f", and writes {case.late:.0%} late" if case.late else "")
             + (f", and its clock says {case.began}" if case.began is not None else "")]
    for way in ("up", "down"): lines.append(f"{way:8} " + ", ".join(f"{key} {value}" for key, value in case.way(way).items()) + f"; {cases.rate(case.way(way)) / 1e6:.2f} Mbit/s mean")
    lines.append(f"base     {(case.up['delay'] + case.down['delay']) * 1e3:.0f} ms")
    for vantage, list in found.items():
        lines += ["", vantage] + [f"  {what:28} {level:7} {why}" for what, (level, why) in list.items()]
    return "\n".join(lines) + "\n"
