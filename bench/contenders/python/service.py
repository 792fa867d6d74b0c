"""The echo and transfer service, the workloads and the records, the same for every contender written in Python.

A contender brings streams: `open_stream()` gives an object with `write`, `finish`, `read`; everything else is here.
"""
import argparse, asyncio, gc, json, math, struct, sys, time

HEADER = struct.Struct(">cQQII")  # operation, seed, size, messages, microseconds between messages
PERIOD = 65521  # a prime, so that a chunk in the wrong place never matches
CHUNK = 32 * 1024
PATIENCE = 30.0
MASK = (1 << 64) - 1
ENDLESS = 1 << 40  # bytes of a transfer that only time ends
SLICE = 1_000_000_000  # nanoseconds that one record of such a transfer covers


def mixed(state):
    """SplitMix64's output for a state."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class Pattern:
    """Byte i is block[i mod PERIOD]; the block is SplitMix64 of the seed, little-endian."""
    cache = {}

    def __new__(cls, seed):
        if seed not in cls.cache:
            cls.cache[seed] = super().__new__(cls)
            cls.cache[seed].fill(seed)
        return cls.cache[seed]

    def fill(self, seed):
        state, words = seed, []
        for _ in range(PERIOD // 8 + 1):
            state = (state + 0x9E3779B97F4A7C15) & MASK
            words.append(mixed(state))
        block = struct.pack(f"<{len(words)}Q", *words)[:PERIOD]
        self.blocks = block * 3  # any CHUNK at any phase is one slice

    def slice(self, offset, count):
        phase = offset % PERIOD
        if phase + count <= len(self.blocks):
            return self.blocks[phase:phase + count]
        out = bytearray()
        while len(out) < count:
            out += self.slice(offset + len(out), min(PERIOD, count - len(out)))
        return bytes(out)

    def matches(self, offset, data):
        return self.slice(offset, len(data)) == bytes(data)


class Reader:
    """Exact reads over a stream of chunks."""
    def __init__(self, stream):
        self.stream, self.buffer, self.ended = stream, bytearray(), False

    async def exactly(self, count):
        while len(self.buffer) < count:
            data = await self.stream.read()
            if not data:
                raise EOFError(f"the stream ended {count - len(self.buffer)} bytes early")
            self.buffer += data
        out = bytes(self.buffer[:count])
        del self.buffer[:count]
        return out

    async def some(self):
        if self.buffer:
            out, self.buffer = bytes(self.buffer), bytearray()
            return out
        return await self.stream.read()


async def send_pattern(stream, seed, size):
    pattern, offset = Pattern(seed), 0
    while offset < size:
        count = min(CHUNK, size - offset)
        await stream.write(pattern.slice(offset, count))
        offset += count


async def expect_pattern(reader, seed, size):
    """Compares every byte; the stream must also end exactly there."""
    pattern, offset = Pattern(seed), 0
    while True:
        data = await reader.some()
        if not data:
            break
        if not pattern.matches(offset, data):
            raise ValueError(f"wrong bytes near {offset}")
        offset += len(data)
    if offset != size:
        raise ValueError(f"{offset} bytes instead of {size}")


async def serve_stream(stream):
    reader = Reader(stream)
    operation, seed, size, count, pause = HEADER.unpack(await reader.exactly(HEADER.size))
    if operation == b"E":
        await stream.write(await reader.exactly(size))
    elif operation == b"U":
        await expect_pattern(reader, seed, size)
        await stream.write(struct.pack(">Q", size))
    elif operation == b"D":
        await send_pattern(stream, seed, size)
    elif operation == b"S":
        began = time.monotonic()
        for index in range(count):
            await asyncio.sleep(max(0, began + index * pause / 1e6 - time.monotonic()))
            await stream.write(Pattern(seed).slice(index * size, size))
    await stream.finish()


class Client:
    def __init__(self, transport, address, workload, records):
        self.transport, self.address, self.workload, self.records = transport, address, workload, records
        self.connection, self.calls, self.failed, self.first_failure = None, 0, 0, None

    async def timed(self, kind, up, down, work, intended=None):
        start = time.monotonic_ns()
        try:
            await asyncio.wait_for(work, PATIENCE)
            ok = 1
        except Exception as error:
            ok = 0
            self.failed += 1
            self.first_failure = self.first_failure or f"{type(error).__name__}: {error}"
        end = time.monotonic_ns()
        self.calls += 1
        self.records.write(f"{kind},{intended or start},{start},{end},{ok},{up if ok else 0},{down if ok else 0}\n")
        return ok

    async def echo(self, connection=None):
        size, seed = self.workload["payload"], self.workload["seed"]
        request = Pattern(seed).slice(self.calls * 7919, size)
        stream = await (connection or self.connection).open_stream()
        await stream.write(HEADER.pack(b"E", seed, size, 0, 0) + request)
        await stream.finish()
        reader = Reader(stream)
        if await reader.exactly(size) != request:
            raise ValueError("the answer is not the request")
        if await reader.some():
            raise ValueError("bytes after the answer")

    async def upload(self):
        size, seed = self.workload["bytes"], self.workload["seed"]
        stream = await self.connection.open_stream()
        await stream.write(HEADER.pack(b"U", seed, size, 0, 0))
        await send_pattern(stream, seed, size)
        await stream.finish()
        if struct.unpack(">Q", await Reader(stream).exactly(8))[0] != size:
            raise ValueError("the server did not get every byte")

    async def download(self):
        size, seed = self.workload["bytes"], self.workload["seed"]
        stream = await self.connection.open_stream()
        await stream.write(HEADER.pack(b"D", seed, size, 0, 0))
        await stream.finish()
        await expect_pattern(Reader(stream), seed, size)

    async def call(self, intended=None):
        return await self.timed("call", self.workload["payload"], self.workload["payload"], self.echo(), intended)

    async def unary(self):
        until = time.monotonic() + self.workload["seconds"]

        async def caller():
            while time.monotonic() < until:
                await self.call()
        await asyncio.gather(*(caller() for _ in range(self.workload["inFlight"])))

    async def open(self):
        """Poisson arrivals, the same for every contender with the same seed."""
        state, due, tasks = self.workload["seed"], time.monotonic(), []
        until = due + self.workload["seconds"]
        while True:
            state = (state + 0x9E3779B97F4A7C15) & MASK
            due += -math.log(((mixed(state) >> 11) + 1) / (1 << 53)) / self.workload["rate"]
            if due >= until:
                break
            await asyncio.sleep(max(0, due - time.monotonic()))
            tasks.append(asyncio.create_task(self.call(int(due * 1e9))))
        await asyncio.gather(*tasks)

    async def bulk_up(self):
        await self.timed("bulk", self.workload["bytes"], 0, self.upload())

    async def bulk_down(self):
        await self.timed("bulk", 0, self.workload["bytes"], self.download())

    async def share(self):
        """What a download gets through in the time given: a record for each second, which is one call."""
        size, seed = ENDLESS, self.workload["seed"]
        start = time.monotonic_ns()
        until, got, counted = start + int(self.workload["seconds"] * 1e9), 0, 0
        self.calls += 1
        try:
            stream = await self.connection.open_stream()
            await stream.write(HEADER.pack(b"D", seed, size, 0, 0))
            await stream.finish()
            pattern, reader = Pattern(seed), Reader(stream)
            async with asyncio.timeout(self.workload["seconds"] + PATIENCE):
                while start < until:
                    data = await reader.some()
                    if not data or not pattern.matches(got, data):
                        raise ValueError(f"wrong bytes near {got}")
                    got += len(data)
                    now = time.monotonic_ns()
                    if now >= min(start + SLICE, until):
                        self.records.write(f"bulk,{start},{start},{now},1,0,{got - counted}\n")
                        start, counted = now, got
        except Exception as error:
            self.failed += 1
            self.first_failure = self.first_failure or f"{type(error).__name__}: {error}"
            self.records.write(f"bulk,{start},{start},{time.monotonic_ns()},0,0,0\n")

    async def idle(self):
        """Many connections that do nothing."""
        held = []
        for _ in range(self.workload["connections"]):
            connection = await asyncio.wait_for(self.transport.connect(*self.address), PATIENCE)
            await self.timed("call", self.workload["payload"], self.workload["payload"], self.echo(connection))
            held.append(connection)
        await asyncio.sleep(self.workload["seconds"])

    async def call_during_bulk(self):
        await asyncio.gather(self.share(), self.open())

    async def stream(self):
        w = self.workload
        stream = await self.connection.open_stream()
        pause = int(1e6 / w["rate"])
        count = max(1, int(w["seconds"] * w["rate"]))
        await stream.write(HEADER.pack(b"S", w["seed"], w["payload"], count, pause))
        await stream.finish()
        reader, start = Reader(stream), time.monotonic_ns()

        async def message(index):
            if await reader.exactly(w["payload"]) != Pattern(w["seed"]).slice(index * w["payload"], w["payload"]):
                raise ValueError(f"message {index} is wrong")
        for index in range(count):
            if not await self.timed("message", 0, w["payload"], message(index), start + index * pause * 1000):
                break

    async def setup(self):
        """A new connection and one answered call, again and again."""
        resume = self.workload.get("resumed", False)
        until = time.monotonic() + self.workload["seconds"]

        async def once():
            connection = await self.transport.connect(*self.address, resume=resume)
            try:
                await self.echo(connection)
            finally:
                await connection.close()
        while time.monotonic() < until:
            await self.timed("setup", self.workload["payload"], self.workload["payload"], once())

    async def run(self):
        kind = self.workload["kind"]
        if kind == "setup":
            if self.workload.get("resumed") and not self.transport.resumes:
                return {"unsupported": "no resumption"}
        elif kind != "idle":
            self.connection = await asyncio.wait_for(self.transport.connect(*self.address), PATIENCE)
            await asyncio.wait_for(self.echo(), PATIENCE)  # so that set-up is not measured
        before = time.process_time()
        await getattr(self, kind.replace("-", "_"))()
        spent = time.process_time() - before
        if self.connection:
            try:
                await asyncio.wait_for(self.connection.close(), 2)
            except Exception:
                pass  # what counts has been counted
        return {"cpuSeconds": spent, "calls": self.calls, "failed": self.failed, "firstFailure": self.first_failure,
                "verified": self.failed == 0 and self.calls > 0}


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


def main(transport, options=lambda parser: None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="store_true")
    commands = parser.add_subparsers(dest="command")
    server = commands.add_parser("server")
    server.add_argument("--listen", type=address, required=True)
    client = commands.add_parser("client")
    client.add_argument("--connect", type=address, required=True)
    client.add_argument("--workload", type=json.loads, required=True)
    client.add_argument("--records", required=True)
    client.add_argument("--credential", default="")
    for command in (server, client):
        options(command)
    arguments = parser.parse_args()
    if arguments.version or not arguments.command:
        print(json.dumps(transport.version()))
        return
    transport.arguments = arguments
    gc.freeze()

    async def handler(stream):
        try:
            await serve_stream(stream)
        except Exception as error:
            print(f"server: {type(error).__name__}: {error}", file=sys.stderr)
            await stream.reset()

    async def serve():
        credential = await transport.serve(*arguments.listen, handler)
        print(json.dumps({"ready": True, "credential": credential or ""}), flush=True)
        # Standard input closes when the harness ends, however it ends.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def run():
        with open(arguments.records, "w") as records:
            records.write("kind,intendedNs,startNs,endNs,ok,bytesUp,bytesDown\n")
            workload = {"payload": 64, "inFlight": 1, "seconds": 1, "seed": 1, "rate": 100, "bytes": 1_000_000, "connections": 100} | arguments.workload
            try:
                summary = await Client(transport, arguments.connect, workload, records).run()
            except Exception as error:
                summary = {"verified": False, "failed": 1, "calls": 0, "firstFailure": f"{type(error).__name__}: {error}"}
        print(json.dumps(summary | {"details": transport.details()}), flush=True)
    asyncio.run(serve() if arguments.command == "server" else run())
    sys.stdout.flush()
    import os
    os._exit(0)  # a contender's own threads must not hold the process


class Transport:
    resumes = False

    def details(self):
        """What the run itself read back, such as the congestion control in force."""
        return {}
