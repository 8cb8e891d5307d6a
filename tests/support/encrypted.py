"""Encrypt payloads in tests: where a test asks for it, and in a whole run of the tests of engine, gateway and imports.

    HOLDGATE_TEST_ENCRYPTED=1 pytest tests/workflows tests/api tests/intake

Tests with the marker `plain_payloads` read payloads in Temporal, and are left out of such a run.
"""

import os
from pathlib import Path

from temporalio.client import Client

from core.payloads import converter
from plugins.testing.trial import new_keys
from store.cases.case_keys import CaseKeys
from store.db.database import Database

EVERYWHERE = bool(os.environ.get("HOLDGATE_TEST_ENCRYPTED"))


async def encrypting(client: Client, db: Database, folder: Path) -> Client:
    """Return a client of the same connection that encrypts, with new keys in the folder."""
    return with_keys(client, await new_keys(db, folder))


def with_keys(client: Client, keys: CaseKeys | None) -> Client:
    """Return a client of the same connection with these keys."""
    config = client.config()
    config["data_converter"] = converter(keys)
    return Client(**config)
