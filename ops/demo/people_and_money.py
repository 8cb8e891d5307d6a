"""The demo's people, with their tokens in a file of `HOLDGATE_VAR`, and the money of its ledger."""

import json
import secrets
import stat
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from core.demo_people import PEOPLE
from ops.files import write_private
from ops.upfile import DemoPerson
from store.db.database import Database
from store.people import demo_people, people
from store.receivers.ledger import Ledger

SECRET_LENGTH = 32
"""Bytes of randomness of the secret; it has more characters."""

BY = "holdgate"
"""Who the audit log says created them."""

FUNDS = {"GBP": Decimal(100_000_000), "EUR": Decimal(10_000_000), "USD": Decimal(10_000_000)}
"""What the account `operating` starts with."""
PETTY_CASH = Decimal(5_000)
"""What the account `petty-cash` starts with, in GBP. It is locked, as if it were being counted: a payment from it fails
until somebody unlocks it, so that a newcomer can see what operators see."""


async def furnish(database: Database, tokens_file: Path) -> list[DemoPerson]:
    """Create the people, their tokens and the funds where they are missing; what is there stays as it is.

    A person whose token is lost, or belongs to another database, gets a new one. An id that an admin gave to somebody
    else, or took over, is left alone. Raises DatabaseUnavailable, OSError.
    """
    tokens = _read(tokens_file)
    present = []
    async with database.write() as connection:
        for person, group in PEOPLE.items():
            known = await demo_people.ensure(connection, person, group, by=BY)
            if known is None:
                continue
            token = tokens.get(person, "")
            if await people.by_token(connection, token) != known:
                token = await people.new_token(connection, person, label="demo", by=BY)
            present.append(DemoPerson(id=person, groups=known.groups, token=token))
    write_private(tokens_file, json.dumps({person.id: person.token for person in present}, indent=2) + "\n")
    ledger = Ledger(database)
    for currency, amount in FUNDS.items():
        await ledger.fund(f"demo/fund/operating/{currency}", "operating", currency, amount)
    await ledger.fund("demo/fund/petty-cash/GBP", "petty-cash", "GBP", PETTY_CASH, locked=True)
    return present


def secret(file: Path) -> str:
    """What a browser must show to sign in as a demo person: made once, and anew where others could read the file.

    Raises OSError.
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
