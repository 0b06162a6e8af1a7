"""The sandbox of a process that runs an untrusted model: namespaces, a root of its own, resource limits, user and capabilities.

The parent, which supervises the process, calls `leave_namespaces`; the process itself calls `confine`. Both return descriptions
of the restrictions that the machine refused.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import stat
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import linux

ARTIFACT = "/artifact"
_OLD_ROOT = "/modelmesh-old-root"
_SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/etc/alternatives", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/timezone", "/sys/devices/system",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom")
_MAX_PROCESSES = 512  # and threads
_NOBODY_UID = 65534
_FIRST_UID = 2_000_000_000  # above all assigned user ids; a model's process has this plus its parent's process id


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """The artifact and the limits of one process. Sizes are in bytes; `cpu_seconds` of 0 is no limit."""

    artifact: str
    memory_bytes: int
    file_bytes: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class VisiblePath:
    """A file or folder: its path, and its path with all links resolved."""

    path: str
    real: str


def visible_paths() -> list[VisiblePath]:
    """Return the paths that a model's process can see: the system's libraries and this Python installation."""
    package = Path(os.path.realpath(__file__)).parents[2]
    python = [sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path)]
    # Only the code of ModelMesh: in a checkout the same folder may hold anything.
    own = [path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    found = [
        VisiblePath(path, os.path.realpath(path))
        for path in map(str, (*_SYSTEM, *python, *own))
        if os.path.exists(path)
    ]
    return sorted(set(found), key=lambda path: (len(path.real), path.path))


def leave_namespaces() -> list[str]:
    """Leave the machine's namespaces; the next child of this process is the first in a new PID namespace.

    Return descriptions of what the machine refused.
    """
    if sys.platform != "linux":
        return [f"namespaces: {sys.platform} has none"]
    flags = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    user, group = os.geteuid(), os.getegid()
    try:
        linux.unshare(flags)
        return []
    except OSError:
        pass
    try:
        # Without the privilege for that: it has the privilege in a user namespace.
        linux.unshare(flags | linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError as error:
        return [f"namespaces of processes, network and files: {error}"]
    return []


def confine(
    spec: SandboxSpec, visible: Sequence[VisiblePath], refused: list[str], supervisor_pid: int
) -> tuple[Path, list[str]]:
    """Confine this process. Return the new path of its artifact, and descriptions of the refused restrictions.

    `visible` are the paths to show in the new root, `refused` the result of `leave_namespaces`.
    """
    _silence_libraries()
    artifact, refused = Path(spec.artifact), list(refused)
    if not refused:
        try:
            _enter_own_root(spec, visible)
            artifact = Path(ARTIFACT)
        except OSError as error:
            refused.append(f"a file system of its own: {error}")
            _restore_root()
    _limit(spec)
    if sys.platform == "linux":
        linux.drop_bounding_set()
        # Without its own root it stays the service's user: another one could not read the artifact in the service's folder.
        refused += _switch_user(visible, supervisor_pid) if artifact == Path(ARTIFACT) else _still_root()
        for restrict in (linux.drop_capabilities, linux.no_new_privileges, linux.allow_own_proc):
            try:
                restrict()
            except OSError as error:
                refused.append(str(error))
        linux.die_with_parent(signal.SIGKILL)
    return artifact, refused


def _silence_libraries() -> None:
    """Keep the model's libraries from writing to the service's log."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")


def _limit(spec: SandboxSpec) -> None:
    limits = [
        (resource.RLIMIT_AS, spec.memory_bytes),
        (resource.RLIMIT_FSIZE, spec.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_CPU, spec.cpu_seconds),
    ]
    if os.geteuid() == 0 or _counts_by_namespace():
        limits.append((resource.RLIMIT_NPROC, _MAX_PROCESSES))
    for kind, limit in limits:
        if kind != resource.RLIMIT_CPU or limit:
            with contextlib.suppress(ValueError, OSError):  # above the hard limit, which then holds
                resource.setrlimit(kind, (limit, limit))


def _counts_by_namespace() -> bool:
    """Whether the kernel (5.14 and later) counts a user's processes by namespace, so that other processes do not count."""
    numbers = os.uname().release.split("-")[0].split(".")
    return sys.platform == "linux" and tuple(int(number) for number in numbers[:2] if number.isdigit()) >= (5, 14)


def _switch_user(visible: Sequence[VisiblePath], supervisor_pid: int) -> list[str]:
    """Switch to a user that owns nothing. Return descriptions of what was refused: staying root; another user may stay."""
    closed = next((path.real for path in visible if not os.stat(path.real).st_mode & stat.S_IROTH), None)
    if closed is not None:
        return _still_root(f": {closed} is not readable by others, and Python needs it")
    for uid in (_FIRST_UID + supervisor_pid, _NOBODY_UID):
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            return []
    return _still_root()


def _still_root(why: str = "") -> list[str]:
    return [f"a user other than root{why}"] if os.geteuid() == 0 else []


def _enter_own_root(spec: SandboxSpec, visible: Sequence[VisiblePath]) -> None:
    """Enter a root with the Python installation and the artifact, both read-only, and a private /tmp. Raises OSError."""
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)  # later mounts are not visible outside
    linux.mount("tmpfs", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")  # nosec B108
    for name in (_OLD_ROOT, "/new"):
        os.mkdir(f"/tmp{name}")  # nosec B108
    linux.pivot_root("/tmp", f"/tmp{_OLD_ROOT}")  # nosec B108
    os.chdir("/")
    linux.mount("tmpfs", "/new", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")
    # Before the visible paths, which may be below /tmp.
    os.mkdir("/new/tmp")
    data = f"mode=1777,size={spec.file_bytes},nr_inodes=100k"
    linux.mount("tmpfs", "/new/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, data)
    for path in visible:  # sorted: folders before their contents
        _mount_visible(path)
    reals = tuple(f"{path.real}/" for path in visible)
    for path in visible:
        if not f"{path.path}/".startswith(reals):
            _link_visible(path)
    _bind_file(f"{_OLD_ROOT}{spec.artifact}", f"/new{ARTIFACT}")
    os.mkdir("/new/dev")
    for name in _DEVICES:
        with contextlib.suppress(FileNotFoundError):
            _bind_file(f"{_OLD_ROOT}/dev/{name}", f"/new/dev/{name}")
    for link, target in (("shm", "/tmp"), ("fd", "/proc/self/fd")):  # nosec B108
        os.symlink(target, f"/new/dev/{link}")
    os.makedirs("/new/etc", exist_ok=True)
    Path("/new/etc/passwd").write_text(f"model:x:{os.geteuid()}:{os.getegid()}::/tmp:/bin/false\n")
    os.mkdir("/new/proc")
    with contextlib.suppress(OSError):  # containers may forbid it: then there is no /proc
        linux.mount("proc", "/new/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount("", "/new", flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV)
    os.chdir("/new")
    linux.pivot_root(".", ".")
    linux.detach(".")
    os.chdir("/tmp")  # nosec B108


def _restore_root() -> None:
    """Undo an incomplete change of root, so that the artifact is at its old path."""
    if os.path.isdir(_OLD_ROOT):
        os.chroot(_OLD_ROOT)
        os.chdir("/")


def _mount_visible(path: VisiblePath) -> None:
    """Bind a file or folder of the machine, unless a folder bound before contains it."""
    source, target = f"{_OLD_ROOT}{path.real}", f"/new{path.real}"
    if not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            os.mkdir(target)
            _bind(source, target)
        else:
            _bind_file(source, target)


def _link_visible(path: VisiblePath) -> None:
    link = f"/new{path.path}"
    os.makedirs(os.path.dirname(link), exist_ok=True)
    os.symlink(path.real, link)


def _bind_file(source: str, target: str) -> None:
    with open(target, "x"):
        pass
    _bind(source, target)


def _bind(source: str, target: str) -> None:
    """Bind read-only, including all mounts below."""
    linux.mount(source, target, flags=linux.MS_BIND | linux.MS_REC)
    for point, flags in linux.mounts_below(target, f"{_OLD_ROOT}/proc/self/mountinfo"):
        flags |= linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID
        linux.mount("", point, flags=flags if point.startswith("/new/dev/") else flags | linux.MS_NODEV)
