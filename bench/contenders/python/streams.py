"""Streams over one reliable ordered channel of messages or bytes: an id and a flag before each chunk."""
import asyncio, struct

PREFIX = struct.Struct(">IB")
DATA, END, RESET = 0, 1, 2


class Stream:
    def __init__(self, mux, id):
        self.mux, self.id, self.queue = mux, id, asyncio.Queue()

    async def write(self, data):
        view = memoryview(data)
        for start in range(0, len(view), self.mux.largest):
            await self.mux.send(PREFIX.pack(self.id, DATA) + bytes(view[start:start + self.mux.largest]))

    async def finish(self):
        await self.mux.send(PREFIX.pack(self.id, END))

    async def reset(self):
        await self.mux.send(PREFIX.pack(self.id, RESET))

    async def read(self):
        item = await self.queue.get()
        if isinstance(item, Exception):
            raise item
        if not item:
            self.mux.streams.pop(self.id, None)
        return item


class Mux:
    """`send(bytes)` is the channel's, and waits while the channel's own queue is full."""
    largest = 16 * 1024

    def __init__(self, send, close, handler=None):
        self.send, self.close, self.handler = send, close, handler
        self.streams, self.next, self.tasks = {}, 0, set()

    async def open_stream(self):
        self.next += 1
        stream = self.streams[self.next] = Stream(self, self.next)
        return stream

    def received(self, message):
        id, flag = PREFIX.unpack_from(message)
        stream = self.streams.get(id)
        if stream is None:
            if not self.handler:
                return
            stream = self.streams[id] = Stream(self, id)
            task = asyncio.ensure_future(self.handler(stream))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        if flag == DATA:
            stream.queue.put_nowait(bytes(message[PREFIX.size:]))
        else:
            stream.queue.put_nowait(b"" if flag == END else ConnectionError("the server gave up"))

    def lost(self):
        for stream in self.streams.values():
            stream.queue.put_nowait(ConnectionError("connection lost"))
