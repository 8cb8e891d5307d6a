"""Delete the files of erased cases and uploads, after the transaction that erased them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


class ErasedFiles:
    """Deletes files by their paths below the state folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def delete(self, files: Sequence[str]) -> int:
        """Delete the files that are still there, and return their number."""
        return await asyncio.to_thread(self._delete, files)

    def _delete(self, files: Sequence[str]) -> int:
        number = 0
        for name in files:
            with suppress(FileNotFoundError):
                (self._folder / name).unlink()
                number += 1
        return number
