"""TLS 1.3 over kernel TCP, chunks of many streams framed by their length."""
import asyncio, socket, ssl, struct
import certificate, service
from streams import Mux

LENGTH = struct.Struct(">I")


class TLSOverTCP(service.Transport):
    resumes = False  # asyncio offers no way to hand over a session

    def version(self):
        return {"name": "tls-tcp", "version": ssl.OPENSSL_VERSION, "encryption": "TLS 1.3", "notes": "kernel TCP, TCP_NODELAY, one connection"}

    def details(self):
        said = {"congestionControl": self.readBack} if hasattr(self, "readBack") else {}
        return said | ({"cipher": self.cipher} if hasattr(self, "cipher") else {})

    def prepare(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, self.arguments.congestion.encode())
        connection.setsockopt(socket.IPPROTO_TCP, 25, 128 * 1024)  # TCP_NOTSENT_LOWAT: what waits, waits where it can be overtaken
        self.readBack = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).split(b"\0")[0].decode()
        if self.readBack != self.arguments.congestion:
            raise OSError(f"the kernel uses {self.readBack}")

    def attach(self, reader, writer, handler=None):
        lock = asyncio.Lock()
        writer.transport.set_write_buffer_limits(high=128 * 1024)

        async def send(message):
            async with lock:
                writer.write(LENGTH.pack(len(message)) + message)
                await writer.drain()

        async def close():
            task.cancel()
            writer.transport.abort() if handler else writer.close()
        mux = Mux(send, close, handler)

        async def receive():
            try:
                while True:
                    mux.received(await reader.readexactly(LENGTH.unpack(await reader.readexactly(4))[0]))
            except (OSError, asyncio.IncompleteReadError, ssl.SSLError):
                mux.lost()
        task = asyncio.ensure_future(receive())
        mux.receiving = task
        return mux

    async def serve(self, host, port, handler):
        key, chain = certificate.make()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(chain, key)
        self.muxes = set()

        def accepted(reader, writer):
            self.prepare(writer.get_extra_info("socket"))
            self.muxes.add(mux := self.attach(reader, writer, handler))
            mux.receiving.add_done_callback(lambda _: (self.muxes.discard(mux), writer.close()))
        self.server = await asyncio.start_server(accepted, host, port, ssl=context, limit=1 << 20)
        return chain

    async def connect(self, host, port, resume=False):
        if not hasattr(self, "context"):
            self.context = ssl.create_default_context(cafile=self.arguments.credential)
            self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.prepare(connection)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
        reader, writer = await asyncio.open_connection(sock=connection, ssl=self.context, server_hostname="bench", limit=1 << 20)
        self.cipher = writer.get_extra_info("cipher")[0]
        return self.attach(reader, writer)


def options(parser):
    parser.add_argument("--congestion", default="cubic")


if __name__ == "__main__":
    service.main(TLSOverTCP(), options)
