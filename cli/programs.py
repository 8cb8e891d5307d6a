"""The commands that run Holdgate on this machine: `up`, `worker`, `api`, `migrate`, and the sample story `demo`."""

import os
import runpy

import typer

from cli import output
from cli.common import CommandError, database_url, update_schema
from core.settings import load as load_settings

app = typer.Typer()


@app.command()
def up() -> None:
    """Start Temporal, a worker and a gateway on this machine. Ctrl-C stops them.

    If you configured another Temporal server, the command starts no Temporal server.
    """
    from ops.up import main as run

    raise typer.Exit(run())


@app.command()
def worker() -> None:
    """Run one worker in the foreground."""
    runpy.run_module("worker", run_name="__main__", alter_sys=True)


@app.command()
def api() -> None:
    """Run one gateway in the foreground."""
    runpy.run_module("api", run_name="__main__", alter_sys=True)


@app.command()
def migrate() -> None:
    """Create the database, or update its schema to this version.

    You can repeat the command, even from two machines at once.
    """
    from store.db.database import normalised

    url = database_url()
    update_schema(url)
    output.say(f"{normalised(url).render_as_string(hide_password=True)} is up to date")


@app.command()
def demo() -> None:
    """Load the sample story into a running demo. You can repeat the command: cases that exist are only shown."""
    from cli import demo_story
    from cli.client import Remote, address, token

    settings = load_settings()

    def speaks(person: str) -> Remote:
        return Remote(address(settings, os.environ), token(settings, {}, person, None))

    if not demo_story.tell(speaks):
        raise CommandError("the sample story is not complete yet; run the same command again")
