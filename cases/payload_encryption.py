"""Check that this program encrypts payloads exactly if its installation does, when it starts and as long as it runs.

A program without keys would drop encrypted messages to cases, and a program with the keys of another installation could
read no case. Such a program does not start, and stops if it runs when another program begins to encrypt.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core.errors import PayloadKeyMissing
from core.payload_keys import SETTING, PayloadKeyFile
from core.repeat import repeat
from core.settings import WrongSettings
from domain.moments import moment_text
from store.cases.case_keys import NOTICED_WITHIN, CaseKeys, encrypts_since
from store.db.database import Database, DatabaseUnavailable

RETRY_AFTER = 1.0
"""Seconds until the next check while the database does not answer."""
FIRST_LOOK_S = 2.0
"""The most seconds that the start of a gateway waits for the first check."""

log = logging.getLogger("holdgate.keys")


class WrongEncryption(WrongSettings):
    """Raised if this program has no keys and its installation encrypts, or if it has keys of another installation."""


class PayloadEncryption:
    """The encryption of one program."""

    def __init__(self, db: Database, path: Path | None, count_foreign: Callable[[], None] | None = None) -> None:
        """Read the file of payload keys, if `path` names one. Raises WrongSettings."""
        self._db = db
        self.keys = CaseKeys(db, PayloadKeyFile(path), count_foreign or (lambda: None)) if path else None
        """The keys of the Temporal client; None if encryption is off."""
        self._path = path
        self._opened = False
        self._missing: list[str] = []
        self.wrong: WrongEncryption | None = None
        """Why the program must stop; None if it need not."""
        self._lost = asyncio.Event()

    async def check(self, *, begin: bool = True) -> None:
        """Check once. Raises WrongEncryption, and DatabaseUnavailable.

        The first program with keys makes the installation one that encrypts, unless `begin` is False.
        """
        since = None if self._opened else await encrypts_since(self._db)
        if self.keys is None:
            if since is not None:
                raise WrongEncryption(
                    f"{SETTING} is not set, but this installation encrypts the payloads of Workflows since "
                    f"{moment_text(since)}. Set {SETTING} to the file of its keys, and start this program again"
                )
            return
        if not self._opened:
            if since is None and not begin:
                return
            try:
                await self.keys.open()
            except PayloadKeyMissing as error:
                raise WrongEncryption(
                    f"{SETTING}={self._path}: {error}. This is not the file of this installation, or an old copy of it"
                ) from None
            self._opened = True
        await self.keys.forget_erased()
        self._tell_missing(await self.keys.missing())

    async def check_when_reachable(self) -> None:
        """Check once, as soon as the database answers. Raises WrongEncryption."""
        while True:
            try:
                return await self.check()
            except DatabaseUnavailable as error:
                log.warning("waiting until the encryption of payloads can be checked: %s", error)
                await asyncio.sleep(RETRY_AFTER)

    async def check_soon(self) -> None:
        """Check once, unless the database does not answer: `watch` tries again. `wrong` has the result."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._look()

    async def watch(self) -> None:
        """Check again and again, and return when this program must stop."""

        async def step() -> bool:
            await self._look()
            return False

        pause = NOTICED_WITHIN.total_seconds()
        said = "the encryption of payloads could not be checked"
        await repeat(step, lambda _: pause, said, log=log, over=self._lost)

    async def _look(self) -> None:
        try:
            await self.check()
        except WrongEncryption as wrong:
            self.wrong = wrong
            self._lost.set()
        except DatabaseUnavailable as error:
            log.debug("the encryption of payloads cannot be checked now: %s", error)

    def _tell_missing(self, missing: list[str]) -> None:
        """Log each change of the keys that the file lacks."""
        if missing != self._missing:
            self._missing = missing
            if said := self.problem:
                log.error("%s", said)
            else:
                log.info("%s has all keys again that cases need", self._path)

    @property
    def problem(self) -> str | None:
        """Return what operators must correct although the program runs; None if nothing."""
        if not self._missing:
            return None
        return (
            f"{SETTING}={self._path} lacks {', '.join(self._missing)}: some cases cannot continue until the file has "
            "these keys"
        )
