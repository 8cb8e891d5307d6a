"""Send the same requests over many connections, as fast as they are answered: `python -m tests.support.flood`.

Arguments: host, port, seconds, connections, and the texts of the requests. Prints how often each status was answered.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import suppress


async def _keep_sending(host: str, port: int, requests: list[bytes], until: float, found: Counter[str]) -> None:
    while time.monotonic() < until:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, port)
            while time.monotonic() < until:
                for request in requests:
                    writer.write(request)
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                    await reader.readexactly(length)
                    found[head.split(b" ", 2)[1].decode()] += 1


async def _flood(host: str, port: int, seconds: float, connections: int, requests: list[bytes]) -> Counter[str]:
    found: Counter[str] = Counter()
    until = time.monotonic() + seconds
    sending = [_keep_sending(host, port, requests, until, found) for _ in range(connections)]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 1):
            await asyncio.gather(*sending)
    return found


def main() -> None:
    """Flood, and print the statuses as JSON."""
    host, port, seconds, connections, *texts = sys.argv[1:]
    found = asyncio.run(_flood(host, int(port), float(seconds), int(connections), [text.encode() for text in texts]))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
