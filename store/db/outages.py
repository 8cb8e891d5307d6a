"""The errors that callers of the database get, and the one place where errors of the drivers become them."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc as sql


class DatabaseUnavailable(Exception):
    """The database cannot be reached, locked, read or written now. A later call may succeed."""


class UnusableValue(ValueError):
    """A value that the database cannot store or compare: a number that is too large, or an invalid text."""


@contextmanager
def outages() -> Iterator[None]:
    """Raise DatabaseUnavailable or UnusableValue for the errors of SQLAlchemy that mean it."""
    try:
        yield
    except (sql.DataError, OverflowError, UnicodeEncodeError) as error:
        # PostgreSQL raises DataError; the driver of SQLite cannot pass such a number or text on.
        raise UnusableValue("a value is too large a number, or no text that can be stored") from error
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
