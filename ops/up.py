"""`make up`: start all programs, print their addresses, keep them running, and stop them in order.

Exit code 0 after Ctrl-C or SIGTERM, 2 for an error that a person can fix, 1 when a program cannot be kept running, 130
after Ctrl-C before a program was started.
"""

import asyncio
import logging
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
"""The option with which worker and gateway restart after each save. The option is for developers, see `dev.py`."""


def main() -> NoReturn:
    """Run all programs until they are stopped, then end this process.

    Only an error that Holdgate does not expect prints a stack trace.
    """
    leave(_exit_code())


def _exit_code() -> int:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    keep_private()
    try:
        settings = configuration.load()
        for line in configuration.unknown_variables():
            logging.warning("%s", line)
        make_folder(settings.var)
        with only_one(settings.var):
            tighten(settings.var, settings.database_url, settings.shared)
            asyncio.run(_until_stopped(settings))
    except (Mistake, configuration.WrongSettings) as mistake:
        print(f"holdgate: {mistake}", file=sys.stderr)
        return 2
    except KeepsDying as failure:
        where = settings.var / "log" / f"{failure.name}.log"
        print(f"holdgate: {failure}. Correct the cause, which the end of {where} shows:", file=sys.stderr)
        print(*failure.lines, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # no program was started yet
        return 130
    return 0


async def _until_stopped(settings: Settings) -> None:
    """Run until a program fails or a signal arrives. Further signals change nothing: all programs stop in order.

    `make` passes on a SIGTERM that this process can also get from the terminal or a service manager.
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
    from ops.start_programs import Run  # slow, as it imports most of Holdgate: the checks above report first

    pace = None
    if watched := RESTART_ON_SAVE in sys.argv[1:]:
        from ops import dev  # needs a package that only developers install

        pace = dev.NEVER_GIVE_UP
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
