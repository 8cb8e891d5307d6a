"""Cookies as the gateway reads them: whoever sends a request also decides how long its parsing takes."""

from starlette.datastructures import Headers


def cookie(headers: Headers, name: str) -> str | None:
    """Return the value of a cookie of ours, as it is sent.

    Not `request.cookies`: Python unescapes quoted values in square time, before anybody has signed in. Values of ours
    are never quoted.
    """
    for line in headers.getlist("cookie"):
        for each in line.split(";"):
            named, _, value = each.partition("=")
            if named.strip() == name:
                return value.strip()
    return None
