"""Rewrite dates with names of months in a form that date formats can read.

Examples are `31. März 2027`, `31 de marzo de 2027`, `2027年3月31日`.
"""

import re
from collections.abc import Mapping

_NAMES = (
    "january januar jänner janvier enero gennaio janeiro styczeń stycznia leden ledna jän ene gen sty янв января",
    "february februar février febrero febbraio fevereiro februari luty lutego únor února févr fév fev lut фев февраля",
    "march märz mars marzo março maart marzec marca březen března mrz mär mrt mar мар марта",
    "april avril abril aprile kwiecień kwietnia duben dubna avr abr kwi апр апреля",
    "may mai mayo maggio maio mei maj maja květen května mag май мая",
    "june juni juin junio giugno junho czerwiec czerwca červen června giu cze июн июня",
    "july juli juillet julio luglio julho lipiec lipca červenec července juil lug lip июл июля",
    "august août agosto augustus sierpień sierpnia srpen srpna aoû ago sie авг августа",
    "september septembre septiembre settembre setembro wrzesień września září sept set wrz сен сентября",
    "october oktober octobre octubre ottobre outubro październik października říjen října okt ott out paź окт октября",
    "november novembre noviembre novembro listopad listopada lis ноя ноября",
    "december dezember décembre diciembre dicembre dezembro grudzień grudnia prosinec dez déc dic gru дек декабря",
)
_ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS: Mapping[str, str] = {
    name: month for month, names in zip(_ENGLISH, _NAMES, strict=True) for name in names.split()
}
_EAST_ASIAN = re.compile(r"(\d{2,4})[年년] ?(\d{1,2})[月월] ?(\d{1,2})[日일]")
_WORD = re.compile(r"[^\W\d_]{3,12}")


def in_english(text: str) -> str:
    """Return a date with its month in English and without small words such as `de`.

    Return a text that is not such a date unchanged.
    """
    if found := _EAST_ASIAN.fullmatch(text):
        return "-".join(found.groups())
    words = _WORD.findall(text)
    if len(words) != 1 or (month := _MONTHS.get(words[0].casefold())) is None:
        return text
    plain = re.sub(
        r"(?i)(?<=[\d ])(?:de|do|del)(?= )|(?<=\d)(?:st|nd|rd|th|º|er)(?= )", " ", text.replace(words[0], month)
    )
    return " ".join(re.sub(r"(?<=[\dA-Za-z])\.(?= |$|-)", "", plain).split())
