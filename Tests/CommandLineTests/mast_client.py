#!/usr/bin/env python3
"""A client of Mast, written from its documents alone: WireFormat.md (the transport) and Envelope.md (calls).

It shares no code with the implementation. Section names in comments are those of WireFormat.md, unless they say "Envelope".

    mast_client.py HOST PORT [--key BASE64URL] [--suite 1|2|3] [--loss 0.2 --seed N] [--key-changes N] [--calls N]

One line of output for each check; exit code 0 only if all of them hold.
"""
import argparse, base64, hashlib, hmac, json, os, random, select, socket, sys, time
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

VERSION = 2
INITIATION, RESPONSE, COOKIE_REPLY, RESET, DATA, KEY_QUERY, KEY_ANSWER, VERSIONS = 7, 5, 6, 4, 8, 12, 13, 14
KEY_PHASE, ACKNOWLEDGE_NOW = 1, 2                         # bits of a data packet's first byte
DATAGRAM = 1200                                           # bytes of UDP payload that everybody takes
WINDOW = 48 * 1024                                        # credit that we give: small, so that large answers need more
now = time.monotonic


# ---------------------------------------------------------------- numbers and keys

def varint(n):
    for size, bits in ((1, 6), (2, 14), (4, 30), (8, 62)):
        if n < 1 << bits:
            return (n | (size.bit_length() - 1) << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(n)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        if n > self.left():
            raise ValueError("cut short")
        self.at += n
        return bytes(self.data[self.at - n:self.at])

    def varint(self):
        size = 1 << (self.take(1)[0] >> 6)
        self.at -= 1
        return int.from_bytes(self.take(size), "big") & (1 << (8 * size - 2)) - 1


def raw(key):                                             # 32 bytes
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac256(key, *parts):
    return hmac.new(key, b"".join(parts), "sha256").digest()


def expand(secret, info, length):                         # RFC 5869; never more than one block here
    return hmac256(secret, info, b"\x01")[:length]


class Noise:
    """Noise_IK_25519_AESGCM_SHA256, the initiator's side (Noise revision 34, sections 5 and 7.5)."""

    def __init__(self, prologue, responder_key):
        self.h = self.ck = b"Noise_IK_25519_AESGCM_SHA256".ljust(32, b"\0")
        self.mix_hash(prologue)
        self.mix_hash(responder_key)

    def mix_hash(self, data):
        self.h = sha256(self.h, data)

    def hkdf(self, material):
        temp = hmac256(self.ck, material)
        first = hmac256(temp, b"\x01")
        return first, hmac256(temp, first, b"\x02")

    def mix_key(self, private, public):
        self.ck, self.k = self.hkdf(private.exchange(X25519PublicKey.from_public_bytes(public)))
        self.n = 0

    def nonce(self):
        self.n += 1
        return bytes(4) + (self.n - 1).to_bytes(8, "big")

    def seal(self, text):
        sealed = AESGCM(self.k).encrypt(self.nonce(), text, self.h)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed):
        text = AESGCM(self.k).decrypt(self.nonce(), sealed, self.h)
        self.mix_hash(sealed)
        return text


class Direction:
    """Keys of the packets of one direction ("Data packet"), by generation."""

    def __init__(self, secret, suite):
        self.secrets, self.suite, self.kept = [secret], suite, {}
        self.first = int.from_bytes(expand(secret, b"mast/2 number" + bytes(4), 4), "big") & (1 << 29) - 1

    def cipher(self, generation):
        while len(self.secrets) <= generation:
            self.secrets.append(expand(self.secrets[-1], b"mast/2 next", 32))
        if generation not in self.kept:
            secret, suite = self.secrets[generation], self.suite.to_bytes(2, "big")
            key = expand(secret, b"mast/2 key" + suite, 16 if self.suite == 1 else 32)
            iv = int.from_bytes(expand(secret, b"mast/2 iv" + suite, 12), "big")
            self.kept[generation] = ((ChaCha20Poly1305 if self.suite == 2 else AESGCM)(key), iv)
        return self.kept[generation]

    def seal(self, generation, number, header, payload):
        aead, iv = self.cipher(generation)
        return aead.encrypt((iv ^ number).to_bytes(12, "big"), payload, header)     # path id 0 ‖ number

    def open(self, generation, number, header, sealed):
        aead, iv = self.cipher(generation)
        return aead.decrypt((iv ^ number).to_bytes(12, "big"), sealed, header)


# ---------------------------------------------------------------- the socket, and what it loses

class Wire:
    def __init__(self, address, loss, chance):
        family, kind, proto, _, self.address = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind, proto)
        self.socket.setblocking(False)
        self.loss, self.chance, self.dropped = loss, chance, 0

    def lose(self):
        lost = self.chance.random() < self.loss
        self.dropped += lost
        return lost

    def send(self, packet):
        if not self.lose():
            self.socket.sendto(packet, self.address)

    def receive(self, until):
        """The next datagram from the server, or nothing once the time is there."""
        while True:
            ready, _, _ = select.select([self.socket], [], [], max(0, until - now()))
            if not ready:
                return None
            data, source = self.socket.recvfrom(65536)
            if source[:2] == self.address[:2] and data and not self.lose():
                return data

    def ask(self, packet, wanted, every, times):
        """Sends a packet until an answer comes that `wanted` takes."""
        for _ in range(times):
            self.send(packet)
            until = now() + every
            while (answer := self.receive(until)) is not None:
                if wanted(answer):
                    return answer
        return None


def ask_key(wire):
    """"Reset, key query, key answer": every 500 ms, six times in all."""
    nonce = os.urandom(8)
    query = (bytes([KEY_QUERY]) + bytes(8) + bytes([VERSION]) + nonce).ljust(64, b"\0")
    start = bytes([KEY_ANSWER]) + bytes(8) + bytes([VERSION]) + nonce
    answer = wire.ask(query, lambda a: len(a) == 50 and a.startswith(start), 0.5, 6)
    return answer and answer[18:]


# ---------------------------------------------------------------- transport parameters

def write_parameters(fields):
    return b"".join(varint(f) + varint(len(v)) + v for f, v in fields.items())


def read_parameters(data):
    fields, r = {}, Reader(data)
    while r.left() and (field := r.varint()) != 0:
        if field in fields:
            raise ValueError("a field stands twice")
        fields[field] = r.take(r.varint())
    return fields


def varints(data):
    r, values = Reader(data), []
    while r.left():
        values.append(r.varint())
    return values


# ---------------------------------------------------------------- a connection

class Closed(Exception):
    RESET = -1                                            # instead of a code

    def __init__(self, code, reason):
        super().__init__("closed with 0x%02x %s" % (code, reason) if code >= 0 else reason)
        self.code = code


class Stream:
    def __init__(self, number, credit):
        self.number = number
        self.out, self.sent, self.credit = bytearray(), 0, credit
        self.ended, self.end_sent = False, False          # is there an end after `out`; did we send it once
        self.deadline = None
        self.pieces, self.data, self.final = {}, bytearray(), None     # what came
        self.highest, self.allowed, self.read = 0, WINDOW, 0
        self.reset = self.stopped = None                  # codes of the peer's reset and stop

    def complete(self):
        return self.reset is not None or self.final == len(self.data)


class Connection:
    def __init__(self, wire, server_key, suites, static=None):
        self.wire, self.server_key, self.suites = wire, server_key, suites
        self.static = static or X25519PrivateKey.generate()
        self.id = bytes(4) + os.urandom(4)                # route 0; shard and random part are ours
        self.streams, self.queue = {}, []                 # queue: what to send as soon as possible
        self.closed, self.suite, self.opened = None, 0, 0                # opened: latest generation of a packet that came
        self.retransmitted = self.credit_updates = self.followed = 0

    # ------------------------------------------------ handshake

    def handshake(self, seconds=10):
        header = bytes([INITIATION]) + bytes(8) + bytes([VERSION]) + self.id
        noise, e = Noise(b"mast/2" + header, self.server_key), X25519PrivateKey.generate()
        mine = write_parameters({
            1: varint(30000), 2: varint(WINDOW), 3: varint(WINDOW), 4: varint(0), 5: os.urandom(16), 6: os.urandom(8),
            7: bytes([VERSION]), 8: b"".join(map(varint, self.suites)), 9: varint(DATAGRAM)})
        e_public = raw(e.public_key())
        noise.mix_hash(e_public)
        noise.mix_key(e, self.server_key)                                                  # es
        body = e_public + noise.seal(raw(self.static.public_key()))          # s
        noise.mix_key(self.static, self.server_key)                                        # ss
        body += noise.seal(mine.ljust(DATAGRAM - 18 - 32 - 48 - 16 - 32, b"\0"))
        mac1_at = DATAGRAM - 32
        mac1 = hmac256(sha256(b"mast/2 mac1", self.server_key), header, body)[:16]
        self.initiation = header + body + mac1 + bytes(16)
        # "Repeats": after 250 ms, then ×1.5 up to a second, for ten seconds.
        started = again = now()
        wait, self.cookie_replies, response = 0.25, 0, None
        while response is None and now() < started + seconds:
            if now() >= again:
                self.wire.send(self.initiation)
                sent_at, again, wait = now(), now() + wait, min(1, wait * 1.5)
            p = self.wire.receive(min(again, started + seconds))
            if p is None or p[1:9] != self.id:
                continue
            if p[0] == COOKIE_REPLY and len(p) == 58:
                try:
                    cookie = AESGCM(sha256(b"mast/2 cookie", self.server_key)).decrypt(b"\xff" * 4 + p[18:26], p[26:], mac1)
                except InvalidTag:
                    continue
                unsigned = self.initiation[:-16]          # the same initiation, with MAC2
                self.initiation, again = unsigned + hmac256(cookie, unsigned)[:16], now()
                self.cookie_replies += 1
            elif p[0] == RESPONSE and p[9] == VERSION and len(p) >= 18 + 32 + 16 + 32:
                response = self.read_response(noise, e, p)
        if response is None:
            return False
        self.response, self.repeated = response, None
        self.begin(noise)
        self.rtt_sample(now() - sent_at)
        self.changed = now()
        return True

    def read_response(self, noise, e, p):
        kept = noise.h, noise.ck                          # a forged response must not spoil the true one that follows
        try:
            noise.mix_hash(p[:18])
            noise.mix_hash(p[18:50])
            noise.mix_key(e, p[18:50])                                                     # ee
            noise.mix_key(self.static, p[18:50])                                           # se
            fields = read_parameters(noise.open(p[50:-32]))
        except (InvalidTag, ValueError):
            noise.h, noise.ck = kept
            return None
        self.peer_id, self.peer = p[10:18], fields
        self.suite = varints(fields[8])[0]
        if VERSION not in fields[7] or self.suite not in self.suites:
            raise ValueError("what the peer picked was not offered")
        return p

    def begin(self, noise):
        mine, theirs = noise.hkdf(b"")                    # Split
        self.sealer, self.opener = Direction(mine, self.suite), Direction(theirs, self.suite)
        self.generation, self.generation_acknowledged = 0, False
        self.next_number = self.sealer.first
        number = lambda field: Reader(self.peer[field]).varint() if field in self.peer else 0
        self.credit, self.stream_credit, self.stream_limit = number(2), number(3), number(4)
        self.token = self.peer.get(5)
        self.used, self.received, self.allowed, self.read = 0, 0, WINDOW, 0    # of all streams
        # recovery, after RFC 9002
        self.sent, self.acknowledged, self.largest_acked, self.window, self.last_halved = {}, set(), -1, 16.0, 0
        self.srtt, self.var, self.timeouts, self.probe = None, 0.0, 0, 0
        # acknowledgements
        self.ranges, self.largest, self.largest_at = [], self.opener.first - 1, now()
        self.to_acknowledge, self.ack_at = 0, None
        self.floor = 0                                    # numbers below it count as received

    # ------------------------------------------------ sending

    def flush(self):
        """Sends what there is to send, and may be sent now."""
        while self.closed is None:
            due = self.ack_at is not None and now() >= self.ack_at
            ack = self.ack_frame() if self.ack_at is not None else b""
            room, items = DATAGRAM - 13 - 16 - len(ack), []
            if len(self.sent) < self.window or self.probe:
                items = self.pick(room) or ([("ping",)] if self.probe else [])
            if not items and not due:
                return
            self.probe = max(0, self.probe - 1)
            if ack:
                self.ack_at, self.to_acknowledge = None, 0
            more = self.queue or any(s.sent < len(s.out) for s in self.streams.values())
            self.seal(ack + b"".join(map(self.frame, items)), items, 0 if more or not items else ACKNOWLEDGE_NOW)

    def pick(self, room):
        """What to put into a packet: what is queued, then bytes of streams. 32 bytes are enough for any frame's fields."""
        items = []
        while self.queue and room > 64:
            item = self.queue.pop(0)
            if item[0] == "stream" and item[3] > room - 32:                    # a repetition that does not fit whole
                _, number, offset, length, end = item
                item = ("stream", number, offset, room - 32, False)
                self.queue.insert(0, ("stream", number, offset + room - 32, length - room + 32, end))
            items.append(item)
            room -= 32 + (item[3] if item[0] == "stream" else 0)
        for stream in self.streams.values():
            if room > 64 and (item := self.next_piece(stream, room - 32)):
                items.append(item)
                room -= 32 + item[3]
        return items

    def next_piece(self, stream, room):
        """The next bytes of a stream that were never sent: within the stream's credit and that of all streams."""
        size = min(len(stream.out) - stream.sent, room, stream.credit - stream.sent, self.credit - self.used)
        end = stream.ended and stream.sent + size == len(stream.out) and not stream.end_sent
        if size <= 0 and not end or stream.stopped is not None:
            return None
        item = ("stream", stream.number, stream.sent, size, end)
        stream.sent, self.used, stream.end_sent = stream.sent + size, self.used + size, stream.end_sent or end
        return item

    def frame(self, item):
        """"Frames". Made when the packet is, so that a repetition bears the newest credit and the deadline that remains."""
        kind, *rest = item
        if kind == "ping":
            return b"\x01"
        if kind == "stream":
            number, offset, length, end = rest
            stream, flags = self.streams[number], 0x08 | end
            fields = varint(number) + varint(offset)
            if offset == 0 and stream.deadline is not None:
                flags |= 0x02
                fields += varint(max(0, int((stream.deadline - now()) * 1e6)))
            return varint(flags) + fields + varint(length) + bytes(stream.out[offset:offset + length])
        if kind == "max data":
            return varint(0x10) + varint(self.allowed)
        if kind == "max stream data":
            return varint(0x11) + varint(rest[0]) + varint(self.streams[rest[0]].allowed)
        if kind == "reset":
            return varint(0x04) + b"".join(map(varint, rest))                  # stream, code, final size
        if kind == "stop":
            return varint(0x05) + b"".join(map(varint, rest))                  # stream, code
        return rest[0]                                                         # "raw": for the checks

    def seal(self, payload, items, flags=0, spoil=None):
        number = self.next_number
        self.next_number += 1
        header = (bytes([DATA | flags | (self.generation & KEY_PHASE)]) + self.peer_id
                  + (number & 0xffffffff).to_bytes(4, "big"))
        packet = header + self.sealer.seal(self.generation, number, header, payload)
        if items:                                         # it asks for an acknowledgement
            self.sent[number] = {"at": now(), "items": items, "generation": self.generation}
        self.wire.send(spoil(packet) if spoil else packet)
        return number

    def ack_frame(self):
        """Ranges newest first, at most 32, as in RFC 9000 section 19.3.1, with the path's id before them."""
        ranges = self.ranges[::-1][:32]
        frame = b"\x02" + varint(0) + varint(ranges[0][1]) + varint(int((now() - self.largest_at) * 1e6))
        frame += varint(len(ranges) - 1) + varint(ranges[0][1] - ranges[0][0])
        for above, (low, high) in zip(ranges, ranges[1:]):
            frame += varint(above[0] - high - 2) + varint(high - low)
        return frame

    # ------------------------------------------------ receiving

    def take(self, packet):
        if packet[1:9] == self.peer_id and packet[0] == RESET and len(packet) == 25:
            if self.token and hmac.compare_digest(packet[9:], self.token):
                self.closed = Closed(Closed.RESET, "reset")
            return
        if packet[0] == RESPONSE and packet[1:9] == self.id:
            self.repeated = packet
            return
        if packet[0] & 0xfc != DATA or packet[1:9] != self.id or len(packet) < 29:
            return
        header, low = packet[:13], int.from_bytes(packet[9:13], "big")
        number = (self.largest + 1 & ~0xffffffff) | low                       # RFC 9000 appendix A.3
        if number <= self.largest + 1 - (1 << 31):
            number += 1 << 32
        elif number > self.largest + 1 + (1 << 31) and number >= 1 << 32:
            number -= 1 << 32
        generations = [self.generation]
        if packet[0] & KEY_PHASE != self.generation & KEY_PHASE:              # the one before, or the next
            generations = [g for g in (self.generation - 1, self.generation + 1) if g >= 0]
        for generation in generations:
            try:
                payload = self.opener.open(generation, number, header, packet[13:])
                break
            except InvalidTag:
                continue
        else:
            return
        if not self.note(number):
            return
        self.opened = max(self.opened, generation)
        if generation > self.generation:                  # the peer began a change of keys: follow before anything is sent
            self.generation, self.generation_acknowledged, self.changed = generation, False, now()
            self.followed += 1
        in_order = number == self.largest + 1
        if number > self.largest:
            self.largest, self.largest_at = number, now()
        if self.frames(Reader(payload)):                  # "Acknowledgement": when it is due
            self.to_acknowledge += 1
            delay = min(0.010, max(0.001, (self.srtt or 0) / 8))
            if not in_order or self.to_acknowledge >= 8:
                delay = 0
            elif packet[0] & ACKNOWLEDGE_NOW:
                delay = 0.001
            self.ack_at = min(self.ack_at or now() + delay, now() + delay)

    def note(self, number):
        """Adds a number to the ranges; false if it was there, or is too old to tell."""
        if number < self.floor or any(low <= number <= high for low, high in self.ranges):
            return False
        joined = [number, number]
        for r in [r for r in self.ranges if r[0] == number + 1 or r[1] == number - 1]:
            joined = [min(joined[0], r[0]), max(joined[1], r[1])]
            self.ranges.remove(r)
        self.ranges = sorted(self.ranges + [joined])
        if len(self.ranges) > 32:
            self.floor = self.ranges.pop(0)[1] + 1
        return True

    def frames(self, r):
        asks = False
        while r.left():
            kind = r.varint()
            asks |= kind not in (0x00, 0x02, 0x03, 0x06, 0x07, 0x1a, 0x1b, 0x1c)
            if kind in (0x00, 0x01):
                pass
            elif kind in (0x02, 0x03, 0x06, 0x07):
                self.on_ack(r, kind)
            elif kind == 0x04:
                stream, code, final = self.streams[r.varint()], r.varint(), r.varint()
                self.count(stream, final)
                stream.final, stream.reset = final, code
            elif kind == 0x05:
                stream, code = self.streams[r.varint()], r.varint()
                if stream.stopped is None:
                    stream.stopped = code
                    self.queue = [i for i in self.queue if i[:2] != ("stream", stream.number)]
                    self.queue.append(("reset", stream.number, code, stream.sent))
            elif 0x08 <= kind <= 0x0b:
                number, offset = r.varint(), r.varint()
                if kind & 0x02:
                    r.varint()
                data = r.take(r.varint())
                self.on_stream(self.streams[number], offset, data, kind & 0x01)
            elif kind == 0x10:
                self.credit = max(self.credit, r.varint())
            elif kind == 0x11:
                stream = self.streams[r.varint()]
                stream.credit = max(stream.credit, r.varint())
            elif kind == 0x12:
                self.stream_limit = max(self.stream_limit, r.varint())
            elif kind == 0x1a:                            # a path challenge: its response stands alone in its packet
                self.seal(b"\x1b" + r.take(8), [])
            elif kind == 0x1b:
                r.take(8)
            elif kind == 0x1c:
                code = r.varint()
                self.closed = Closed(code, r.take(r.varint()).decode())
            else:
                raise ValueError("frame of type 0x%x" % kind)
        return asks

    def on_stream(self, stream, offset, data, end):
        self.count(stream, offset + len(data))
        if end:
            stream.final = offset + len(data)
        if len(stream.pieces.get(offset, b"")) < len(data):
            stream.pieces[offset] = data
        for at in sorted(stream.pieces):
            if at <= len(stream.data):
                stream.data += stream.pieces.pop(at)[len(stream.data) - at:]
        # Whatever has come in order counts as read: give new credit when half of the window is used.
        self.read += len(stream.data) - stream.read
        stream.read = len(stream.data)
        if stream.final is None and stream.allowed - stream.read < WINDOW / 2:
            stream.allowed = stream.read + WINDOW
            self.queue.append(("max stream data", stream.number))
        if self.allowed - self.read < WINDOW / 2:
            self.allowed = self.read + WINDOW
            self.queue.append(("max data",))
            self.credit_updates += 1

    def count(self, stream, highest):
        """Credit counts the highest offset of each stream."""
        if highest > stream.highest:
            self.received += highest - stream.highest
            stream.highest = highest
        if stream.highest > stream.allowed or self.received > self.allowed:
            raise ValueError("the peer sent more than its credit")
        if stream.final is not None and stream.highest > stream.final:
            raise ValueError("bytes beyond the final size")

    # ------------------------------------------------ acknowledgements and loss

    def on_ack(self, r, kind):
        path, largest, delay, more, first = (r.varint() for _ in range(5))
        ranges = [(largest - first, largest)]
        for _ in range(more):
            high = ranges[-1][0] - r.varint() - 2
            ranges.append((high - r.varint(), high))
        if kind & 0x01:
            for _ in range(3):
                r.varint()
        if kind & 0x04:                                   # receive times: never asked for
            raise ValueError("receive times that nobody asked for")
        if largest >= self.next_number or ranges[-1][0] < self.sealer.first:
            raise ValueError("acknowledged what was never sent")
        for number in [n for n in self.sent if any(low <= n <= high for low, high in ranges)]:
            s = self.sent.pop(number)
            self.acknowledged.add(number)
            self.window += 1 / self.window
            self.generation_acknowledged |= s["generation"] == self.generation
            if number == largest:
                self.rtt_sample(max(0.0001, now() - s["at"] - min(delay / 1e6, 0.010)))
            self.timeouts = 0
        self.largest_acked = max(self.largest_acked, largest)
        self.find_lost()

    def rtt_sample(self, rtt):
        if self.srtt is None:
            self.srtt, self.var = rtt, rtt / 2
        else:
            self.var = 0.75 * self.var + 0.25 * abs(self.srtt - rtt)
            self.srtt = 0.875 * self.srtt + 0.125 * rtt

    def probe_timeout(self):
        return self.srtt + max(4 * self.var, 0.001) + 0.010

    def probe_at(self):
        return max(s["at"] for s in self.sent.values()) + min(2, self.probe_timeout() * 2 ** min(self.timeouts, 6))

    def find_lost(self):
        late = now() - self.srtt * 9 / 8 - 0.001
        for number in sorted(self.sent):
            s = self.sent[number]
            if number < self.largest_acked and (self.largest_acked - number >= 3 or s["at"] < late):
                if s["at"] > self.last_halved:
                    self.window, self.last_halved = max(8.0, self.window / 2), now()
                self.send_again(number)

    def send_again(self, number):
        items = [i for i in self.sent.pop(number)["items"] if i[0] not in ("ping", "raw")]
        items = [i for i in items if i[0] != "stream" or self.streams[i[1]].stopped is None]
        self.retransmitted += len(items)
        self.queue[:0] = items

    def timers(self):
        times = [t for t in (self.ack_at,) if t is not None]
        if self.sent:
            times.append(self.probe_at())
            if min(self.sent) < self.largest_acked:
                times.append(min(s["at"] for s in self.sent.values()) + self.srtt * 9 / 8 + 0.0015)
        return min(times, default=now() + 1)

    def run(self, until, seconds):
        """Lets the connection live until a condition holds; says whether it does."""
        end = now() + seconds
        while not until():
            if now() >= end:
                return False
            self.flush()
            packet = self.wire.receive(min(end, self.timers()))
            while packet is not None:
                self.take(packet)
                packet = self.wire.receive(0)
            if self.closed:
                raise self.closed
            self.find_lost()
            if self.sent and now() >= self.probe_at():    # a probe timeout: send the oldest again, past the window
                self.timeouts, self.probe = self.timeouts + 1, 2
                self.send_again(min(self.sent))
        return True

    # ------------------------------------------------ what the application asks for

    def under_way(self, stream):
        """Is anything of a stream's not acknowledged yet?"""
        items = self.queue + [i for s in self.sent.values() for i in s["items"]]
        return any(i[0] in ("stream", "stop", "reset") and i[1] == stream for i in items)

    def ping(self, seconds=5):
        """Until one is acknowledged. A ping that is lost is not repeated: the next one does."""
        end = now() + seconds
        while now() < end:
            number = self.seal(b"\x01", [("ping",)], ACKNOWLEDGE_NOW)
            if self.run(lambda: number in self.acknowledged, 0.25):
                return True
        return False

    def change_keys(self):
        """"Data packet": not before something sealed with the key in use was acknowledged, nor within three probe timeouts."""
        if not self.generation_acknowledged and not self.ping():
            return False
        self.run(lambda: False, max(0, self.changed + 3 * self.probe_timeout() - now()))
        self.generation, self.generation_acknowledged, self.changed = self.generation + 1, False, now()
        return True

    def open_stream(self):
        number = 2 * len(self.streams)                    # bit 0: opened by the initiator
        if len(self.streams) >= self.stream_limit:
            raise ValueError("no credit for another stream")
        self.streams[number] = stream = Stream(number, self.stream_credit)
        return stream

    def close(self, code=0, reason=b""):
        self.seal(varint(0x1c) + varint(code) + varint(len(reason)) + reason, [])
        self.closed = Closed(code, "by us")


# ---------------------------------------------------------------- calls (Envelope.md)

HEADER, MESSAGE, TRAILER = 1, 2, 3
CBOR, JSON, RAW = 1, 2, 3
READ_ONLY, IDEMPOTENT, AT_MOST_ONCE = 0, 1, 2             # found by trial
OK, UNIMPLEMENTED, DEADLINE_EXCEEDED, INVALID_ARGUMENT = 0, 12, 4, 3      # gRPC's numbers


def method_number(path):
    """FNV-1a, 32 bits, of the path's UTF-8 ("echo.v1.Echo/say", no slash before it; found by trial)."""
    h = 0x811c9dc5
    for byte in path.encode():
        h = (h ^ byte) * 0x01000193 & 0xffffffff
    return h


def block(data):
    return varint(len(data)) + data


def envelope_frame(kind, payload):
    return bytes([kind]) + block(payload)


def call_header(path, codec=JSON, semantics=READ_ONLY, once=None, metadata=None):
    flags, optional = 0, b""
    if once:                                              # (session, sequence, how far behind it the first still needed is)
        flags, optional = 1, once[0] + varint(once[1]) + varint(once[2])
    if metadata:                                          # form found by trial: count, then names and values with lengths
        flags |= 2
        optional += varint(len(metadata)) + b"".join(block(n) + block(v) for n, v in metadata.items())
    return bytes([1, flags]) + method_number(path).to_bytes(4, "big") + bytes([codec, semantics]) + optional


class Call:
    """A call that has begun; `finish` waits for its end."""

    def __init__(self, connection, path, messages, codec=JSON, semantics=READ_ONLY, once=None, metadata=None,
                 deadline=None, end=True):
        header = call_header(path, codec, semantics, once, metadata)
        self.connection, self.codec, self.stream = connection, codec, connection.open_stream()
        if deadline is not None:
            self.stream.deadline = now() + deadline
        self.stream.out += envelope_frame(HEADER, header)
        for message in messages:
            self.send(message)
        self.stream.ended = end

    def send(self, message):
        text = json.dumps(message).encode() if self.codec == JSON else message
        self.stream.out += envelope_frame(MESSAGE, text)

    def cancel(self, code):
        """A reset for what we send, if it has not ended, and a stop for what the peer sends."""
        if not self.stream.ended:
            self.connection.queue.append(("reset", self.stream.number, code, self.stream.sent))
        self.connection.queue.append(("stop", self.stream.number, code))

    def finish(self, seconds=30):
        if not self.connection.run(self.stream.complete, seconds):
            raise TimeoutError("no answer")
        self.messages, self.status = [], None
        if self.stream.reset is not None:
            return self
        r = Reader(self.stream.data)
        while r.left():
            kind, payload = r.take(1)[0], r.take(r.varint())
            if self.status is not None or kind not in (MESSAGE, TRAILER) and kind < 0x20:
                raise ValueError("frame of kind %d where it may not be" % kind)
            if kind == MESSAGE:
                self.messages.append(json.loads(payload) if self.codec == JSON else payload)
            elif kind == TRAILER:
                t = Reader(payload)
                _, self.status, self.effect = t.take(3)
                self.incarnation, self.text = t.take(8), t.take(t.varint()).decode()
        if self.status is None:
            raise ValueError("a stream ended without a trailer")
        return self


# ---------------------------------------------------------------- the checks, against `mast echo`

SAY, SUM, COUNT, CHAT, WAIT, DRAW = ("echo.v1.Echo/" + name for name in ("say", "sum", "count", "chat", "wait", "draw"))
CANCELLED = 1                                             # a stop code; found by trial


def junk(connection_id):
    """What may be a data packet of a connection, for who does not know its keys."""
    return bytes([DATA]) + connection_id + os.urandom(4) + os.urandom(40)


class Checks:
    def __init__(self, options):
        self.options, self.failed, self.chance = options, 0, random.Random(options.seed)
        # Suite 3 is optional, and an initiation without a suite that the server takes is not answered at all.
        self.suites = {None: [1, 2, 3], 1: [1], 2: [2], 3: [3, 1, 2]}[options.suite]
        self.wires = []

    def wire(self):
        self.wires.append(Wire((self.options.host, self.options.port), self.options.loss, self.chance))
        return self.wires[-1]

    def connect(self):
        c = Connection(self.wire(), self.key, self.suites)
        if not c.handshake() or not c.ping():
            raise TimeoutError("no connection")
        return c

    def check(self, name, test):
        """`test` returns whether it holds and a note; what it raises is a failure."""
        try:
            holds, note = test()
        except (Closed, ValueError, TimeoutError, KeyError, IndexError) as error:
            holds, note = False, "%s: %s" % (type(error).__name__, error)
        self.failed += not holds
        print("%s  %s%s" % ("ok    " if holds else "FAILED", name, note and "  (%s)" % note), flush=True)
        return holds

    def call(self, *arguments, **options):
        return Call(self.c, *arguments, **options)

    # ------------------------------------------------ before there is a connection

    def find_key(self):
        self.key = ask_key(self.wire())
        return self.key is not None, self.key and base64.urlsafe_b64encode(self.key).decode().rstrip("=")

    def versions(self):
        """An initiation of version 99: its layout is ours only up to byte 17."""
        mine = os.urandom(8)
        packet = (bytes([INITIATION]) + bytes(8) + bytes([99]) + mine).ljust(DATAGRAM, b"\x55")
        answer = self.wire().ask(packet, lambda a: a[0] == VERSIONS and a[1:9] == mine, 0.5, 10)
        return answer is not None and answer[9] == 0 and 19 <= len(answer) <= 50 and VERSION in answer[18:], \
            answer and "speaks %s" % list(answer[18:])

    def unknown_id(self):
        unknown = bytes(4) + os.urandom(4)
        answer = self.wire().ask(junk(unknown), lambda a: a[0] == RESET and a[1:9] == unknown, 0.3, 12)
        return answer is not None and len(answer) == 25, ""

    def authenticated(self):
        self.c = Connection(self.wire(), self.key, self.suites)
        return self.c.handshake() and self.c.suite == self.suites[0] or self.c.suite in self.suites[1:], "suite %d" % self.c.suite

    def ping(self):
        return self.c.ping(), "%.1f ms smoothed" % (self.c.srtt * 1e3)

    def repeat(self):
        """The same initiation is answered with the same response, byte for byte."""
        c = Connection(self.wire(), self.key, self.suites)
        c.handshake()
        for _ in range(10):
            c.wire.send(c.initiation)
            if c.run(lambda: c.repeated is not None, 0.3):
                break
        same = c.repeated == c.response
        return same and c.ping(), ""

    def cookies(self):
        """Connections that stay half open, until an initiation is answered with a cookie: then one with the cookie opens."""
        for n in range(1000):
            half = Connection(self.wires[-1], self.key, self.suites)
            half.handshake(seconds=0.02)
            if half.cookie_replies:
                break
        for _ in range(5):
            c = self.connect()
            if c.cookie_replies:
                break
        return c.cookie_replies > 0, "after %d that were left half open" % n

    # ------------------------------------------------ calls

    def unary(self):
        call = self.call(SAY, [{"text": "héllo"}], metadata={b"name": b"value"}).finish()
        return call.status == OK and call.messages[0]["text"] == "héllo" and call.incarnation == self.c.peer[6], \
            "we are %s" % call.messages[0]["peerKey"]

    def cbor(self):
        call = self.call(SAY, [b"\xa1\x64text\x65hello"], codec=CBOR).finish()
        return call.status == OK and b"\x64text\x65hello" in call.messages[0], ""

    def raw(self):
        call = self.call(SAY, [b"bytes"], codec=RAW).finish()     # `mast echo` has no method that takes bytes, and says so
        return call.status == INVALID_ARGUMENT and not call.messages, call.text

    def unknown_method(self):
        call = self.call("echo.v1.Echo/nothing", [{}]).finish()
        return call.status == UNIMPLEMENTED and not call.messages, call.text

    def server_stream(self):
        call = self.call(COUNT, [{"from": 3, "to": 40, "paddingBytes": 500}]).finish()
        return call.status == OK and [m["value"] for m in call.messages] == list(range(3, 41)), "%d answers" % len(call.messages)

    def client_stream(self):
        call = self.call(SUM, [{"value": n} for n in range(100)], semantics=IDEMPOTENT).finish()
        return call.status == OK and call.messages == [{"numbers": 100, "total": 4950}], ""

    def both_stream(self):
        call = self.call(CHAT, [{"text": "one"}], end=False)
        first = self.c.run(lambda: len(call.stream.data) > 0, 10)         # answered before we end
        call.send({"text": "two"})
        call.stream.ended = True
        call.finish()
        return first and [m["text"] for m in call.messages] == ["one", "two"], ""

    def once(self):
        session = os.urandom(16)
        calls = [self.call(DRAW, [{}], semantics=AT_MOST_ONCE, once=(session, n, 0)).finish() for n in (1, 1, 2)]
        drawn = [c.messages[0]["number"] for c in calls]
        return drawn[0] == drawn[1] != drawn[2], "drew %s" % drawn

    def deadline(self):
        call = self.call(WAIT, [{"milliseconds": 20000}], deadline=0.3).finish(10)
        return call.status == DEADLINE_EXCEEDED or call.stream.reset is not None, \
            "status %s, reset %s" % (call.status, call.stream.reset)

    def cancel(self):
        call = self.call(WAIT, [{"milliseconds": 20000}])
        number = call.stream.number
        self.c.run(lambda: call.stream.end_sent and not self.c.under_way(number), 10)     # until it is all there
        call.cancel(CANCELLED)
        call.finish(10)
        return call.stream.reset == CANCELLED and self.c.ping(), "the connection lives on"

    def early_stop(self):
        """A stop that overtakes its stream's first bytes, as after a loss, counts all the same."""
        stream = self.c.open_stream()
        self.c.queue.append(("stop", stream.number, CANCELLED))
        self.c.run(lambda: not self.c.queue and not self.c.under_way(stream.number), 10)
        stream.out += envelope_frame(HEADER, call_header(WAIT)) + envelope_frame(MESSAGE, b'{"milliseconds":500}')
        stream.ended = True
        self.c.run(stream.complete, 10)
        return stream.reset == CANCELLED, "" if stream.reset is not None else "the call ran to its end"

    def malformed_call(self):
        """A frame that breaks the envelope's rules resets its stream, and the connection lives on."""
        call = self.call(SAY, [{"text": "x"}], semantics=9).finish()
        return call.stream.reset is not None and self.unary()[0], "reset code %d" % call.stream.reset

    def large(self):
        text, before = "0123456789abcdef" * (75 << 10), self.c.credit_updates     # 1.2 MB: more than either side's credit
        more = len(text) > self.c.stream_credit
        call = self.call(SAY, [{"text": text}]).finish(120)
        if call.status != OK:
            return False, "status %s, stream reset with %s" % (call.status, call.stream.reset)
        updates = self.c.credit_updates - before
        return call.status == OK and call.messages[0]["text"] == text and updates > 10, "%d bytes there and back, beyond %s" \
            " credit; new credit given %d times" % (len(text), "both sides'" if more else "our", updates)

    def many(self):
        calls, self.answers = self.options.calls, 0
        for start in range(0, calls, 16):                 # sixteen at once
            some = [(n, self.call(SAY, [{"text": str(n)}])) for n in range(start, min(start + 16, calls))]
            self.answers += sum(c.finish().status == OK and c.messages[0]["text"] == str(n) for n, c in some)
        return self.answers == calls, "%d calls" % calls

    # ------------------------------------------------ packets and keys

    def key_changes(self):
        for n in range(1, self.options.key_changes + 1):
            if not self.c.change_keys() or not self.unary()[0] or self.c.opened < n:
                return False, "at the change to generation %d" % n
        return True, "%d, and answers came under each" % self.options.key_changes

    def tampered(self):
        def flip(at):
            return lambda p: p[:at] + bytes([p[at] ^ ACKNOWLEDGE_NOW]) + p[at + 1:]
        spoiled = {self.c.seal(b"\x01", [("ping",)], spoil=flip(at)) for at in (0, 13, 29)}
        return self.c.ping() and self.c.ping() and not spoiled & self.c.acknowledged, "header, payload and tag"

    def wrong(self, code, payload):
        """The server's close is answer to a few packets, for three probe timeouts; who lost it all gets a reset, and asks anew."""
        def test():
            for _ in range(8):
                c = self.connect()
                try:
                    while True:
                        c.seal(payload(c), [("ping",)])
                        c.run(lambda: False, 0.01)
                except Closed as closed:
                    if closed.code != Closed.RESET:
                        return closed.code == code, str(closed)
            return False, "no close came"
        return test

    def clean_close(self):
        """After our close the server knows the connection no more: a packet for it is answered with the token of the handshake."""
        self.c.close()
        def reset(a):
            if a[0] & 0xfc == DATA:                       # our close was lost: say it again
                self.c.close()
            return a[0] == RESET and a[1:9] == self.c.peer_id
        answer = self.c.wire.ask(junk(self.c.peer_id), reset, 0.3, 3)
        if answer is None:
            self.c.close()
            answer = self.c.wire.ask(junk(self.c.peer_id), reset, 0.3, 12)
        return answer is not None and answer[9:] == self.c.token, "known by its reset token"

    def repaired(self):
        dropped = sum(w.dropped for w in self.wires)
        return dropped > 0 and self.c.retransmitted > 0, "%d datagrams dropped, %d frames of ours sent again" \
            % (dropped, self.c.retransmitted)

    # ------------------------------------------------

    def run(self):
        if self.options.key:
            self.key = base64.urlsafe_b64decode(self.options.key + "=" * (-len(self.options.key) % 4))
        elif not self.check("key query answered", self.find_key):
            return
        self.check("another version is answered with a list", self.versions)
        self.check("data packet with unknown ID is answered with a reset", self.unknown_id)
        if not self.check("handshake authenticated", self.authenticated) or not self.check("ping at once", self.ping):
            return
        self.check("repeated initiation, same response", self.repeat)
        self.check("unary call, JSON, with metadata", self.unary)
        self.check("unary call, CBOR", self.cbor)
        self.check("unary call, raw bytes", self.raw)
        self.check("unknown method", self.unknown_method)
        self.check("server stream", self.server_stream)
        self.check("client stream", self.client_stream)
        self.check("stream both ways", self.both_stream)
        self.check("same call id, same result", self.once)
        self.check("deadline", self.deadline)
        self.check("cancelled call", self.cancel)
        self.check("stop that comes before the stream's first bytes", self.early_stop)
        self.check("malformed call", self.malformed_call)
        self.check("calls, sixteen at once", self.many)
        self.check("key changes that we begin", self.key_changes)
        self.check("tampered packets ignored", self.tampered)
        self.check("large answer under flow control", self.large)
        self.check("clean close", self.clean_close)
        far = lambda c: b"\x02" + b"".join(map(varint, (0, c.next_number + 1000, 0, 0, 0)))
        stream = lambda number, offset, data, end=0: b"".join(map(varint, (0x08 | end, number, offset, len(data)))) + data
        self.check("unknown frame type closes with 0x07", self.wrong(0x07, lambda c: varint(0x3f)))
        self.check("reserved frame type closes with 0x07", self.wrong(0x07, lambda c: varint(0x14) + varint(0)))
        self.check("acknowledging what was never sent closes with 0x0A", self.wrong(0x0a, far))
        self.check("more than the credit closes with 0x03", self.wrong(0x03, lambda c: stream(0, c.stream_credit, b"x")))
        self.check("stream beyond the count closes with 0x04", self.wrong(0x04, lambda c: stream(2 * c.stream_limit, 0, b"x")))
        self.check("bytes beyond the final size close with 0x06",
                   self.wrong(0x06, lambda c: stream(0, 0, b"x", 1) + stream(0, 5, b"y")))
        self.check("cookie", self.cookies)
        if self.options.loss:
            self.check("loss was repaired", self.repaired)


def main():
    p = argparse.ArgumentParser(description="Checks a server of Mast's echo service from outside.")
    p.add_argument("host")
    p.add_argument("port", type=int)
    p.add_argument("--key", help="the server's key; without it, it is asked for and trusted")
    p.add_argument("--suite", type=int, choices=(1, 2, 3), help="offer only this one")
    p.add_argument("--loss", type=float, default=0, help="share of datagrams to drop, each way")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--key-changes", type=int, default=2)
    p.add_argument("--calls", type=int, default=100)
    checks = Checks(p.parse_args())
    checks.run()
    print("%s" % ("all checks hold" if not checks.failed else "%d failed" % checks.failed))
    sys.exit(checks.failed != 0)


if __name__ == "__main__":
    main()
