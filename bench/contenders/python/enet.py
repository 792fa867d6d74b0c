"""ENet (Debian's libenet 1.3) through ctypes: reliable packets on one channel. Nothing is encrypted."""
import asyncio, ctypes, os, socket
import service
from streams import Mux

library = ctypes.CDLL("libenet.so.7")
CONNECT, DISCONNECT, RECEIVE = 1, 2, 3


class Address(ctypes.Structure):
    _fields_ = [("host", ctypes.c_uint32), ("port", ctypes.c_uint16)]


class Packet(ctypes.Structure):
    _fields_ = [("references", ctypes.c_size_t), ("flags", ctypes.c_uint32), ("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Event(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("peer", ctypes.c_void_p), ("channel", ctypes.c_uint8), ("data", ctypes.c_uint32),
                ("packet", ctypes.POINTER(Packet))]


for name, result, *parameters in [
    ("enet_host_create", ctypes.c_void_p, ctypes.POINTER(Address), ctypes.c_size_t, ctypes.c_size_t, ctypes.c_uint32, ctypes.c_uint32),
    ("enet_host_connect", ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(Address), ctypes.c_size_t, ctypes.c_uint32),
    ("enet_host_service", ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Event), ctypes.c_uint32),
    ("enet_host_flush", None, ctypes.c_void_p), ("enet_host_destroy", None, ctypes.c_void_p),
    ("enet_packet_create", ctypes.POINTER(Packet), ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32),
    ("enet_packet_destroy", None, ctypes.POINTER(Packet)),
    ("enet_peer_send", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint8, ctypes.POINTER(Packet)),
    ("enet_peer_disconnect_now", None, ctypes.c_void_p, ctypes.c_uint32),
    ("enet_linked_version", ctypes.c_uint32),
]:
    function = getattr(library, name)
    function.restype, function.argtypes = result, parameters

RELIABLE = 1
WINDOW = 12  # packets of 16 KiB handed over and not yet freed: ENet has at most 64 KiB under way, what waits beyond cannot be overtaken


class Host:
    """One ENet host on asyncio's loop: its socket wakes it, and a tick of 5 ms for what is due by time."""
    def __init__(self, address, peers, handler=None):
        library.enet_initialize()
        self.host = library.enet_host_create(ctypes.byref(address) if address else None, peers, 1, 0, 0)
        if not self.host:
            raise OSError("ENet made no host")
        self.handler, self.peers, self.connected, self.event, self.pending = handler, {}, {}, Event(), {}
        self.room = asyncio.Event()
        self.flushing = False
        self.descriptor = ctypes.cast(self.host, ctypes.POINTER(ctypes.c_int))[0]
        self.loop = asyncio.get_running_loop()
        self.loop.add_reader(self.descriptor, self.service)
        self.ticking = asyncio.ensure_future(self.tick())

    async def tick(self):
        while True:
            await asyncio.sleep(0.005)
            self.service()

    def flush(self):
        self.flushing = False
        library.enet_host_flush(self.host)

    def attach(self, peer):
        pending = self.pending[peer] = []
        turn = asyncio.Lock()

        async def send(message):
            async with turn:  # first come, first served: else bulk, which waits all the time, always wins
                while peer in self.pending and len(pending) >= WINDOW:
                    self.room.clear()
                    await self.room.wait()
                if peer not in self.pending:
                    raise ConnectionError("connection lost")
                give(message)

        def give(message):
            packet = library.enet_packet_create(message, len(message), RELIABLE)
            packet.contents.references += 1  # ours, so that it is told when ENet let go of it
            if library.enet_peer_send(peer, 0, packet) < 0:
                raise OSError("ENet took no packet")
            pending.append(packet)
            if not self.flushing:
                self.flushing = True
                self.loop.call_soon(self.flush)

        async def close():
            library.enet_peer_disconnect_now(peer, 0)
            self.stop()
        self.peers[peer] = mux = Mux(send, close, self.handler)
        return mux

    def stop(self):
        self.ticking.cancel()
        self.loop.remove_reader(self.descriptor)
        library.enet_host_destroy(self.host)

    def service(self):
        event = self.event
        for _ in range(256):
            if library.enet_host_service(self.host, ctypes.byref(event), 0) <= 0:
                break
            if event.type == CONNECT:
                mux = self.attach(event.peer)
                if event.peer in self.connected:
                    self.connected.pop(event.peer).set_result(mux)
            elif event.type == DISCONNECT:
                self.pending.pop(event.peer, None)
                if mux := self.peers.pop(event.peer, None):
                    mux.lost()
            elif event.type == RECEIVE:
                packet = event.packet.contents
                self.peers[event.peer].received(ctypes.string_at(packet.data, packet.length))
                library.enet_packet_destroy(event.packet)
        for pending in self.pending.values():
            kept = 0
            while kept < len(pending) and pending[kept].contents.references <= 1:
                library.enet_packet_destroy(pending[kept])
                kept += 1
            del pending[:kept]
        self.room.set()


def address_of(host, port):
    return Address(int.from_bytes(socket.inet_aton(host), "little"), port)


class ENet(service.Transport):
    def version(self):
        number = library.enet_linked_version()
        return {"name": "enet", "version": f"{number >> 16}.{number >> 8 & 255}.{number & 255}", "encryption": "none",
                "notes": "reliable packets, one channel, driven from Python"}

    async def serve(self, host, port, handler):
        self.host = Host(address_of(host, port), 64, handler)

    async def connect(self, host, port, resume=False):
        enet = Host(None, 1)
        target = address_of(host, port)
        peer = library.enet_host_connect(enet.host, ctypes.byref(target), 1, 0)
        enet.connected[peer] = asyncio.get_running_loop().create_future()
        library.enet_host_flush(enet.host)
        return await enet.connected[peer]


if __name__ == "__main__":
    service.main(ENet())
