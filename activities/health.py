"""Whether a release is well: its checks before people decide, and its answer over HTTP after it went live."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx2

from activities.apps import App
from activities.commands import run
from activities.scratch import scratch, to_the_end
from workflows.models import Message, Refused

ASK_EVERY = 0.5
"""Seconds between two questions whether the app is well."""
PATIENCE = 5.0
"""Seconds that one answer may take."""
MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are looked at."""
MAX_OUTPUT = 800
"""Characters of the end of a check's output that people are shown."""


class Check(Message):
    """One command that a release has passed."""

    command: str
    seconds: float
    output: str
    """Its last lines."""


async def run_checks(app: App, release: Path, home: Path) -> list[Check]:
    """Run the checks of an app, one after the other, in a copy of the release: what they write never goes live.

    `home`: the folder of these copies, each of which is gone with its checks.

    Raises Refused with the last lines of the first that fails or does not end in time.
    """
    with scratch(home) as room:
        copy = room / "release"
        await to_the_end(partial(shutil.copytree, release, copy, symlinks=True))
        until = time.monotonic() + app.checks_timeout.total_seconds()
        return [await _run(app, command, copy, room, until) for command in app.checks]


async def _run(app: App, command: list[str], where: Path, home: Path, until: float) -> Check:
    said, began = " ".join(command), time.monotonic()
    left = max(until - began, 0.0)
    with tempfile.TemporaryFile() as output:
        code = await run(
            command,
            output,
            where=where,
            home=home,
            seconds=left,
            memory=app.checks_memory_mb << 20,
            file_size=app.checks_file_mb << 20,
            errors=asyncio.subprocess.STDOUT,
        )
        output.seek(max(output.seek(0, os.SEEK_END) - 4 * MAX_OUTPUT, 0))
        last = _shown(output.read())
    if code is None or code == -signal.SIGALRM:
        raise Refused(f"The check '{said}' did not end in time, and was stopped. {last}".rstrip())
    if code == -signal.SIGXCPU or code == -signal.SIGXFSZ:
        what = "took more processor time" if code == -signal.SIGXCPU else "wrote more"
        raise Refused(f"The check '{said}' {what} than it may, and was stopped. {last}".rstrip())
    if code:
        raise Refused(f"The check '{said}' failed. {last}".rstrip())
    return Check(command=said, seconds=round(time.monotonic() - began, 2), output=last)


def _shown(output: bytes) -> str:
    """The end of what a command printed, without what does not print."""
    text = output.decode(errors="replace").strip()[-MAX_OUTPUT:]
    return "".join(char for char in text if char.isprintable() or char == "\n")


async def become_well(name: str, app: App, release: str) -> int:
    """Ask the app until it is well; answers how often it was asked.

    Raises Refused when it has not become well within its time, with what was wrong the last time.
    """
    until = time.monotonic() + app.health_timeout.total_seconds()
    asked = 0
    # No proxy and no redirects: the address that was configured is the one that is asked.
    async with httpx2.AsyncClient(timeout=PATIENCE, trust_env=False, follow_redirects=False) as client:
        while True:
            asked += 1
            wrong = await _wrong(client, app, release)
            if wrong is None:
                return asked
            if time.monotonic() + ASK_EVERY >= until:
                break
            await asyncio.sleep(ASK_EVERY)
    raise Refused(f"Release {release} went live as {name}, and its health check failed: {wrong}.")


async def _wrong(client: httpx2.AsyncClient, app: App, release: str) -> str | None:
    """What is wrong with the answer of the app; None when it is well."""
    try:
        async with asyncio.timeout(PATIENCE), client.stream("GET", app.health) as response:
            text = b""
            async for chunk in response.aiter_bytes():
                text += chunk
                if len(text) > MAX_ANSWER:
                    break
    except (httpx2.HTTPError, OSError) as error:
        slow = isinstance(error, httpx2.TimeoutException | TimeoutError)
        return "no answer came in time" if slow else "the app cannot be reached"
    said = text[:MAX_ANSWER].decode(errors="replace")
    if response.status_code != 200:
        return f"the answer was {response.status_code} {_shown(said.encode())[:200]}".rstrip()
    if app.health_text not in said:
        return f"the answer does not hold '{app.health_text}'"
    if app.health_release:
        found = None
        with suppress(ValueError):  # of what is no JSON
            answers = json.loads(said)
            found = answers.get(app.health_release) if isinstance(answers, dict) else None
        if not isinstance(found, str):
            return "the answer does not say which release it is of"
        if found != release:
            return f"release {_shown(found.encode())[:60]} answered"
    return None
