"""iroh: QUIC with relays off and addresses given; one bidirectional stream for each call."""
import asyncio, ctypes, importlib.metadata, json
import iroh
from iroh import iroh_ffi
import service

ALPN = b"mast-bench/1"


def read(self, size):
    """The binding's own `read` takes one byte at a time; one copy does the same."""
    if self.offset + size > self.len:
        raise iroh_ffi.InternalError("read past end of rust buffer")
    out = bytearray(size)
    if size:
        ctypes.memmove((ctypes.c_char * size).from_buffer(out), ctypes.addressof(self.data.contents) + self.offset, size)
    self.offset += size
    return bytes(out)


def write(self, value):
    """Likewise for what is sent."""
    value = bytes(value)
    with self._reserve(len(value)):
        if value:
            ctypes.memmove(ctypes.addressof(self.rbuf.data.contents) + self.rbuf.len, value, len(value))


iroh_ffi._UniffiRustBufferStream.read = read
iroh_ffi._UniffiRustBufferBuilder.write = write


class Stream:
    def __init__(self, both):
        self.sending, self.receiving = both.send(), both.recv()

    async def write(self, data):
        await self.sending.write_all(bytes(data))

    async def finish(self):
        await self.sending.finish()

    async def reset(self):
        await self.sending.reset(1)

    async def read(self):
        return await self.receiving.read(64 * 1024)


class Connection:
    def __init__(self, endpoint, connection):
        self.endpoint, self.connection = endpoint, connection

    async def open_stream(self):
        return Stream(await self.connection.open_bi())

    async def close(self):
        self.connection.close(0, b"")
        await self.endpoint.close()


class Iroh(service.Transport):
    def version(self):
        return {"name": "iroh", "version": importlib.metadata.version("iroh"), "encryption": "QUIC, TLS 1.3, both ends authenticated; it does not tell the cipher",
                "notes": "relays and discovery off; bytes that pass the Python binding copied at once"}

    async def bind(self, address):
        builder = iroh.EndpointBuilder()
        builder.apply_minimal()
        builder.relay_mode(iroh.RelayMode.disabled())
        builder.alpns([ALPN])
        builder.bind_addr(address)
        return await builder.bind()

    async def serve(self, host, port, handler):
        self.endpoint, self.tasks = await self.bind(f"{host}:{port}"), set()

        def start(work):
            task = asyncio.ensure_future(work)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

        async def connection(incoming):
            try:
                accepting = await incoming.accept()
                established = await accepting.connect()
                while True:
                    start(handler(Stream(await established.accept_bi())))
            except iroh.IrohError:
                pass  # the client is gone

        async def accept():
            while (incoming := await self.endpoint.accept_next()) is not None:
                start(connection(incoming))
        start(accept())
        return str(self.endpoint.id())

    async def connect(self, host, port, resume=False):
        endpoint = await self.bind("0.0.0.0:0")
        server = iroh.EndpointAddr(iroh.EndpointId.from_string(self.arguments.credential), None, [f"{host}:{port}"])
        return Connection(endpoint, await endpoint.connect(server, ALPN))


if __name__ == "__main__":
    service.main(Iroh())
