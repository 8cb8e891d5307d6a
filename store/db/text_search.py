"""What people look for, in SQL: by `domain.normalization`, the same on both databases."""

import json
from typing import Any

from sqlalchemy import ColumnElement, String, and_, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from domain.normalization import ACCENTS, LETTERS, search_terms


def words_say(column: ColumnElement[str], q: str) -> ColumnElement[bool]:
    """Whether a column that was written with `search_key` has all that is looked for."""
    terms = [or_(*(column.contains(each, autoescape=True) for each in term)) for term in search_terms(q)]
    return and_(True, *terms)


def texts_say(columns: list[ColumnElement[str]], q: str) -> ColumnElement[bool]:
    """The same of columns that hold texts as they were written: each term in one of them, which costs more a row."""
    return and_(True, *(or_(*(_has(column, each) for column in columns for each in term)) for term in search_terms(q)))


def json_says(column: ColumnElement[str], q: str) -> ColumnElement[bool]:
    """The same of a column that holds JSON as text."""
    escaped = [tuple(json.dumps(each, ensure_ascii=False)[1:-1] for each in term) for term in search_terms(q)]
    return and_(True, *(or_(*(_has(column, each) for each in term)) for term in escaped))


def _has(column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    numbers = any(char.isdigit() for char in text)
    return (search_key(column) if numbers else without_accents(column)).contains(text, autoescape=True)


class without_accents(GenericFunction[str]):
    """`domain.normalization.without_accents`, as well as the database can; SQLite calls the very function."""

    type = String()
    inherit_cache = True


class search_key(GenericFunction[str]):
    """`domain.normalization.search_key`, likewise."""

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
