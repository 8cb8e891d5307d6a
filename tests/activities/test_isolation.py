"""A hostile artefact attacks the worker that runs its code, and every attack fails."""

import ast
import asyncio
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.deployment.apps import App
from activities.deployment.artefact import unpack
from activities.deployment.health import may_isolate, run_checks
from activities.shared import isolation, sandbox
from activities.shared.commands import CommandLimits, NotIsolated, run
from domain.errors import Refused
from tests.support import hostile_artefact
from tests.support.installed_app import ROOT
from tests.support.shop_app import put

CODE = Path(hostile_artefact.__file__).read_bytes()
NEEDS = pytest.mark.skipif(isolation.missing() is not None, reason=f"cannot isolate: {isolation.missing()}")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
SOMEBODY = 61_234
"""A user id of nobody, for a worker that is not root."""
LIMITS = CommandLimits(seconds=20, memory=1 << 30, file_size=1 << 20, space=8 << 20)
NOT_SHOWN = {
    "mount_something",
    "write_to_programs",
    "write_to_python",
    "make_programs_writable_in_a_namespace_of_its_own",
}
"""Attacks that would harm this machine if they succeeded."""
NEVER = {"open_files_of_the_worker", "raise_its_limits"}
"""Attacks that `commands.py` and the limits alone withstand."""


OF_SOME_MACHINES = {"sockets_of_no_network", "a_user_namespace", "a_ring_of_calls", "keys_of_its_user"}
"""Attacks that some kernels refuse to everybody."""
OF_ROOT = {"become_root", "new_privileges", "files_of_its_parent_through_proc", "trace_its_parent"}
"""Attacks that succeed for nobody but root."""


OURS = {path for each in (sys.prefix, sys.base_prefix) for path in (Path(each), Path(each).resolve())}
"""What the Python of these tests lies in."""


class Victim:
    """A worker, and what it and its machine have that nobody else may get at."""

    def __init__(self, folder: Path, user: int, held: ExitStack) -> None:
        self.user, self.secret = user, f"secret-{os.urandom(8).hex()}"
        self.var, self.release = folder / "var", folder / "release"
        (self.var / "apps" / "other").mkdir(parents=True)
        for name in ("demo-tokens.json", "holdgate.db"):
            (self.var / name).write_text(self.secret)
        put(folder, "hostile", {"attack.py": CODE})
        self.release.mkdir()
        unpack(folder / "hostile.tar.gz", self.release)
        self.shared = Path("/dev/shm", self.secret)
        self.shared.write_text("x")
        held.callback(self.shared.unlink)
        self.listeners = [held.enter_context(each) for each in self._listening()]
        # Inherited by whatever does not take care.
        self.open = held.enter_context((self.var / "holdgate.db").open())
        os.set_inheritable(self.open.fileno(), True)
        libc = ctypes.CDLL(None)
        self.key = int.from_bytes(os.urandom(3))
        segment = libc.shmget(self.key, 4096, 0o1666)
        held.callback(libc.shmctl, segment, 0, None)
        libc.syscall(248 if os.uname().machine == "x86_64" else 217, b"user", self.secret.encode(), b"x", 1, -3)
        for path in (folder, *folder.rglob("*"), self.shared):
            os.chown(path, user, user)
        self.process = held.enter_context(
            subprocess.Popen(["sleep", "300"], env={"TOKEN": self.secret}, user=user, group=user, extra_groups=[])
        )
        held.callback(self.process.kill)
        self.before = self._files()

    def _listening(self) -> Iterator[socket.socket]:
        yield socket.create_server(("0.0.0.0", 0))
        yield socket.create_server(("::1", 0), family=socket.AF_INET6)
        for address in ("\0" + self.secret, str(self.var / "socket")):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen()
            yield listener

    def targets(self, attacks: Sequence[str] = ()) -> str:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 53))
            address = probe.getsockname()[0]
        at: dict[str, Any] = {"var": str(self.var), "code": str(ROOT), "python": sys.prefix, "address": address}
        at |= {"secret": self.secret, "shared": self.secret, "key": self.key, "abstract": self.secret}
        at |= {"pid": self.process.pid, "socket": str(self.var / "socket")}
        return json.dumps(
            at
            | {
                "attacks": attacks,
                "port": self.listeners[0].getsockname()[1],
                "port6": self.listeners[1].getsockname()[1],
            }
        )

    def attack(self, attacks: Iterable[str], *, isolated: bool) -> set[str]:
        """Which of these attacks say that they have got what they wanted."""
        command = ["python3", "attack.py", "everything", self.targets(list(attacks))]
        return set(
            self._as_root(command, isolated) if self.user == os.geteuid() else self._as_somebody(command, isolated)
        )

    def _as_root(self, command: list[str], isolated: bool) -> list[str]:
        with tempfile.TemporaryFile() as output, tempfile.TemporaryDirectory() as room:
            ran = run(command, output, self.release, LIMITS, isolated=isolated, room=Path(room), errors=2)
            assert asyncio.run(ran) == 0, output.seek(0) or output.read()
            output.seek(0)
            return output.read().decode().split()

    def _as_somebody(self, command: list[str], isolated: bool) -> list[str]:
        status, told = os.pipe()
        limits = {"seconds": 20, "memory": 1 << 30, "file_size": 1 << 20, "space": 8 << 20}
        order = {"isolate": isolated, "status": told, "folder": str(self.release), "visible": [], "links": [], **limits}
        done = subprocess.run(
            ["/usr/bin/python3", "-I", "-S", sandbox.__file__, json.dumps(order), *command],
            capture_output=True,
            user=self.user,
            group=self.user,
            extra_groups=[],
            cwd=self.release,
            env={"PATH": "/usr/bin:/bin"},
            pass_fds=(told,) if isolated else (told, self.open.fileno()),
            check=False,
        )
        os.close(told)
        assert done.returncode == 0, os.read(status, 1000) + done.stderr
        os.close(status)
        return done.stdout.decode().split()

    def harm(self) -> list[str]:
        """What has happened to it, whatever the attacker says."""
        harm = [] if self.process.poll() is None else ["killed"]
        for listener in self.listeners:
            listener.setblocking(False)
            try:
                listener.accept()[0].close()
                harm.append(f"reached at {listener.getsockname()!r}")
            except BlockingIOError:
                continue
        return harm + sorted(f"changed: {path}" for path in self.before ^ self._files())

    def _files(self) -> set[tuple[Path, bytes]]:
        return {(path, path.read_bytes()) for path in self.var.rglob("*") if path.is_file()}


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["as root", "as somebody"])
def victim(request: pytest.FixtureRequest, held: ExitStack) -> Victim:
    user = os.geteuid() if request.param == "as root" else SOMEBODY
    if os.geteuid() != 0 and user == SOMEBODY:
        pytest.skip("only root can be another user")
    folder = Path(tempfile.mkdtemp(prefix="victim-", dir="/tmp"))
    held.callback(shutil.rmtree, folder)
    return Victim(folder, user, held)


@NEEDS
def test_nothing_that_hostile_code_tries_against_its_worker_works(victim: Victim) -> None:
    assert victim.attack(hostile_artefact.ATTACKS, isolated=True) == set()
    assert victim.harm() == []


@ROOT_ONLY
def test_each_of_these_attacks_works_where_nothing_isolates(victim: Victim) -> None:
    left_out = NOT_SHOWN | NEVER | OF_SOME_MACHINES | (OF_ROOT if victim.user else set())
    wanted = [name for name in hostile_artefact.ATTACKS if name not in left_out]
    got = victim.attack(wanted, isolated=False)
    assert got == set(wanted)
    assert "killed" in victim.harm() and len(victim.harm()) > 4


# ---------------------------------------------------------------------------------------------------- what goes too far


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    put(tmp_path, "hostile", {"attack.py": CODE})
    unpack(tmp_path / "hostile.tar.gz", folder)
    return folder


def an_app(name: str, **more: object) -> App:
    """An app with an attack for its only check. What it starts can be told by the name of the attack and a number."""
    command = ["python3", "attack.py", name, json.dumps({"mark": os.urandom(8).hex(), **more})]
    limits = {"checks_timeout": "20s", "checks_memory_mb": 512, "checks_file_mb": 2}
    return App.model_validate({"health": "http://127.0.0.1:1/", "checks": [command], **limits})


def left_of(app: App) -> list[int]:
    """The processes that a check has started and which still live, wherever they are."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if json.loads(app.checks[0][3])["mark"].encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@NEEDS
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bomb", r"did not end in time.*forked 1\d\d"),
        ("fill_the_disk", "No space left on device"),
        ("a_huge_file", "File too large|wrote more"),
        ("huge_output", "File too large|wrote more|failed"),
        ("much_memory", "MemoryError"),
        ("much_time", "did not end in time|took more processor time"),
    ],
)
async def test_code_that_takes_too_much_is_stopped_with_all_that_it_began(release: Path, name: str, words: str) -> None:
    span = timedelta(seconds={"bomb": 6, "much_time": 2}.get(name, 20))  # a busy machine takes long for little
    app, home = an_app(name).model_copy(update={"checks_timeout": span}), release.parent / "checks"
    began, before = time.monotonic(), shutil.disk_usage(release.parent).used
    with pytest.raises(Refused, match=rf"(?s){words}"):
        await run_checks(app, release, home, isolated=True)
    assert time.monotonic() - began < 20
    assert left_of(app) == [] and list(home.iterdir()) == []
    assert shutil.disk_usage(release.parent).used - before < 32 << 20


@NEEDS
async def test_what_programs_usually_do_works(release: Path) -> None:
    (release / "work.py").write_text(
        "import asyncio, multiprocessing, socket, subprocess, threading\n"
        "threads = [threading.Thread(target=print, args=('thread',)) for _ in range(2)]\n"
        "for each in threads: each.start(); each.join()\n"
        "multiprocessing.get_context('fork').Process(target=print, args=('process',)).start()\n"
        "subprocess.run(['sh', '-c', 'true | cat'], check=True)\n"
        "async def main():\n"
        "    async with await asyncio.start_server(lambda *_: None, '127.0.0.1', 0) as server:\n"
        "        socket.create_connection(server.sockets[0].getsockname()).close()\n"
        "asyncio.run(main())\n"
    )
    app = App.model_validate({"health": "http://127.0.0.1:1/", "checks": [["python3", "work.py"]]})
    (check,) = await run_checks(app, release, release.parent / "checks", isolated=True)
    assert sorted(check.output.split()) == ["process", "thread", "thread"]


@NEEDS
async def test_what_code_leaves_running_ends_with_it(release: Path) -> None:
    app = an_app("leave_a_daemon")
    await run_checks(app, release, release.parent / "checks", isolated=True)
    assert left_of(app) == []


@NEEDS
async def test_what_is_stopped_by_its_limit_does_not_stop_what_runs_beside_it(release: Path) -> None:
    bomb, other = (
        an_app("bomb").model_copy(update={"checks_timeout": timedelta(seconds=6)}),
        an_app("mark", file="/nowhere/x"),
    )
    home = release.parent / "checks"
    bombing = asyncio.create_task(run_checks(bomb, release, home, isolated=True))
    async with asyncio.timeout(10):
        while len(left_of(bomb)) < 100:
            await asyncio.sleep(0.05)
    (check,) = await run_checks(other, release, home, isolated=True)
    assert float(check.output) and not bombing.done()
    with pytest.raises(Refused):
        await bombing


@NEEDS
async def test_links_that_code_leaves_in_place_of_its_folder_lead_nobody_anywhere(release: Path) -> None:
    var = release.parent / "var"
    var.mkdir()
    (var / "demo-tokens.json").write_text("tokens")
    app = an_app("leave_links", var=str(var))
    await run_checks(app, release, release.parent / "checks", isolated=True)
    assert (var / "demo-tokens.json").read_text() == "tokens"
    assert (release / "attack.py").read_bytes() == CODE and list((release.parent / "checks").iterdir()) == []


@NEEDS
async def test_of_the_system_only_its_programs_are_seen(release: Path) -> None:
    app = App.model_validate({"health": "http://127.0.0.1:1/", "checks": [["ls", "/", "/usr", "/usr/local"]]})
    (check,) = await run_checks(app, release, release.parent / "checks", isolated=True)
    seen = {name for name in check.output.split() if not name.endswith(":")}
    assert {"usr", "local", "bin"} <= seen
    assert seen <= {*sandbox.PROGRAMS, "usr", "local", "dev", "etc", "proc", "tmp", *(path.parts[1] for path in OURS)}


@NEEDS
async def test_one_check_leaves_nothing_for_the_next(release: Path) -> None:
    leave, look = (
        "open('/tmp/left', 'w'); open('left', 'w')",
        "import os; print(os.listdir('/tmp')); print(os.listdir())",
    )
    commands = [["python3", "-c", each] for each in (leave, look)]
    app = App.model_validate({"health": "http://127.0.0.1:1/", "checks": commands})
    _, check = await run_checks(app, release, release.parent / "checks", isolated=True)
    # Where Python itself lies below /tmp it is seen there.
    seen = {"work", *(path.parts[2] for path in OURS if path.parts[1] == "tmp")}
    there, here = map(ast.literal_eval, check.output.splitlines())
    assert {"work"} <= set(there) <= seen and here == ["attack.py"]


@NEEDS
async def test_what_a_killed_worker_was_running_ends_with_it(release: Path) -> None:
    app = an_app("much_time")
    code = (
        "import asyncio, sys; from pathlib import Path; from activities.deployment.apps import App\n"
        "from activities.deployment.health import run_checks\n"
        "app = App.model_validate_json(sys.argv[1])\n"
        "asyncio.run(run_checks(app, Path(sys.argv[2]), Path(sys.argv[3]), isolated=True))\n"
    )
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, app.model_dump_json(include={"health", "checks"})),
        *(str(release), str(release.parent / "checks")),
        cwd=ROOT,
    )
    async with asyncio.timeout(20):
        while len(left_of(app)) < 3:
            await asyncio.sleep(0.05)
    worker.kill()
    await worker.wait()
    async with asyncio.timeout(5):
        while left_of(app):
            await asyncio.sleep(0.05)


# ----------------------------------------------------------------------------------------------- where nothing isolates


ASKED = """
import asyncio
from activities.shared import isolation
from activities.shared.commands import NotIsolated
from activities.deployment.health import may_isolate
for approved, accepted in (False, False), (True, False), (False, True), (True, True):
    try:
        print(asyncio.run(may_isolate(approved=approved, accepted=accepted)))
    except NotIsolated as no:
        print(no.non_retryable, no.message)
print(isolation.warning(accepted=False))
print(isolation.warning(accepted=True))
"""
NO_NAMESPACES = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"]
"""Root as in a container: without the right to make namespaces."""


@ROOT_ONLY
def test_where_nothing_isolates_only_approved_code_runs_and_only_if_that_is_accepted() -> None:
    command = [*NO_NAMESPACES, sys.executable, "-c", ASKED]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.splitlines()
    begins = (
        "True The checks were not run. This worker cannot isolate untrusted code (unshare: Operation not permitted)."
    )
    begins += " Run workers on machines where they can isolate code, see 'Isolation' in docs/processes/deployment.md, "
    accept = "or set HOLDGATE_UNISOLATED_CODE=accept if the risk is acceptable; restart the workers, and retry."
    too_soon = "and retry. HOLDGATE_UNISOLATED_CODE=accept is only for code that somebody has approved."
    assert told[:4] == [begins + accept, begins + accept, begins + too_soon, "False"]
    starts = "this machine cannot isolate untrusted code (unshare: Operation not permitted): checks of deployments "
    ends = "; see 'Isolation' in docs/processes/deployment.md"
    refused, accepted = "do not run, and their cases wait for operators", "run as this user once a release is approved"
    assert told[4:] == [starts + refused + ends, starts + accepted + ends]


@ROOT_ONLY
@NEEDS
def test_a_worker_that_is_not_root_finds_out_whether_it_can_isolate() -> None:
    python = ["/usr/bin/python3", "-c", "from activities.shared import isolation; print(isolation.missing())"]
    told = subprocess.run(
        python, user=SOMEBODY, group=SOMEBODY, extra_groups=[], cwd=ROOT, capture_output=True, text=True
    )
    assert told.stdout.strip() == "None", told.stderr


@NEEDS
@pytest.mark.parametrize("approved", [True, False])
@pytest.mark.parametrize("accepted", [True, False])
async def test_what_can_be_isolated_always_is(approved: bool, accepted: bool) -> None:
    assert await may_isolate(approved=approved, accepted=accepted) is True
    assert isolation.warning(accepted=accepted) is None, "nobody is alarmed"


@NEEDS
async def test_isolation_that_fails_later_is_trouble_and_runs_nothing(
    release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "programs", lambda: {"visible": ["/proc/self/status"], "links": []})
    with pytest.raises(NotIsolated, match=r"cannot isolate untrusted code \(/proc: File exists\)"):
        await run_checks(an_app("mark", file="/nowhere/x"), release, release.parent / "checks", isolated=True)
