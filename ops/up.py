"""`make up`: start everything, say where it is, keep it running, and stop it in order.

Exit code 0 after Ctrl-C or SIGTERM, 2 for a mistake that a person can mend, 1 when something cannot be kept running.
"""

import asyncio
import logging
import os
import signal
import sys
from typing import NoReturn

from core import settings as configuration
from core.errors import Mistake
from core.exit import leave
from core.settings import Settings
from ops.checks import make_folder, only_one
from ops.supervisor import KeepsDying, reap
from store.db.private_files import keep_private, tighten

RESTART_ON_SAVE = "--restart-on-save"
"""For developers, see `dev.py`."""


def main() -> NoReturn:
    """Run until stopped, then end the process. Only a defect shows a stack trace."""
    leave(_exit_code())


def _exit_code() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_private()
    try:
        settings = configuration.load()
        for line in configuration.unknown(os.environ):
            logging.warning(line)
        make_folder(settings.var)
        with only_one(settings.var):
            tighten(settings.var, settings.database_url, settings.shared)
            asyncio.run(_until_stopped(settings))
    except (Mistake, configuration.WrongSettings) as mistake:
        print(f"holdgate: {mistake}", file=sys.stderr)
        return 2
    except KeepsDying as failure:
        print(f"holdgate: {failure}. The end of {settings.var / 'log' / failure.name}.log:", file=sys.stderr)
        print(*failure.lines, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before there was anything to stop
        return 130
    return 0


async def _until_stopped(settings: Settings) -> None:
    """Run until something fails or a signal asks to stop; however often it asks, everything is stopped in order once.

    `make` passes on a SIGTERM which a terminal or a service manager may have sent to this process too.
    """
    run = asyncio.create_task(_run(settings))
    signals: list[int] = []

    def stop(number: int) -> None:
        signals.append(number)
        if len(signals) == 1:
            print("stopping ...", flush=True)
            run.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        await run
    except asyncio.CancelledError:
        print("stopped", flush=True)


async def _run(settings: Settings) -> None:
    settings.up_file.unlink(missing_ok=True)
    for orphan in await asyncio.to_thread(reap, settings.var):
        print(f"ended {orphan}, left by a run that was killed", flush=True)
    from ops.run import Run  # imports most of Holdgate: the mistakes above are told before that

    pace = None
    if watched := RESTART_ON_SAVE in sys.argv[1:]:
        from ops import dev  # needs what only developers install

        pace = dev.PATIENT
    run = Run(settings, pace)
    try:
        await run.start()
        if watched:
            await run.supervisor.unless_dying(dev.restart_on_save(run.supervisor, settings.processes))
        await run.supervisor.watch()
    finally:
        settings.up_file.unlink(missing_ok=True)
        await run.stop()


if __name__ == "__main__":
    main()
