"""The file `up.json`, in which other programs read what `make up` has started."""

from pydantic import BaseModel


class DemoPerson(BaseModel):
    """A demo person with the groups and the token of the person."""

    id: str
    groups: list[str]
    token: str


class UpFile(BaseModel):
    """The content of `up.json`: the addresses and processes of a run.

    The file holds tokens and the demo's secret, so only its owner can read it.
    """

    gateway_url: str
    temporal_ui_url: str
    temporal_address: str
    namespace: str
    database_url: str
    pids: dict[str, int | None]
    """The pid of each program; `temporal` is null for a server that `make up` did not start."""
    people: list[DemoPerson]
    demo_sign_in_url: str | None = None
    """The link with which a browser signs in as a demo person; null without the demo. The link holds a secret."""
