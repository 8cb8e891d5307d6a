"""A TCP proxy on loopback that adds a fixed time to each round trip, as if the server were in another building."""

import asyncio
import sys
from contextlib import suppress


class DelayingProxy:
    """Forwards connections to a port of this machine. Each piece of data to the server waits first."""

    def __init__(self, port: int, delay_s: float) -> None:
        """Store the port of the server, and the seconds to add to each round trip."""
        self._port = port
        self._delay_s = delay_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> int:
        """Start to listen on a free port of 127.0.0.1, and return this port."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        self._server = server
        return port

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(
            self._forward(reader, server_writer, self._delay_s), self._forward(server_reader, writer, 0.0)
        )

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        """Forward until the sender closes. Pieces keep their order, because all wait equally long."""
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if delay_s:
                    loop.call_later(delay_s, writer.write, data)
                else:
                    writer.write(data)
        loop.call_later(delay_s, writer.close)


async def main(port: int, delay_ms: float) -> None:
    """Serve until the process is ended. Print the port of the proxy first."""
    sys.stdout.write(f"{await DelayingProxy(port, delay_ms / 1000).serve()}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
