"""Check a release: run the checks of its app before it is live, and request its health URL afterwards."""

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
"""The number of seconds between two requests to the health URL."""
PATIENCE = 5.0
"""The timeout of one request to the health URL, in seconds."""
PLAIN = {"Accept-Encoding": "identity"}
"""Headers that ask for an answer without compression, because a small compressed answer could unpack to a very large
one.
"""
MAX_ANSWER = 64 * 1024
"""The maximum number of bytes that are read from an answer of the health URL."""
SPACE = 4
"""How many times the maximum size of one file (`checks_file_mb`) a check may write in all."""
MAX_OUTPUT = 800
"""Number of characters of a check's output that people see, from its end."""


class HealthCheck(Message):
    """One check of an app that has passed: the command, and the end of its output."""

    command: str
    seconds: float
    output: str
    """The last lines of the output of the check."""


async def may_isolate(*, approved: bool, accepted: bool) -> bool:
    """Return True if the code of an artefact must run isolated. The code must run isolated on every machine that can
    isolate.

    If this machine cannot isolate, return False if a person has approved the code (`approved`) and the operator of the
    worker allows it to run (`accepted`).

    If this machine cannot isolate, and `approved` or `accepted` is False, raise NotIsolated.
    """
    why = await asyncio.to_thread(isolation.missing)
    if why is None:
        return True
    if approved and accepted:
        return False
    said = isolation.cannot_isolate(why)
    if accepted:
        how = "and retry. HOLDGATE_UNISOLATED_CODE=accept is only for code that somebody has approved"
    else:
        how = "or set HOLDGATE_UNISOLATED_CODE=accept if the risk is acceptable; restart the workers, and retry"
    raise NotIsolated(f"The checks were not run. {said}, {how}.", permanent=True)


async def run_checks(app: App, release: Path, home: Path, *, isolated: bool) -> list[HealthCheck]:
    """Run the checks of an app one after the other, each in its own copy of the release.

    `home` is the folder for temporary files.

    Raises Refused with the last lines of the first check that fails, times out, or exceeds a limit.
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
        last = _end_of_output(output.read())
    if code is None or code == -signal.SIGALRM:
        raise Refused(f"The check '{said}' did not end in time (checks_timeout), and was stopped. {last}".rstrip())
    if code == -signal.SIGXCPU or code == -signal.SIGXFSZ:
        cpu = code == -signal.SIGXCPU
        what = "took more processor time than checks_timeout" if cpu else "wrote more than checks_file_mb"
        raise Refused(f"The check '{said}' {what} allows, and was stopped. {last}".rstrip())
    if code:
        raise Refused(f"The check '{said}' failed. {last}".rstrip())
    return HealthCheck(command=said, seconds=round(time.monotonic() - began, 2), output=last)


def _end_of_output(output: bytes) -> str:
    """Return the end of the output of a command, without characters that cannot be printed."""
    text = output.decode(errors="replace").strip()[-MAX_OUTPUT:]
    return "".join(char for char in text if char.isprintable() or char == "\n")


async def wait_until_healthy(name: str, app: App, release: str) -> int:
    """Request the health URL again and again until the app is healthy. Return the number of requests.

    Raises Refused with the last error if the app does not become healthy in time.
    """
    until = time.monotonic() + app.health_timeout.total_seconds()
    asked = 0
    # No proxy and no redirects, so that only the configured address is asked.
    async with httpx2.AsyncClient(timeout=PATIENCE, trust_env=False, follow_redirects=False) as client:
        while True:
            asked += 1
            wrong = await _health_error(client, app, release)
            if wrong is None:
                return asked
            if time.monotonic() + ASK_EVERY >= until:
                break
            await asyncio.sleep(ASK_EVERY)
    raise Refused(f"Release {release} went live as {name}, and its health check failed: {wrong}.")


async def _health_error(client: httpx2.AsyncClient, app: App, release: str) -> str | None:
    """Return the error in the answer of the app; None when it is healthy."""
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
        return f"the answer was {response.status_code} {_end_of_output(said.encode())[:200]}".rstrip()
    if app.health_text not in said:
        return f"the answer does not hold '{app.health_text}'"
    if app.health_release:
        found = None
        with suppress(ValueError, RecursionError):  # The answer is invalid JSON, or nested too deeply.
            answers = json.loads(said)
            found = answers.get(app.health_release) if isinstance(answers, dict) else None
        if not isinstance(found, str):
            return "the answer does not contain the id of the release"
        if found != release:
            return f"release {_end_of_output(found.encode())[:60]} answered"
    return None
