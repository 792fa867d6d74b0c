"""aioquic: one QUIC connection, one bidirectional stream for each call."""
import asyncio, importlib.metadata, ssl
from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
import certificate, service

ALPN = ["bench"]
HIGH = 256 * 1024


class Stream:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def write(self, data):
        self.writer.write(bytes(data))
        # aioquic buffers without a bound: a sender waits until what is queued on the stream has become little.
        protocol = self.writer.transport.protocol
        stream = protocol._quic._streams.get(self.writer.get_extra_info("stream_id"))
        while stream and len(stream.sender._buffer) > HIGH:
            await asyncio.sleep(0.001)

    async def finish(self):
        self.writer.write_eof()

    async def reset(self):
        protocol = self.writer.transport.protocol
        protocol._quic.reset_stream(self.writer.get_extra_info("stream_id"), 1)
        protocol.transmit()

    async def read(self):
        return await self.reader.read(64 * 1024)


class Connection:
    def __init__(self, context, protocol):
        self.context, self.protocol = context, protocol

    async def open_stream(self):
        return Stream(*await self.protocol.create_stream())

    async def close(self):
        await self.context.__aexit__(None, None, None)


class AIOQUIC(service.Transport):
    resumes = True
    ticket = None

    def version(self):
        return {"name": "aioquic", "version": importlib.metadata.version("aioquic"), "encryption": "QUIC, TLS 1.3", "notes": "Python; a stream for each call"}

    def details(self):
        return {"cipher": self.cipher} if hasattr(self, "cipher") else {}

    def configuration(self, client):
        return QuicConfiguration(is_client=client, alpn_protocols=ALPN, max_data=8 << 20, max_stream_data=4 << 20,
                                 congestion_control_algorithm=self.arguments.congestion)

    async def serve(self, host, port, handler):
        key, chain = certificate.make()
        configuration = self.configuration(False)
        configuration.load_cert_chain(chain, key)
        tickets, self.tasks = {}, set()

        def accepted(reader, writer):
            task = asyncio.ensure_future(handler(Stream(reader, writer)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        self.server = await serve(host, port, configuration=configuration, stream_handler=accepted,
                                  session_ticket_fetcher=lambda label: tickets.pop(label, None),
                                  session_ticket_handler=lambda ticket: tickets.__setitem__(ticket.ticket, ticket))
        return chain

    async def connect(self, host, port, resume=False):
        configuration = self.configuration(True)
        configuration.load_verify_locations(self.arguments.credential)
        configuration.server_name = "bench"
        configuration.verify_mode = ssl.CERT_REQUIRED
        if resume and self.ticket:
            configuration.session_ticket, self.ticket = self.ticket, None
        context = connect(host, port, configuration=configuration, session_ticket_handler=lambda ticket: setattr(self, "ticket", ticket))
        protocol = await context.__aenter__()
        self.cipher = protocol._quic.tls.key_schedule.cipher_suite.name
        return Connection(context, protocol)


def options(parser):
    parser.add_argument("--congestion", choices=["reno", "cubic"], default="cubic")


if __name__ == "__main__":
    service.main(AIOQUIC(), options)
