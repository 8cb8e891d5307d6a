"""Text search in SQL by the rules of `domain.normalization`, with the same result on both databases where possible."""

import json
from typing import Any

from sqlalchemy import ColumnElement, String, and_, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from domain.normalization import ACCENTS, LETTERS, search_terms


def words_say(column: ColumnElement[str], q: str) -> ColumnElement[bool]:
    """Return the SQL condition that a column contains all terms of the query `q`; true if `q` has no term.

    The column must have been written with `search_key`.
    """
    terms = [or_(*(column.contains(each, autoescape=True) for each in term)) for term in search_terms(q)]
    return and_(True, *terms)


def texts_say(columns: list[ColumnElement[str]], q: str) -> ColumnElement[bool]:
    """Return the SQL condition that each term of the query `q` is in one of these columns; true if `q` has no term.

    The columns hold original texts, so this is slower than `words_say`.
    """
    return and_(True, *(or_(*(_has(column, each) for column in columns for each in term)) for term in search_terms(q)))


def json_says(column: ColumnElement[str], q: str) -> ColumnElement[bool]:
    """Return the SQL condition that a column with JSON text contains all terms of the query `q`.

    The condition is true if `q` has no term. Names of JSON fields are found, too.
    """
    escaped = [tuple(json.dumps(each, ensure_ascii=False)[1:-1] for each in term) for term in search_terms(q)]
    return and_(True, *(or_(*(_has(column, each) for each in term)) for term in escaped))


def _has(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    numbers = any(char.isdigit() for char in text)
    return (search_key(column) if numbers else without_accents(column)).contains(text, autoescape=True)


class without_accents(GenericFunction[str]):
    """Compute `domain.normalization.without_accents` in SQL.

    SQLite calls that function; on PostgreSQL an SQL expression comes as close to it as possible.
    """

    type = String()
    inherit_cache = True


class search_key(GenericFunction[str]):
    """Compute `domain.normalization.search_key` in SQL.

    SQLite calls that function; on PostgreSQL an SQL expression comes as close to it as possible.
    """

    type = String()
    inherit_cache = True


@compiles(without_accents, "postgresql")
def _without_accents(element: Any, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    plain = f"lower(normalize(regexp_replace(normalize({text}, NFKD), '[{ACCENTS}]', '', 'g'), NFKC))"
    single = {letter: plain for letter, plain in LETTERS.items() if len(plain) == 1}
    plain = f"translate({plain}, '{''.join(single)}', '{''.join(single.values())}')"
    for letter in LETTERS.keys() - single.keys():
        plain = f"replace({plain}, '{letter}', '{LETTERS[letter]}')"
    return plain


@compiles(search_key, "postgresql")
def _search_key(element: Any, compiler: Any, **options: Any) -> str:
    text = _without_accents(element, compiler, **options)
    # 1.250,00 first, then 1,250.00: see `domain.normalization.plain_number`.
    dots = r"(\d)\.(?=\d{3}(\.\d{3})*,\d{1,2}(\D|$))"
    commas = r"(\d)[,''](?=\d{3}(\D|$))"
    return rf"regexp_replace(regexp_replace({text}, '{dots}', '\1', 'g'), '{commas}', '\1', 'g')"
