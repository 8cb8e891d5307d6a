"""The text that `make up` prints when all programs are ready: addresses, demo people, and commands to try."""

import os
import sys
from pathlib import Path
from shlex import quote

from core.settings import ROOT, Settings
from ops.up_json import UpFile


def text(settings: Settings, up: UpFile, *, own: bool) -> str:
    """Return the text. Every command in the text can be pasted into a second terminal in the same folder."""
    ui = up.temporal_ui_url
    if not own and "temporal_ui_url" not in settings.model_fields_set:
        ui = f"the one of {up.temporal_address}; set HOLDGATE_TEMPORAL_UI_URL for links to it"
    return f"""
Holdgate is up.

  Pages            {up.demo_sign_in_url or settings.public_url + "/"}
  API docs         {settings.public_url}/docs
  Temporal Web UI  {ui}
  State, logs      {_short(settings.var)}, {_short(settings.var / "log")}

{_demo(settings, up) if settings.demo else FIRST_ADMIN}

Ctrl-C stops everything."""


FIRST_ADMIN = """HOLDGATE_DEMO=0: nobody was created. Make the first admin, and a token to sign in with:

  ./holdgate people add admin-1 --name "First admin" --group admins
  ./holdgate people token admin-1

Make a second admin in the same way. From then on, admins send people one-time links."""


def _demo(settings: Settings, up: UpFile) -> str:
    tokens = _short(settings.demo_tokens)
    people = "\n".join(f"  {person.id:<12} {', '.join(person.groups)}" for person in up.people)
    python = f"{quote(_short(Path(sys.executable)))} -c"
    return f"""The link to the pages holds a secret: with it a browser signs in as any of the demo people below.
Keep it to yourself. It stays the same until you delete {_short(settings.demo_secret)}.

Demo people and their groups; their tokens are in {tokens}:

{people}

Type next, in a second terminal: `make demo` for a story with every kind of end, or yourself:

  # requester-1 uploads payments
  ./holdgate submit {_sample()} --process payment --as requester-1
  # manager-1 sees what waits for managers, approves one, rejects one, and sees what was undone
  ./holdgate tasks --as manager-1
  ./holdgate decide payment:inv-1003 approve --as manager-1
  ./holdgate decide payment:inv-1005 reject --as manager-1 --comment "not ours"
  ./holdgate case payment:inv-1005 --as manager-1

The same with curl:

  api={up.gateway_url}/api/v1
  token() {{ {python} 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' {quote(tokens)} $1; }}
  first() {{ {python} 'import json, sys; print(json.load(sys.stdin)["items"][0][sys.argv[1]])' $1; }}
  curl -sS -H "Authorization: Bearer $(token requester-1)" -F file=@{_sample()} "$api/batches?process=payment"
  mine() {{ curl -sS -H "Authorization: Bearer $(token manager-1)" "$api/tasks?mine=true&q=INV-1006"; }}
  until task=$(mine | first task_id 2>/dev/null); do sleep 1; done; mine; revision=$(mine | first revision)
  curl -sS -H "Authorization: Bearer $(token manager-1)" -H "Content-Type: application/json" \\
    -d '{{"verdict": "approve", "revision": '$revision'}}' "$api/tasks/$task/decision\""""


def _sample() -> str:
    return quote(_short(ROOT / "docs" / "samples" / "payments.csv"))


def _short(path: Path) -> str:
    """Return the path relative to the working directory, if this is shorter; otherwise the whole path."""
    return min(os.path.relpath(path), str(path), key=len)
