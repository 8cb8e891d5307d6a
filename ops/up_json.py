"""The file `up.json`: what `make up` started, for other programs."""

from pydantic import BaseModel


class DemoPerson(BaseModel):
    """A demo person and their token."""

    id: str
    groups: list[str]
    token: str


class UpFile(BaseModel):
    """The addresses and processes of a run.

    The file holds tokens and the demo's secret, so only its owner can read it.
    """

    gateway_url: str
    temporal_ui_url: str
    temporal_address: str
    namespace: str
    database_url: str
    pids: dict[str, int | None]
    """The pid of each program; `temporal` is null for a server that was not started here."""
    people: list[DemoPerson]
    demo_sign_in_url: str | None = None
    """The link with which a browser signs in as a demo person; null without the demo. It holds a secret."""
