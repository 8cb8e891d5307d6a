"""Run a command within limits, and optionally in its own namespaces: `sandbox.py ORDER COMMAND...`.

This file runs as a separate program and imports nothing of Holdgate. `activities/shared/commands.py` makes `ORDER`,
which is JSON.

An isolated command runs as another user without capabilities, or as the only user of a user namespace where the worker
is not root. The command sees the programs of the system and a copy of one folder, in memory. The command sees no other
process, network, socket or key, and nothing of the disk that it could write to. The first process of its namespace ends
with the command, and the kernel then ends all processes that are left.

Failures to set up the namespaces are written to the pipe `status`, never to the output, where the command could write
the same text.
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
"""The paths with programs that an isolated command sees. `/usr/src` is missing, because it may hold a checkout."""
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types")
CERTIFICATES = ("ca-certificates", "pki/ca-trust", "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf")
DEVICES = ("null", "zero", "full", "random", "urandom")
FIRST_UID = 2_000_000_000
"""The first user id of commands. The process id is added, so that no two commands share a user or a limit by user."""
INNER_UID = 1000
"""The id of the worker's user inside a user namespace."""
PROCESSES = 128
"""The maximum number of processes and threads of an isolated command."""
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
"""System calls that programs rarely need and that attacks on the kernel use: their numbers on x86_64, and elsewhere.

Keys belong to users, not to namespaces: without this list, a worker that is not root would share its keys.
"""
CLONE, CLONE3, SOCKET = (56, 220), (435, 435), (41, 198)
FAMILIES = (1, 2, 10, 16)
"""The allowed socket families: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK.

Other families, such as AF_VSOCK, could reach the host of a virtual machine.
"""

libc = ctypes.CDLL(None, use_errno=True)


def main(order: str, *words: str) -> NoReturn:
    wanted: dict[str, Any] = json.loads(order)
    command = list(words)
    if not wanted["isolate"]:
        signal.alarm(wanted["seconds"])  # The alarm stays active in the command.
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
        os._exit(run_inside(command, wanted, user))
    os.close(status)
    end_with(wait_for_end(first, wanted["seconds"]))


def tell(status: int, error: OSError) -> NoReturn:
    os.write(status, (f"{error.filename}: {error.strerror}" if error.filename else str(error)).encode())
    os._exit(1)


def wait_for_end(first: int, seconds: int) -> int:
    """Wait until the first process of the namespaces ends.

    End the namespaces on a timeout or a signal, or if the worker dies.
    """
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
    """End this process with the exit code or the signal with which the command ended."""
    if code < 0:
        with suppress(OSError):  # The handler of SIGKILL cannot be changed.
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


# ------------------------------------------------------------------------------------------------------ the namespaces


def leave_namespaces() -> None:
    """Leave the namespaces of the machine.

    Move this process to new namespaces. The next child process is the first process in the new namespaces.
    """
    call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
    # If memory runs out, the kernel ends this process before any other.
    Path("/proc/self/oom_score_adj").write_text("1000")
    user, group = os.geteuid(), os.getegid()
    call("unshare", NAMESPACES | (NEW_USER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{INNER_UID} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{INNER_UID} {group} 1")


def run_inside(command: list[str], wanted: dict[str, Any], user: int) -> int:
    """Run as the first process of the new namespaces: set up the file system, drop all rights, and wait for the
    command.
    """
    status = wanted["status"]
    os.umask(0o022)
    try:
        call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        if user == INNER_UID:
            with suppress(OSError):  # No further user namespaces inside this one.
                Path("/proc/sys/user/max_user_namespaces").write_text("0")
        socket.sethostname("isolated")
        loopback_up()
        set_up_root(wanted, user)
        drop_rights(user)
        running = os.fork()
    except OSError as error:
        tell(status, error)
    if not running:
        execute(command, wanted)  # Closes `status`.
    os.close(status)
    while True:
        ended, how = os.wait()
        if ended == running:
            code = os.waitstatus_to_exitcode(how)
            return 128 - code if code < 0 else min(code, 128)


def set_up_root(wanted: dict[str, Any], user: int) -> None:
    """Make a root file system with only the paths that the command needs. The old root is unmounted."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    Path("/tmp/old").mkdir()
    call("pivot_root", b"/tmp", b"/tmp/old")
    os.chdir("/")
    mount_work_folder(wanted, user)
    for name in SYSTEM:
        mount_visible(f"/{name}")
    for name in (*ETC, *CERTIFICATES):
        mount_visible(f"/etc/{name}")
    for path in wanted["visible"]:
        mount_visible(path)
    for link, target in wanted["links"]:
        Path(link).parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            Path(link).symlink_to(target)
    Path("/etc/passwd").write_text(f"root:x:0:0::/:/bin/false\nisolated:x:{user}:{user}::/tmp:/bin/sh\n")
    Path("/etc/group").write_text(f"root:x:0:\nisolated:x:{user}:\n")
    Path("/etc/hosts").write_text("127.0.0.1 localhost isolated\n::1 localhost\n")
    Path("/proc").mkdir()
    # Containers hide parts of their /proc, and then the kernel refuses to mount a complete one.
    with suppress(PermissionError):
        mount("proc", "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount_devices()
    call("umount2", b"/old", DETACH)
    Path("/old").rmdir()
    read_only("/", 0)
    os.chdir("/tmp/work")


def mount_visible(path: str) -> None:
    """Mount a path read-only, so that the command sees it, if the path exists."""
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


def mount_devices() -> None:
    Path("/dev").mkdir()
    for name in DEVICES:
        Path(f"/dev/{name}").touch()
        mount(f"/old/dev/{name}", f"/dev/{name}", None, MS_BIND)
    for link, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        Path(f"/dev/{link}").symlink_to(f"/proc/self/{target}")
    Path("/dev/shm").symlink_to("/tmp")


def mount_work_folder(wanted: dict[str, Any], user: int) -> None:
    """Mount the only writable folder: in memory, with the copy in it."""
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


def drop_rights(user: int) -> None:
    """Drop every right that the command does not need, irreversibly."""
    try:
        call("syscall", KEYCTL, 1, None)  # A new session of keys.
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # Then the command cannot use keys either.
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
    """Make the kernel refuse system calls that namespaces do not restrict: see seccomp(2) and filter.h."""
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
        # Programs for another architecture use other numbers.
        *(architecture, unless(equal, ARCHITECTURES[machine], 2), number, unless(at_least, X32, 1)),
        answer(errno.ENOSYS),
        # The filter cannot read the flags of clone3; programs fall back to clone.
        *(unless(equal, CLONE3[which], 1), answer(errno.ENOSYS)),
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
    """Replace this process by the command, within its limits."""
    limits = {
        resource.RLIMIT_CPU: wanted["seconds"],
        resource.RLIMIT_AS: wanted["memory"],
        resource.RLIMIT_FSIZE: wanted["file_size"],
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_CORE: 0,
    }
    if wanted["isolate"]:  # Otherwise it would count all processes of the worker's user.
        limits[resource.RLIMIT_NPROC] = PROCESSES
        os.setsid()
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores this signal, and the command would inherit that.
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
    """Call a function of the C library. Raises OSError with the name of the function if the call fails."""
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
    """Make a mount read-only. Devices and set-user-id programs in it cannot be used."""
    what = struct.pack("QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, AT_FDCWD, os.fsencode(path), how, what, len(what))


if __name__ == "__main__":
    main(*sys.argv[1:])
