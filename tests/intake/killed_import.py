"""Processes that import from a drop folder and are killed at one step: before the folder changes, or around a start.

python -m tests.intake.killed_import ADDRESS NAMESPACE DATABASE_URL UPLOAD_FOLDER

Each line `STEP FOLDER` of the input is one life. It ends by SIGKILL before its STEP-th step, or by itself when it has
taken fewer; a line of the output says which: `killed` or `lived`.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from intake.drop_folder import DropFolder
from intake.drop_folder_import import DropFolderImport
from intake.parsing import parsing_pool
from intake.upload import BatchReport, Uploads
from policy.file import PolicyFile
from store.db.database import Database
from workflows.registry import INPUTS

POLICY = Path(__file__).parents[2] / "config" / "policy.toml"
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


async def live(address: str, namespace: str, url: str, uploads: str, folder: str, step: int) -> None:
    client = await Client.connect(address, namespace=namespace, data_converter=pydantic_data_converter)
    database, life = Database(url), Life(step)
    taking = Mortal(life, database, client, PolicyFile(POLICY, INPUTS), Path(uploads))
    importer = DropFolderImport(
        database, taking, DropFolder(Path(folder), 0), "rita", most_bytes=1_000_000, url="http://holdgate"
    )
    sys.addaudithook(life.hear)
    for _ in range(3):
        await importer.look()
    await database.close()


def main(address: str, namespace: str, url: str, uploads: str) -> None:
    """Everything is imported once, also by the template of the parsers, and each life is forked from it."""
    template = parsing_pool._templates[()] = parsing_pool._Template.start(())
    vars(template.process)["poll"] = lambda: None  # a life is not its parent: it takes it for dead
    for line in sys.stdin:
        step, folder = line.rstrip("\n").split(" ", 1)
        life = os.fork()
        if not life:
            asyncio.run(live(address, namespace, url, uploads, folder, int(step)))
            os._exit(0)
        _, ended = os.waitpid(life, 0)
        sys.stdout.write({0: "lived", signal.SIGKILL: "killed"}.get(ended, f"failed with {ended}") + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
