"""Lives that look into an inbox and are killed at one step: before something changes in the box, or around the start.

python -m tests.intake.mortal_inbox ADDRESS DATABASE_URL INBOX UPLOAD_FOLDER STEP

A life ends by SIGKILL before its STEP-th step, or with 0 when it has put everything away in fewer.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from intake.drop_box import DropBox
from intake.inbox import Inbox
from intake.upload import BatchReport, Uploads
from policy.file import PolicyFile
from store.database import Database
from workflows.registry import INPUTS

POLICY = Path(__file__).parents[2] / "policy.toml"
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}
"""What Python says before it changes something in a folder."""


class Life:
    """Counts the steps, and ends at one of them."""

    def __init__(self, step: int) -> None:
        self._left = step

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def hear(self, event: str, _: tuple[Any, ...]) -> None:
        if event in CHANGES:
            self.step()


class Mortal(Uploads):
    """May die before a file is taken, and when it is and nobody was told."""

    def __init__(self, life: Life, *parts: Any) -> None:
        super().__init__(*parts)
        self._life = life

    async def start(self, *about: Any, **more: Any) -> BatchReport:
        self._life.step()
        report = await super().start(*about, **more)
        self._life.step()
        return report


async def live(address: str, url: str, folder: str, uploads: str, step: str) -> None:
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    database, life = Database(url), Life(int(step))
    taking = Mortal(life, database, client, PolicyFile(POLICY, INPUTS), Path(uploads))
    box = DropBox(Path(folder), stable_for=0)
    inbox = Inbox(database, taking, box, "rita", most_bytes=1_000_000, url="http://holdgate")
    sys.addaudithook(life.hear)
    for _ in range(3):
        await inbox.look()
    await database.close()


if __name__ == "__main__":
    asyncio.run(live(*sys.argv[1:]))
