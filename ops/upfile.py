"""`up.json`: how others find what `make up` started."""

from pydantic import BaseModel


class DemoPerson(BaseModel):
    """A demo person, and the token to be them."""

    id: str
    groups: list[str]
    token: str


class UpFile(BaseModel):
    """Where everything is. It holds tokens and the secret of the demo, so only its owner may read the file."""

    gateway_url: str
    temporal_ui_url: str
    temporal_address: str
    namespace: str
    database_url: str
    pids: dict[str, int | None]
    """The real processes; `temporal` is null for a server that was not started here."""
    people: list[DemoPerson]
    demo_sign_in_url: str | None = None
    """The link that lets a browser sign in as the demo people; null without the demo. It holds a secret."""
