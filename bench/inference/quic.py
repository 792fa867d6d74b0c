"""One QUIC transfer, by aioquic: `quic.py client|server ADDRESS FOLDER SECONDS up|down`. The folder is where the server's
certificate is made. Both end by themselves."""
import asyncio, os, ssl, subprocess, sys
from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration

PORT, ALPN = 4433, ["inference"]
WINDOWS = {"max_data": 16 << 20, "max_stream_data": 8 << 20}


async def give(writer):
    """Bytes until the peer goes away; aioquic buffers without a bound, so no more than a megabyte waits."""
    protocol = writer.transport.protocol
    stream = protocol._quic._streams[writer.get_extra_info("stream_id")]
    try:
        while True:
            writer.write(bytes(1 << 16))
            while len(stream.sender._buffer) > 1 << 20: await asyncio.sleep(0.002)
    except (AssertionError, ConnectionError, asyncio.CancelledError):
        pass


async def take(reader):
    while await reader.read(1 << 16): pass


async def answer(reader, writer, direction):
    await reader.readexactly(1)
    await (give(writer) if direction == "down" else take(reader))


async def server(address, folder, seconds, direction):
    key, chain = os.path.join(folder, "key.pem"), os.path.join(folder, "certificate.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=inference",
                    "-keyout", key, "-out", chain], check=True, stderr=subprocess.DEVNULL)
    configuration = QuicConfiguration(is_client=False, alpn_protocols=ALPN, congestion_control_algorithm="cubic", **WINDOWS)
    configuration.load_cert_chain(chain, key)
    tasks = []
    await serve(address, PORT, configuration=configuration, stream_handler=lambda reader, writer: tasks.append(asyncio.ensure_future(answer(reader, writer, direction))))
    print("ready", flush=True)
    await asyncio.sleep(seconds + 3)


async def client(address, folder, seconds, direction):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=ALPN, verify_mode=ssl.CERT_NONE, congestion_control_algorithm="cubic", **WINDOWS)
    async with connect(address, PORT, configuration=configuration) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"!")
        try:
            await asyncio.wait_for(take(reader) if direction == "down" else give(writer), seconds)
        except asyncio.TimeoutError:
            pass
    os._exit(0)


asyncio.run({"server": server, "client": client}[sys.argv[1]](sys.argv[2], sys.argv[3], float(sys.argv[4]), sys.argv[5]))
