"""Errors of a spreadsheet that stand where a value should: `#N/A`, and what it is called in other languages."""

import re

_NAMES = frozenset(
    # English, and what is the same elsewhere
    "#N/A #REF! #VALUE! #NAME? #NUM! #NULL! #DIV/0! #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT! #UNKNOWN! #BUSY! #EXTERNAL!"
    " #GETTING_DATA #GETTINGDATA #PYTHON! #TIMEOUT! #ERROR! #ERROR #REF #VALUE #DIV/0"
    " #NV #BEZUG! #WERT! #ZAHL! #ÜBERLAUF! #KALK!"  # German
    " #VALEUR! #NOM? #NOMBRE! #NUL! #PROPAGATION! #CALCUL!"  # French
    " #N/D #¡REF! #¡VALOR! #¿NOMBRE? #¡NUM! #¡NULO! #¡DIV/0! #¡DESBORDAMIENTO! #¡CALC!"  # Spanish
    " #RIF! #VALORE! #NOME? #NULLO! #ESPANSIONE!"  # Italian
    " #VALOR! #NÚM! #NULO! #DESPEJAR!"  # Portuguese
    " #N/B #VERW! #WAARDE! #NAAM? #GETAL! #LEEG! #DEEL/0! #OVERLOOP!"  # Dutch
    " #N/D! #ADR! #ARG! #NAZWA? #LICZBA! #ZERO! #DZIEL/0! #ROZLANIE!"  # Polish
    " #Н/Д #ССЫЛКА! #ЗНАЧ! #ИМЯ? #ЧИСЛО! #ПУСТО! #ДЕЛ/0! #ПЕРЕНОС!"  # Russian
    " #SAKNAS! #REFERENS! #VÄRDEFEL! #NAMN? #OGILTIGT! #SKÄRNING! #DIVISION/0! #SPILL!"  # Swedish
    " #I/T #REFERENCE! #VÆRDI! #NAVN? #NUMMER! #INTETSEGMENT! #DIVISION/0!"  # Danish, Norwegian
    " #VERDI! #NAVN? #TALL!"
    " #PUUTTUU #PUUTTUU! #VIITTAUS! #ARVO! #NIMI? #LUKU! #TYHJÄ! #JAKO/0!"  # Finnish
    " #NENÍ_K_DISPOZICI #NENÍ_K_DISPOZICI! #ODKAZ! #HODNOTA! #NÁZEV? #ČÍSLO! #DĚLENÍ_NULOU!"  # Czech
    " #HIÁNYZIK #HIV! #ÉRTÉK! #NÉV? #SZÁM! #NULLA! #ZÉRÓOSZTÓ!"  # Hungarian
    " #YOK #BAŞV! #DEĞER! #AD? #SAYI! #BOŞ! #SAYI/0!".split()  # Turkish
)
_UNREADABLE = re.compile(r"#{3,}|Err:[0-9]{3}")
"""A column that was too narrow for its numbers when it was saved; an error of LibreOffice."""


def is_error(cell: str) -> bool:
    """Whether a cell holds an error and no value. Blanks around it are gone already."""
    if cell[:1] not in ("#", "E") or len(cell) > 40:
        return False
    return cell.upper() in _NAMES or _UNREADABLE.fullmatch(cell) is not None
