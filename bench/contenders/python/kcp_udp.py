"""KCP (PyPI's kcp) with its object driven directly over an asyncio datagram socket. Nothing is encrypted."""
import asyncio, importlib.metadata, random, struct, time
from kcp.extension import KCP
import service
from streams import Mux

QUEUE = 192  # packets sent or waiting in KCP's own queue before a sender waits: behind them nothing can be overtaken
WINDOW = 1024


class Session:
    def __init__(self, conversation, send, handler=None, greedy=False):
        self.loop = asyncio.get_running_loop()
        self.kcp = KCP(conversation, no_delay=True, update_interval=10, resend_count=2, no_congestion_control=greedy,
                       send_window_size=WINDOW, receive_window_size=WINDOW)
        self.kcp.include_outbound_handler(lambda _, data: send(bytes(data)))
        self.room, self.due, self.closed, self.flushing = asyncio.Event(), None, False, False
        self.turn = asyncio.Lock()
        self.mux = Mux(self.send, self.close, handler)
        self.began = time.monotonic()
        self.update()

    def milliseconds(self):
        return int((time.monotonic() - self.began) * 1000) + 1

    def update(self):
        if self.closed:
            return
        self.kcp.update(self.milliseconds())
        self.due = self.loop.call_later(0.01, self.update)
        if self.kcp.get_outbound_packets() < QUEUE:
            self.room.set()

    def flush(self):
        """KCP's advice for latency: flush after a write or a receipt, not only on the clock."""
        self.flushing = False
        if not self.closed:
            self.kcp.flush()
            if self.kcp.get_outbound_packets() < QUEUE:
                self.room.set()

    def soon(self):
        if not self.flushing:
            self.flushing = True
            self.loop.call_soon(self.flush)

    async def send(self, message):
        async with self.turn:  # first come, first served: else bulk, which waits all the time, always wins
            while self.kcp.get_outbound_packets() >= QUEUE:
                self.room.clear()
                await self.room.wait()
            self.kcp.enqueue(bytes(message))
            self.soon()

    def received(self, datagram):
        self.kcp.receive(datagram)
        while self.kcp.next_packet_available:
            self.mux.received(bytes(self.kcp.get_received()))
        self.soon()

    async def close(self):
        self.closed = True


class Socket(asyncio.DatagramProtocol):
    def __init__(self, received):
        self.datagram_received = received


class KCPOverUDP(service.Transport):
    def version(self):
        mode = getattr(getattr(self, "arguments", None), "mode", "default")
        return {"name": "kcp", "version": importlib.metadata.version("kcp"), "encryption": "none", "notes": f"driven from Python, mode {mode}"}

    async def serve(self, host, port, handler):
        sessions = {}

        def received(datagram, address):
            if len(datagram) < 24:
                return
            conversation, = struct.unpack_from("<I", datagram)
            session = sessions.get((address, conversation))
            if session is None:
                session = sessions[address, conversation] = Session(
                    conversation, lambda data: transport.sendto(data, address), handler, self.arguments.mode == "greedy")
            session.received(datagram)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Socket(received), local_addr=(host, port))
        self.socket = transport

    async def connect(self, host, port, resume=False):
        session = None
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Socket(lambda datagram, _: session.received(datagram)), remote_addr=(host, port))
        session = Session(random.getrandbits(31), transport.sendto, None, self.arguments.mode == "greedy")
        return session.mux


def options(parser):
    parser.add_argument("--mode", choices=["default", "greedy"], default="default", help="greedy: KCP's no-congestion-control")


if __name__ == "__main__":
    service.main(KCPOverUDP(), options)
