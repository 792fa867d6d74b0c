"""A QUIC stack in C through ctypes (the interface of c/*_shim.c): one QUIC connection, one bidirectional stream for each call."""
import asyncio, ctypes, os, weakref
import certificate, service

HIGH, ROOM, EVENTS = 256 * 1024, 64 * 1024, 256
NEW, READABLE, WRITABLE = 1, 2, 4
CONNECTING, CONNECTED, LOST = range(3)
END = -1


class Event(ctypes.Structure):
    _fields_ = [("stream", ctypes.c_void_p), ("changes", ctypes.c_uint)]


library = None


def load(name):
    global library
    library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"../../.peers/lib{name}_shim.so"))
    for name, result, *parameters in [
        ("quic_server", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p),
        ("quic_client", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t),
        ("quic_close", None, ctypes.c_void_p), ("quic_descriptor", ctypes.c_int, ctypes.c_void_p), ("quic_state", ctypes.c_int, ctypes.c_void_p),
        ("quic_resumed", ctypes.c_int, ctypes.c_void_p), ("quic_ticket", ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t),
        ("quic_service", ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Event), ctypes.c_int),
        ("quic_open", ctypes.c_void_p, ctypes.c_void_p), ("quic_write", ctypes.c_long, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t),
        ("quic_read", ctypes.c_long, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t),
        ("quic_finish", None, ctypes.c_void_p), ("quic_reset", None, ctypes.c_void_p), ("quic_release", None, ctypes.c_void_p),
        ("quic_version", ctypes.c_char_p), ("quic_cipher", ctypes.c_char_p, ctypes.c_void_p),
    ]:
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters


def wake(waiter):
    if waiter and not waiter.done():
        waiter.set_result(None)


class Stream:
    data = room = None

    def __init__(self, endpoint, handle):
        self.endpoint, self.handle = endpoint, handle
        endpoint.streams[handle] = self

    def __del__(self):
        library.quic_release(self.handle)
        self.endpoint.schedule()

    async def write(self, data):
        unsent = library.quic_write(self.handle, data, len(data))
        self.endpoint.schedule()
        while unsent > HIGH:
            self.room = self.endpoint.loop.create_future()
            await self.room
            unsent = library.quic_write(self.handle, b"", 0)
        if unsent < 0:
            raise ConnectionError("the stream takes no more")

    async def finish(self):
        library.quic_finish(self.handle)
        self.endpoint.schedule()

    async def reset(self):
        library.quic_reset(self.handle)
        self.endpoint.schedule()

    async def read(self):
        buffer = self.endpoint.buffer
        while not (count := library.quic_read(self.handle, buffer, ROOM)):
            self.data = self.endpoint.loop.create_future()
            await self.data
        if count > 0:
            self.endpoint.schedule()  # the window has grown
            return ctypes.string_at(buffer, count)
        if count != END:
            raise ConnectionError("stream reset or connection lost")
        return b""


class Endpoint:
    """The shim's socket and timer are one descriptor; what asyncio's tasks wrote goes out once they all had their turn."""
    def __init__(self, handle, handler=None):
        if not handle:
            raise OSError("ngtcp2 made no endpoint")
        self.handle, self.handler, self.scheduled, self.state = handle, handler, False, CONNECTING
        self.streams, self.tasks = weakref.WeakValueDictionary(), set()
        self.buffer, self.events = ctypes.create_string_buffer(ROOM), (Event * EVENTS)()
        self.loop = asyncio.get_running_loop()
        self.settled = self.loop.create_future()
        self.loop.add_reader(library.quic_descriptor(handle), self.service)
        self.schedule()

    def schedule(self):
        if self.handle and not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.service)

    def service(self):
        self.scheduled = False
        if not self.handle:
            return
        count = library.quic_service(self.handle, self.events, EVENTS)
        for event in self.events[:count]:
            if event.changes & NEW:
                self.accept(Stream(self, event.stream))
            elif stream := self.streams.get(event.stream):
                if event.changes & READABLE:
                    wake(stream.data)
                if event.changes & WRITABLE:
                    wake(stream.room)
        if count == EVENTS:
            self.schedule()
        if not self.handler and library.quic_state(self.handle) != CONNECTING:
            wake(self.settled)

    def accept(self, stream):
        if not self.handler:
            return  # dropped, and so reset
        task = self.loop.create_task(self.handler(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def open_stream(self):
        while not (handle := library.quic_open(self.handle)):
            if library.quic_state(self.handle) == LOST:
                raise ConnectionError("connection lost")
            await asyncio.sleep(0.001)  # the peer's limit of streams
        return Stream(self, handle)

    async def close(self):
        if self.handle:
            self.loop.remove_reader(library.quic_descriptor(self.handle))
            library.quic_close(self.handle)
            self.handle = None


class ShimmedQUIC(service.Transport):
    """`load` first."""
    ticket, resumed, cipher = b"", 0, None

    def details(self):
        return {"congestionControl": self.arguments.congestion, "resumedConnections": self.resumed} | ({"cipher": self.cipher} if self.cipher else {})

    async def serve(self, host, port, handler):
        key, chain = certificate.make()
        self.endpoint = Endpoint(library.quic_server(host.encode(), port, key.encode(), chain.encode(), self.arguments.congestion.encode()), handler)
        return chain

    async def connect(self, host, port, resume=False):
        ticket = self.ticket if resume else b""
        endpoint = Endpoint(library.quic_client(host.encode(), port, self.arguments.credential.encode(), self.arguments.congestion.encode(), ticket, len(ticket)))
        await endpoint.settled
        if library.quic_state(endpoint.handle) == LOST:
            await endpoint.close()
            raise ConnectionError("no connection")
        self.cipher = library.quic_cipher(endpoint.handle).decode()
        return Connection(self, endpoint)


class Connection:
    def __init__(self, transport, endpoint):
        self.transport, self.endpoint, self.open_stream = transport, endpoint, endpoint.open_stream

    async def close(self):
        endpoint, transport = self.endpoint, self.transport
        if endpoint.handle:
            transport.resumed += library.quic_resumed(endpoint.handle)
            size = library.quic_ticket(endpoint.handle, endpoint.buffer, ROOM)
            transport.ticket = endpoint.buffer.raw[:size] or transport.ticket
        await endpoint.close()
