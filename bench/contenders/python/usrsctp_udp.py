"""usrsctp (Debian's 0.9.5) through ctypes: SCTP over UDP, the streams' messages spread over SCTP's streams. Nothing is encrypted."""
import asyncio, ctypes, os, subprocess
import service
from streams import Mux, PREFIX

library = ctypes.CDLL(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.peers/libusrsctp_shim.so"))
CONNECTED, MESSAGE, WRITABLE, LOST = range(1, 5)
SMALL = 1024  # does not queue up behind bulk


class Event(ctypes.Structure):
    _fields_ = [("connection", ctypes.c_void_p), ("type", ctypes.c_int), ("stream", ctypes.c_uint32), ("data", ctypes.c_void_p),
                ("size", ctypes.c_size_t)]


for name, result, *parameters in [
    ("shim_start", ctypes.c_int), ("shim_server", ctypes.c_int, ctypes.c_char_p, ctypes.c_int),
    ("shim_client", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int), ("shim_close", None, ctypes.c_void_p),
    ("shim_service", ctypes.c_int, ctypes.POINTER(ctypes.POINTER(Event))),
    ("shim_send", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t),
]:
    function = getattr(library, name)
    function.restype, function.argtypes = result, parameters


class Connection:
    def __init__(self, stack, handle, handler=None):
        self.stack, self.handle = stack, handle
        self.mux = Mux(self.send, self.close, handler)
        self.open_stream = self.mux.open_stream
        self.settled = asyncio.get_running_loop().create_future()
        self.room, self.turn = asyncio.Event(), asyncio.Lock()
        stack.connections[handle] = self

    async def send(self, message):
        if len(message) <= SMALL:
            return await self.give(message)
        async with self.turn:  # first come, first served
            await self.give(message)

    async def give(self, message):
        id = PREFIX.unpack_from(message)[0]
        while self.handle:
            taken = library.shim_send(self.handle, id, message, len(message))
            if taken > 0:
                return
            if taken < 0:
                break
            self.room.clear()
            await self.room.wait()
        raise ConnectionError("connection lost")

    async def close(self):
        self.drop()

    def drop(self):
        if not self.handle:
            return
        self.stack.connections.pop(self.handle)
        library.shim_close(self.handle)
        self.handle = None
        self.room.set()
        self.mux.lost()
        if not self.settled.done():
            self.settled.set_result(False)


class Stack:
    """usrsctp is one for the process; its sockets and its timer are one descriptor on asyncio's loop."""
    def __init__(self, handler=None):
        self.connections, self.handler, self.events = {}, handler, ctypes.POINTER(Event)()
        descriptor = library.shim_start()
        if descriptor < 0:
            raise OSError("usrsctp does not start")
        asyncio.get_running_loop().add_reader(descriptor, self.service)

    def service(self):
        for event in self.events[:library.shim_service(ctypes.byref(self.events))]:
            connection = self.connections.get(event.connection)
            if event.type == MESSAGE:
                if not connection:
                    continue
                if event.size < PREFIX.size:
                    connection.drop()
                else:
                    connection.mux.received(ctypes.string_at(event.data, event.size))
            elif event.type == WRITABLE:
                if connection:
                    connection.room.set()
            elif event.type == LOST:
                if connection:
                    connection.drop()
            elif connection:
                connection.settled.set_result(True)
            elif self.handler:
                Connection(self, event.connection, self.handler)


class SCTP(service.Transport):
    stack = None

    def version(self):
        try:
            version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "libusrsctp2"], capture_output=True, text=True).stdout
        except OSError:
            version = ""
        return {"name": "sctp", "version": version or "unknown", "encryption": "none", "notes": "usrsctp over UDP, driven from Python"}

    async def serve(self, host, port, handler):
        self.stack = Stack(handler)
        if library.shim_server(host.encode(), port) < 0:
            raise OSError("usrsctp does not listen")

    async def connect(self, host, port, resume=False):
        self.stack = self.stack or Stack()
        handle = library.shim_client(host.encode(), port)
        if not handle:
            raise OSError("usrsctp made no connection")
        connection = Connection(self.stack, handle)
        try:
            if not await connection.settled:
                raise ConnectionError("no connection")
        except BaseException:
            connection.drop()
            raise
        return connection


if __name__ == "__main__":
    service.main(SCTP())
