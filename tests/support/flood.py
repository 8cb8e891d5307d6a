"""Send the same requests over many connections, as fast as they are answered: `python -m tests.support.flood`.

Arguments: host, port, number of connections, and the texts of the requests. Prints a line when it begins. Ends with
SIGTERM, and then prints how often each status was answered.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from contextlib import suppress

LONGEST_S = 300


async def _keep_sending(host: str, port: int, requests: list[bytes], found: Counter[str]) -> None:
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, port)
            while True:
                for request in requests:
                    writer.write(request)
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                    await reader.readexactly(length)
                    found[head.split(b" ", 2)[1].decode()] += 1


async def _flood(host: str, port: int, connections: int, requests: list[bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    sending = [asyncio.create_task(_keep_sending(host, port, requests, found)) for _ in range(connections)]
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_S):
            await ended.wait()
    for each in sending:
        each.cancel()
    return found


def main() -> None:
    """Flood, and print the statuses as JSON."""
    host, port, connections, *texts = sys.argv[1:]
    found = asyncio.run(_flood(host, int(port), int(connections), [text.encode() for text in texts]))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
