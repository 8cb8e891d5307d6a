"""Recognise cells that hold an error of a spreadsheet, such as `#N/A`, in many languages."""

import re

_NAMES = frozenset(
    """
    #N/A #REF! #VALUE! #NAME? #NUM! #NULL! #DIV/0! #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT! #UNKNOWN!
    #BUSY! #EXTERNAL! #GETTING_DATA #GETTINGDATA #PYTHON! #TIMEOUT! #ERROR! #ERROR #REF #VALUE #DIV/0 #NV
    #BEZUG! #WERT! #ZAHL! #ÜBERLAUF! #KALK! #VALEUR! #NOM? #NOMBRE! #NUL! #PROPAGATION! #CALCUL! #N/D #¡REF!
    #¡VALOR! #¿NOMBRE? #¡NUM! #¡NULO! #¡DIV/0! #¡DESBORDAMIENTO! #¡CALC! #RIF! #VALORE! #NOME? #NULLO!
    #ESPANSIONE! #VALOR! #NÚM! #NULO! #DESPEJAR! #N/B #VERW! #WAARDE! #NAAM? #GETAL! #LEEG! #DEEL/0!
    #OVERLOOP! #N/D! #ADR! #ARG! #NAZWA? #LICZBA! #ZERO! #DZIEL/0! #ROZLANIE! #Н/Д #ССЫЛКА! #ЗНАЧ! #ИМЯ?
    #ЧИСЛО! #ПУСТО! #ДЕЛ/0! #ПЕРЕНОС! #SAKNAS! #REFERENS! #VÄRDEFEL! #NAMN? #OGILTIGT! #SKÄRNING!
    #DIVISION/0! #SPILL! #I/T #REFERENCE! #VÆRDI! #NAVN? #NUMMER! #INTETSEGMENT! #DIVISION/0! #VERDI! #NAVN?
    #TALL! #PUUTTUU #PUUTTUU! #VIITTAUS! #ARVO! #NIMI? #LUKU! #TYHJÄ! #JAKO/0! #NENÍ_K_DISPOZICI
    #NENÍ_K_DISPOZICI! #ODKAZ! #HODNOTA! #NÁZEV? #ČÍSLO! #DĚLENÍ_NULOU! #HIÁNYZIK #HIV! #ÉRTÉK! #NÉV? #SZÁM!
    #NULLA! #ZÉRÓOSZTÓ! #YOK #BAŞV! #DEĞER! #AD? #SAYI! #BOŞ! #SAYI/0!
    """.split()  # noqa: SIM905 - read as a table
)
"""The names of spreadsheet errors in many languages.

The languages are English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Swedish, Danish,
Norwegian, Finnish, Czech, Hungarian and Turkish.
"""
_UNREADABLE = re.compile(r"#{3,}|Err:[0-9]{3}")
"""Match `####`, which a spreadsheet writes if a column is too narrow for its number, and errors of LibreOffice."""


def is_error(cell: str) -> bool:
    """Return True if a cell holds a spreadsheet error instead of a value. The cell must have no surrounding blanks."""
    if cell[:1] not in ("#", "E") or len(cell) > 40:
        return False
    return cell.upper() in _NAMES or _UNREADABLE.fullmatch(cell) is not None
