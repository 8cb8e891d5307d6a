"""A process that sequences and stops for ever before one of its statements, so that a test can kill it there."""

import threading
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import create_engine

from store.audit.sequencing import runner_of, sequence_listed
from store.db.database import normalised


def stall(url: str, statement: int, ready: Connection) -> None:
    """Sequence, and stop before the statement with this number, from 0. Send True there, or False if there are fewer.

    The last statement is COMMIT. With one number more the process stops after it.
    """
    number = -1
    with create_engine(normalised(url), isolation_level="AUTOCOMMIT").connect() as conn:
        plain = runner_of(conn)

        def run(sql: str, values: Any = None) -> Any:
            nonlocal number
            number += 1
            if number == statement:
                wait()
            return plain(sql, values)

        def wait() -> None:
            ready.send(True)
            threading.Event().wait()

        run("BEGIN")
        sequence_listed(run)
        run("COMMIT")
        if number + 1 == statement:
            wait()
    ready.send(False)
