"""Run a command within limits, and if asked in namespaces of its own: `sandbox.py ORDER COMMAND...`.

This file runs as a program of its own and imports nothing of Holdgate. `activities/shared/commands.py` makes
`ORDER`, which is JSON.

Isolated, the command is another user without capabilities, or the only user of a user namespace where the worker is
not root. It sees the programs of the system and a copy of one folder, in memory. It sees no other process, network,
socket or key, and nothing of the disk that it could write to. The first process of its namespace ends with the
command, and the kernel ends whatever is left then.

What cannot be set up is told on the pipe of `status`: never on the output, where the command could tell the same.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import resource
import shutil
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

PROGRAMS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "include", "share")
SYSTEM = (*(f"{above}{name}" for above in ("", "usr/", "usr/local/") for name in PROGRAMS), "nix/store")
"""What everybody on the machine may read and run. Not all of `/usr`: somebody's checkout may lie in `/usr/src`."""
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types")
CERTIFICATES = ("ca-certificates", "pki/ca-trust", "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf")
DEVICES = ("null", "zero", "full", "random", "urandom")
FIRST_UID = 2_000_000_000
"""Nobody's: the id of the process is added, so that no two commands share one, nor a limit that counts by user."""
INNER_UID = 1000
"""Who the worker's user is inside of a user namespace."""
PROCESSES = 128
"""Processes and threads."""
INODES = 50_000

NEW_MOUNTS, NEW_CGROUP, NEW_NAMES, NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEW_USER, NEW_PIDS, NEW_NETWORK = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = NEW_MOUNTS | NEW_CGROUP | NEW_NAMES | NEW_IPC | NEW_PIDS | NEW_NETWORK
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
DETACH, AT_FDCWD, AT_RECURSIVE = 2, -100, 0x8000
MOUNT_SETATTR = 442
KEYCTL = 250 if platform.machine() == "x86_64" else 219
PARENT_DEATH, DUMPABLE, SECCOMP, DROP_BOUND, NO_NEW_PRIVILEGES = 1, 4, 22, 24, 38

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
X32 = 0x40000000
DENIED = {
    **{"mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_by_handle_at": (304, 265)},
    **{"unshare": (272, 97), "setns": (308, 268), "add_key": (248, 217), "request_key": (249, 218)},
    **{"keyctl": (250, 219), "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282)},
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431)},
    **{"fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442)},
}
"""Calls that programs hardly use and attacks on the kernel do: their numbers on x86_64, and elsewhere.

Keys belong to users, not to namespaces: without this a worker that is not root would share its keys.
"""
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: sockets of a network namespace.

With others, such as AF_VSOCK, a virtual machine reaches its host.
"""

libc = ctypes.CDLL(None, use_errno=True)


def main(order: str, *words: str) -> NoReturn:
    wanted: dict[str, Any] = json.loads(order)
    command = list(words)
    if not wanted["isolate"]:
        signal.alarm(wanted["seconds"])  # stays with the command
        execute(command, wanted)
    status = wanted["status"]
    os.set_inheritable(status, False)
    user = INNER_UID if os.geteuid() else FIRST_UID + os.getpid()
    try:
        leave_namespaces()
        first = os.fork()
    except OSError as error:
        tell(status, error)
    if not first:
        os._exit(inside(command, wanted, user))
    os.close(status)
    end_with(watched(first, wanted["seconds"]))


def tell(status: int, error: OSError) -> NoReturn:
    os.write(status, (f"{error.filename}: {error.strerror}" if error.filename else str(error)).encode())
    os._exit(1)


def watched(first: int, seconds: int) -> int:
    """Wait for the first process of the namespaces; end them in time, or when the worker says so or is dead."""
    ended: list[int] = []

    def end(number: int, _frame: object) -> None:
        ended.append(number)
        os.kill(first, signal.SIGKILL)

    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, end)
    signal.alarm(seconds)
    _, status = os.waitpid(first, 0)
    signal.alarm(0)
    code = os.waitstatus_to_exitcode(status)
    return -ended[0] if ended else 128 - code if code > 128 else code


def end_with(code: int) -> NoReturn:
    """End as the command did."""
    if code < 0:
        with suppress(OSError):  # of SIGKILL nothing can be changed
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


# ------------------------------------------------------------------------------------------------------ the namespaces


def leave_namespaces() -> None:
    """Leave what the worker shares with the machine; the next child is the first process of the new namespaces."""
    call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    # If memory runs out, this goes before anything else of the machine.
    Path("/proc/self/oom_score_adj").write_text("1000")
    user, group = os.geteuid(), os.getegid()
    call("unshare", NAMESPACES | (NEW_USER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{INNER_UID} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{INNER_UID} {group} 1")


def inside(command: list[str], wanted: dict[str, Any], user: int) -> int:
    """What the first process does: lay out what the command sees, become nobody, and wait for the command."""
    status = wanted["status"]
    os.umask(0o022)
    try:
        call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        if user == INNER_UID:
            with suppress(OSError):  # no more of them inside of this one
                Path("/proc/sys/user/max_user_namespaces").write_text("0")
        socket.sethostname("isolated")
        loopback_up()
        lay_out(wanted, user)
        become(user)
        running = os.fork()
    except OSError as error:
        tell(status, error)
    if not running:
        execute(command, wanted)  # which closes `status`
    os.close(status)
    while True:
        ended, how = os.wait()
        if ended == running:
            code = os.waitstatus_to_exitcode(how)
            return 128 - code if code < 0 else min(code, 128)


def lay_out(wanted: dict[str, Any], user: int) -> None:
    """A root of nothing but what the command needs. The old one is out of reach afterwards."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    Path("/tmp/old").mkdir()
    call("pivot_root", b"/tmp", b"/tmp/old")
    os.chdir("/")
    lay_out_work(wanted, user)
    for name in SYSTEM:
        show(f"/{name}")
    for name in (*ETC, *CERTIFICATES):
        show(f"/etc/{name}")
    for path in wanted["visible"]:
        show(path)
    for link, target in wanted["links"]:
        Path(link).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            Path(link).symlink_to(target)
    Path("/etc/passwd").write_text(f"root:x:0:0::/:/bin/false\nisolated:x:{user}:{user}::/tmp:/bin/sh\n")
    Path("/etc/group").write_text(f"root:x:0:\nisolated:x:{user}:\n")
    Path("/etc/hosts").write_text("127.0.0.1 localhost isolated\n::1 localhost\n")
    Path("/proc").mkdir()
    with suppress(PermissionError):  # containers hide parts of theirs, and then the kernel gives no whole one
        mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    lay_out_devices()
    call("umount2", b"/old", DETACH)
    Path("/old").rmdir()
    read_only("/", 0)
    os.chdir("/tmp/work")


def show(path: str) -> None:
    """Let the command read what lies there, if anything does."""
    source, target = Path(f"/old{path}"), Path(path)
    if not source.exists() and not source.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    target.mkdir(exist_ok=True) if source.is_dir() else target.touch()
    mount(str(source), path, None, MS_BIND | MS_REC)
    read_only(path, AT_RECURSIVE)


def lay_out_devices() -> None:
    Path("/dev").mkdir()
    for name in DEVICES:
        Path(f"/dev/{name}").touch()
        mount(f"/old/dev/{name}", f"/dev/{name}", None, MS_BIND)
    for link, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(f"/dev/{link}").symlink_to(f"/proc/self/{target}")
    Path("/dev/shm").symlink_to("/tmp")


def lay_out_work(wanted: dict[str, Any], user: int) -> None:
    """The only place to write to: in memory, with the copy in it."""
    Path("/tmp").mkdir()
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, f"mode=0700,size={wanted['space']},nr_inodes={INODES}")
    shutil.copytree(f"/old{wanted['folder']}", "/tmp/work", symlinks=True)
    os.chown("/tmp", user, user)
    for above, _folders, files in os.walk("/tmp/work"):
        for name in ("", *files):
            os.chown(Path(above, name), user, user, follow_symlinks=False)


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        up = struct.pack("16sh14x", b"lo", 1)
        fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS, IFF_UP


def become(user: int) -> None:
    """Give up every right that the command has no need of; nothing gives one back."""
    try:
        call("syscall", KEYCTL, 1, None)  # a session of keys of its own
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # then the command has no keys to ask for either
            raise
    number = 0
    while libc.prctl(DROP_BOUND, number, 0, 0, 0) == 0:
        number += 1
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))
    call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    call("prctl", DUMPABLE, 0, 0, 0, 0)
    call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    deny_calls()


def deny_calls() -> None:
    """Have the kernel refuse calls that no namespace keeps in: see seccomp(2), and filter.h for the instructions."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOTSUP, f"the numbers of system calls of {machine} are not known")
    which = int(machine != "x86_64")

    def load(offset: int) -> bytes:
        return struct.pack("HBBI", 0x20, 0, 0, offset)

    def unless(test: int, value: int, skipped: int) -> bytes:
        return struct.pack("HBBI", test, 0, skipped, value)

    def answer(number: int) -> bytes:
        return struct.pack("HBBI", 0x06, 0, 0, 0x50000 | number if number else 0x7FFF0000)

    equal, at_least, with_bit = 0x15, 0x35, 0x45
    number, architecture, argument = load(0), load(4), load(16)
    steps = [
        # Programs of another architecture have other numbers.
        *(architecture, unless(equal, ARCHITECTURES[machine], 2), number, unless(at_least, X32, 1)),
        answer(errno.ENOSYS),
        *(unless(equal, CLONE3[which], 1), answer(errno.ENOSYS)),  # its flags cannot be seen; programs fall back
    ]
    for numbers in DENIED.values():
        steps += [unless(equal, numbers[which], 1), answer(errno.EPERM)]
    steps += [unless(equal, CLONE[which], 4), argument, unless(with_bit, NEW_USER, 1), answer(errno.EPERM), answer(0)]
    allowed = [step for family in FAMILIES for step in (unless(equal, family, 1), answer(0))]
    steps += [unless(equal, SOCKET[which], len(allowed) + 2), argument, *allowed, answer(errno.EAFNOSUPPORT)]
    program = ctypes.create_string_buffer(b"".join([*steps, answer(0)]))
    call("prctl", SECCOMP, 2, struct.pack("HP", len(steps) + 1, ctypes.addressof(program)), 0, 0)


# ---------------------------------------------------------------------------------------------------------- the command


def execute(command: list[str], wanted: dict[str, Any]) -> NoReturn:
    """Become the command, within its limits."""
    limits = {
        resource.RLIMIT_CPU: wanted["seconds"],
        resource.RLIMIT_AS: wanted["memory"],
        resource.RLIMIT_FSIZE: wanted["file_size"],
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_CORE: 0,
    }
    if wanted["isolate"]:  # elsewhere it would count all that the worker's user runs
        limits[resource.RLIMIT_NPROC] = PROCESSES
        os.setsid()
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and so would the command
        signal.signal(number, signal.SIG_DFL)
    os.nice(10)
    os.umask(0o077)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)


# --------------------------------------------------------------------------------------------------------- system calls


def call(name: str, *given: Any) -> None:
    """Call the C library. Raises OSError naming the call."""
    given = tuple(ctypes.c_long(each) if isinstance(each, int) else each for each in given)
    if getattr(libc, name)(*given) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    texts = [None if each is None else os.fsencode(each) for each in (source, target, kind, data)]
    if libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"mount of {target}")


def read_only(path: str, how: int) -> None:
    """Make a mount read-only, without devices and without programs that run with the rights of others."""
    what = struct.pack("QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), how, what, len(what))


if __name__ == "__main__":
    main(*sys.argv[1:])
