"""Whether a release is well: what its checks say, and its answer over HTTP after it went live."""

import asyncio
import json
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx2

from activities.deployment.apps import App
from activities.shared import isolation
from activities.shared.commands import CommandLimits, NotIsolated, run
from activities.shared.scratch_folder import scratch
from domain.base import Message
from domain.errors import Refused

ASK_EVERY = 0.5
"""Seconds between two questions whether the app is well."""
PATIENCE = 5.0
"""Seconds that one answer may take."""
PLAIN = {"Accept-Encoding": "identity"}
"""An answer is read as it comes: little that is compressed may be very much."""
MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are looked at."""
SPACE = 4
"""How many of the largest files a check may write."""
MAX_OUTPUT = 800
"""Characters of the end of a check's output that people are shown."""


class HealthCheck(Message):
    """One command that a release has passed."""

    command: str
    seconds: float
    output: str
    """Its last lines."""


async def may_isolate(*, approved: bool, accepted: bool) -> bool:
    """Whether code of an artefact is to run isolated: always where that is possible.

    Elsewhere only code that somebody has `approved` may run, and only if whoever runs the worker has `accepted` that.

    Raises NotIsolated.
    """
    why = await asyncio.to_thread(isolation.missing)
    if why is None:
        return True
    if approved and accepted:
        return False
    said = isolation.cannot(why)
    if accepted:
        how = "and retry. HOLDGATE_UNISOLATED_CODE=accept is for code that somebody has approved: nobody has yet"
    else:
        how = "or set HOLDGATE_UNISOLATED_CODE=accept if the risk is acceptable; restart them, and retry"
    raise NotIsolated(f"The checks were not run. {said}, {how}.", permanent=True)


async def run_checks(app: App, release: Path, home: Path, *, isolated: bool) -> list[HealthCheck]:
    """Run the checks of an app, one after the other, each in a copy of the release: what one writes is gone with it.

    `home`: the folder of what they need for a while.

    Raises Refused with the last lines of the first that fails or does not end in time.
    """
    with scratch(home) as room:
        until = time.monotonic() + app.checks_timeout.total_seconds()
        return [await _run(app, command, release, room, until, isolated=isolated) for command in app.checks]


async def _run(app: App, command: list[str], release: Path, room: Path, until: float, *, isolated: bool) -> HealthCheck:
    said, began = " ".join(command), time.monotonic()
    limits = CommandLimits(
        seconds=max(until - began, 0.0),
        memory=app.checks_memory_mb << 20,
        file_size=app.checks_file_mb << 20,
        space=SPACE * (app.checks_file_mb << 20),
    )
    with tempfile.TemporaryFile() as output:
        code = await run(
            command, output, release, limits, isolated=isolated, room=room, errors=asyncio.subprocess.STDOUT
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
    return HealthCheck(command=said, seconds=round(time.monotonic() - began, 2), output=last)


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
        async with asyncio.timeout(PATIENCE), client.stream("GET", app.health, headers=PLAIN) as response:
            text = b""
            async for chunk in response.aiter_raw():
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
        with suppress(ValueError, RecursionError):  # of what is no JSON, or nested without end
            answers = json.loads(said)
            found = answers.get(app.health_release) if isinstance(answers, dict) else None
        if not isinstance(found, str):
            return "the answer does not say which release it is of"
        if found != release:
            return f"release {_shown(found.encode())[:60]} answered"
    return None
