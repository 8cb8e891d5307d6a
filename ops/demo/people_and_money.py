"""Create the demo people, with their tokens in a file of `HOLDGATE_VAR`, and the money of the demo ledger."""

import json
import secrets
import stat
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from core.atomic_write import write_private
from core.demo_people import PEOPLE
from ops.up_json import DemoPerson
from store.db.database import Database
from store.people import demo_people, tokens as access_tokens
from store.receivers.ledger import Ledger

SECRET_LENGTH = 32
"""The number of random bytes of the secret. The text of the secret is longer."""

BY = "holdgate"
"""The actor of the demo's changes in the audit log."""

FUNDS = {"GBP": Decimal(100_000_000), "EUR": Decimal(10_000_000), "USD": Decimal(10_000_000)}
"""The opening balance of the account `operating`."""
PETTY_CASH = Decimal(5_000)
"""The opening balance of the account `petty-cash` in GBP.

The account is locked, as during a count: a payment from it fails until it is unlocked, which shows new users an
incident.
"""


async def create_demo(database: Database, tokens_file: Path) -> list[DemoPerson]:
    """Create people, tokens and funds that are missing, and return the demo people.

    A person whose token is lost, or belongs to another database, gets a new token. A person with the id of a demo
    person is not changed, if an admin has created the person or has taken the person over. Raises DatabaseUnavailable,
    OSError.
    """
    tokens = _read(tokens_file)
    present = []
    async with database.write() as connection:
        for person, group in PEOPLE.items():
            known = await demo_people.ensure(connection, person, group, by=BY)
            if known is None:
                continue
            token = tokens.get(person, "")
            if await access_tokens.by_token(connection, token) != known:
                token = await access_tokens.make(connection, person, label="demo", by=BY)
            present.append(DemoPerson(id=person, groups=known.groups, token=token))
    write_private(tokens_file, json.dumps({person.id: person.token for person in present}, indent=2) + "\n")
    ledger = Ledger(database)
    for currency, amount in FUNDS.items():
        await ledger.fund(f"demo/fund/operating/{currency}", "operating", currency, amount)
    await ledger.fund("demo/fund/petty-cash/GBP", "petty-cash", "GBP", PETTY_CASH, locked=True)
    return present


def secret(file: Path) -> str:
    """Return the secret for signing in as a demo person.

    Create a new secret if there is none, if it is too short, or if other users could read the file.

    Raises OSError if the file cannot be read or written.
    """
    with suppress(FileNotFoundError, UnicodeDecodeError):
        known = file.read_text(encoding="utf-8").strip()
        if stat.S_IMODE(file.stat().st_mode) == 0o600 and len(known) >= SECRET_LENGTH:
            return known
    made = secrets.token_urlsafe(SECRET_LENGTH)
    write_private(file, made + "\n")
    return made


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
