"""The code of a hostile artefact: `python3 attack.py NAME TARGETS`; `everything` prints which attacks have succeeded.

It goes into artefacts as `attack.py`, so it imports nothing of Holdgate. `TARGETS` is JSON: where the victim is, as
somebody knows it who knows the machine.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

SEIZE = 0x4206
libc = ctypes.CDLL(None, use_errno=True)
ATTACKS: dict[str, Callable[[dict[str, Any]], object]] = {}


def attack(function: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    ATTACKS[function.__name__] = function
    return function


# ------------------------------------------------------------------------------------------------ what it wants to read


@attack
def environment_of_others(at: dict[str, Any]) -> object:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found.append(at["secret"].encode() in path.read_bytes())
        except OSError:
            continue
    return any(found)


@attack
def commands_of_others(at: dict[str, Any]) -> object:
    return Path(f"/proc/{at['pid']}/cmdline").read_bytes().count(b"sleep")


@attack
def memory_of_others(at: dict[str, Any]) -> object:
    with Path(f"/proc/{at['pid']}/mem").open("rb"):
        return True


@attack
def demo_tokens(at: dict[str, Any]) -> object:
    return at["secret"] in Path(at["var"], "demo-tokens.json").read_text()


@attack
def the_database(at: dict[str, Any]) -> object:
    return Path(at["var"], "holdgate.db").read_bytes()


@attack
def files_of_the_worker_through_proc(at: dict[str, Any]) -> object:
    return Path(f"/proc/{at['pid']}/root{at['var']}/demo-tokens.json").read_text()


@attack
def files_of_its_parent_through_proc(at: dict[str, Any]) -> object:
    return Path(f"/proc/{os.getppid()}/root{at['var']}/demo-tokens.json").read_text()


@attack
def the_release_of_another_app(at: dict[str, Any]) -> object:
    return list(Path(at["var"], "apps").iterdir())


@attack
def settings_beside_the_code(at: dict[str, Any]) -> object:
    return Path(at["code"], "core/settings.py").read_text()


@attack
def users_of_the_machine(at: dict[str, Any]) -> object:
    return "nobody" in Path("/etc/passwd").read_text()


@attack
def any_file_of_that_name(at: dict[str, Any]) -> object:
    for above, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if f"{above}{name}" not in ("/proc", "/sys", "/usr")]
        if "demo-tokens.json" in names:
            return True
    return False


@attack
def shared_memory_by_its_name(at: dict[str, Any]) -> object:
    return Path("/dev/shm", at["shared"]).read_text()


@attack
def shared_memory_by_its_key(at: dict[str, Any]) -> object:
    return libc.shmget(at["key"], 0, 0) != -1


@attack
def open_files_of_the_worker(at: dict[str, Any]) -> object:
    names = []
    for each in Path("/proc/self/fd").iterdir():
        try:
            names.append(str(each.readlink()))
        except OSError:
            continue
    return any(at["var"] in name for name in names)


@attack
def key_of_the_worker(at: dict[str, Any]) -> object:
    number = {"x86_64": 250}.get(os.uname().machine, 219)
    return libc.syscall(number, 10, -3, b"user", at["secret"].encode(), 0) != -1


@attack
def keys_of_its_user(at: dict[str, Any]) -> object:
    """Give them the permissions that they have."""
    keyctl, got = (250 if os.uname().machine == "x86_64" else 219), []
    for line in Path("/proc/keys").read_text().splitlines():
        number, _, _, _, permissions, *_ = line.split()
        got.append(libc.syscall(keyctl, 5, ctypes.c_int32(int(number, 16)), int(permissions, 16)) == 0)
    return any(got)


# ----------------------------------------------------------------------------------------------- whom it wants to reach


def reaches(family: int, kind: int, address: Any) -> bool:
    with socket.socket(family, kind) as caller:
        caller.settimeout(1)
        caller.connect(address)
        caller.sendall(b"hello")
        return True


@attack
def a_port_on_loopback(at: dict[str, Any]) -> object:
    return reaches(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", at["port"]))


@attack
def a_port_on_loopback_of_ipv6(at: dict[str, Any]) -> object:
    return reaches(socket.AF_INET6, socket.SOCK_STREAM, ("::1", at["port6"]))


@attack
def a_port_on_every_address_of_the_machine(at: dict[str, Any]) -> object:
    return reaches(socket.AF_INET, socket.SOCK_STREAM, (at["address"], at["port"]))


@attack
def an_address_outside(at: dict[str, Any]) -> object:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.connect(("192.0.2.1", 53))
        return caller.getsockname()[0]


@attack
def an_abstract_socket(at: dict[str, Any]) -> object:
    return reaches(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + at["abstract"])


@attack
def a_socket_in_a_folder(at: dict[str, Any]) -> object:
    return reaches(socket.AF_UNIX, socket.SOCK_STREAM, at["socket"])


@attack
def sockets_of_no_network(at: dict[str, Any]) -> object:
    """Such as AF_VSOCK, with which a virtual machine reaches its host."""
    families = [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK]
    found = []
    for family in {*range(46)} - {*families}:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            with suppress(OSError), socket.socket(family, kind):
                found.append(family)
    return found


# ----------------------------------------------------------------------------------------------- what it wants to break


@attack
def write_to_the_state_of_holdgate(at: dict[str, Any]) -> object:
    return Path(at["var"], "demo-tokens.json").open("a").write("x")


@attack
def write_beside_it(at: dict[str, Any]) -> object:
    return Path(at["var"], f"left-{os.getpid()}").write_text("x")


@attack
def write_to_programs(at: dict[str, Any]) -> object:
    path = Path("/usr/local/bin", f"holdgate-{at['shared']}")
    path.write_text("x")
    path.unlink()
    return True


@attack
def write_to_python(at: dict[str, Any]) -> object:
    path = Path(at["python"], "lib", f"holdgate-{at['shared']}")
    path.write_text("x")
    path.unlink()
    return True


@attack
def become_root(at: dict[str, Any]) -> object:
    os.setuid(0)
    return os.getuid() == 0


@attack
def new_privileges(at: dict[str, Any]) -> object:
    said = Path("/proc/self/status").read_text()
    return "NoNewPrivs:\t0" in said or any(int(line.split()[1], 16) for line in said.splitlines() if "Cap" in line)


@attack
def mount_something(at: dict[str, Any]) -> object:
    return libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) == 0 and libc.umount(b"/tmp") == 0


@attack
def make_programs_writable_in_a_namespace_of_its_own(at: dict[str, Any]) -> object:
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", f"mount -o remount,bind,rw /usr && touch /usr/holdgate-{at['shared']}"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


@attack
def a_user_namespace(at: dict[str, Any]) -> object:
    return subprocess.run(["unshare", "-U", "true"], capture_output=True, check=False).returncode == 0


@attack
def a_ring_of_calls(at: dict[str, Any]) -> object:
    return libc.syscall(425, 4, ctypes.create_string_buffer(200)) != -1


@attack
def live_longer_than_others_without_memory(at: dict[str, Any]) -> object:
    return Path("/proc/self/oom_score_adj").write_text("500")


@attack
def trace_the_worker(at: dict[str, Any]) -> object:
    return libc.ptrace(SEIZE, at["pid"], None, None) == 0


@attack
def trace_its_parent(at: dict[str, Any]) -> object:
    return libc.ptrace(SEIZE, os.getppid(), None, None) == 0


@attack
def raise_its_limits(at: dict[str, Any]) -> object:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return True


@attack
def kill_the_worker(at: dict[str, Any]) -> object:
    os.kill(at["pid"], signal.SIGKILL)
    return True


# --------------------------------------------------------------------------------------------- what it wants to exhaust


def leave_a_daemon(at: dict[str, Any]) -> None:
    if os.fork():
        return
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    time.sleep(300)


def bomb(at: dict[str, Any]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    number = 0
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
                time.sleep(300)
            number += 1
        except OSError:
            say(f"forked {number}")
            time.sleep(300)


def fill_the_disk(at: dict[str, Any]) -> None:
    for number in range(10_000):
        Path(f"{number}").write_bytes(bytes(1 << 20))


def a_huge_file(at: dict[str, Any]) -> None:
    with Path("huge").open("wb") as file:
        for _ in range(1000):
            file.write(bytes(1 << 20))


def huge_output(at: dict[str, Any]) -> None:
    while True:
        say("x" * 65536)


def much_memory(at: dict[str, Any]) -> None:
    bytearray(2 << 30)


def much_time(at: dict[str, Any]) -> None:
    while True:
        pass


def leave_links(at: dict[str, Any]) -> None:
    """What a worker that removes or reads its folder would follow."""
    work = Path.cwd()
    (work / "link").symlink_to(at["var"])
    (work / "attack.py").rename(work / "away")
    (work / "attack.py").symlink_to(f"{at['var']}/demo-tokens.json")
    os.chdir("/")
    work.rename(f"{work}-away")
    work.symlink_to(at["var"])


def mark(at: dict[str, Any]) -> None:
    """Tell that it ran: by what it prints, which is allowed, and wherever else it can."""
    say(str(time.time()))
    with suppress(OSError), Path(at["file"]).open("a") as file:
        file.write("ran\n")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(name: str, targets: str) -> None:
    at = json.loads(targets)
    if name != "everything":
        globals()[name](at)
        return
    found = {}
    for each in at.get("attacks", ATTACKS):
        trying = ATTACKS[each]
        try:
            found[each] = bool(trying(at))
        except (OSError, KeyError, ValueError):
            found[each] = False
    say("\n".join(name for name, got in found.items() if got))


if __name__ == "__main__":
    main(*sys.argv[1:])
