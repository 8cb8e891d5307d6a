"""The errors that callers of the database get, and the one place where errors of the drivers are converted to these
errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc as sql


class DatabaseUnavailable(Exception):
    """The database cannot be reached, locked, read or written, or its schema does not fit this code.

    A later call may succeed, except if the message asks for a migration or another database.
    """

    safe_to_log = True


class UnusableValue(ValueError):
    """A value that the database cannot store or compare.

    The value is a number or time outside the range of its type, a text that is too long, or a text with characters that
    the database cannot store.
    """


@contextmanager
def outages() -> Iterator[None]:
    """Raise DatabaseUnavailable or UnusableValue instead of the errors of SQLAlchemy and the drivers that mean the
    same.
    """
    try:
        yield
    except (sql.DataError, OverflowError, UnicodeEncodeError) as error:
        # PostgreSQL raises DataError; the driver of SQLite cannot pass such a number or text on.
        raise UnusableValue("a number is too large, or a text is too long or cannot be stored") from error
    except (sql.OperationalError, sql.InterfaceError, sql.TimeoutError) as error:
        raise DatabaseUnavailable(reason(error)) from error
    except sql.DBAPIError as error:
        # SQLite raises a plain DatabaseError for a damaged file or a file that is not a database.
        if error.connection_invalidated or type(error) is sql.DatabaseError:
            raise DatabaseUnavailable(reason(error)) from error
        raise


def reason(error: sql.SQLAlchemyError) -> str:
    """Return the error message of the database driver, without the SQL statement and its parameters."""
    cause = error.orig if isinstance(error, sql.DBAPIError) and error.orig is not None else error
    return " ".join(str(cause).split())
