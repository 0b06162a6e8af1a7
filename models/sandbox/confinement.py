"""What a process that runs somebody's model gives up before it touches the model, and what this machine does not let it give up.

`leave_namespaces` is for its parent, which watches over it; `confine` for the process itself. Nothing is done without in
silence: each returns in words what was refused.
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
_FIRST_UID = 2_000_000_000  # above those that anything hands out; a model's process has this and its parent's number


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """What one process is for and may take. Sizes in bytes; of processor time in seconds, 0 for as much as it wants."""

    artifact: str
    memory_bytes: int
    file_bytes: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class VisiblePath:
    """A file or folder: its name, and what it is when links are followed."""

    path: str
    real: str


def visible_paths() -> list[VisiblePath]:
    """Return what a model's process finds of the machine: the system's libraries and this Python's installation."""
    package = Path(os.path.realpath(__file__)).parents[2]
    python = [sys.prefix, sys.base_prefix, *filter(os.path.isabs, sys.path)]
    # Of ModelMesh its code has_namespaces: in a checkout the same folder may hold anything.
    own = [path for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    found = [
        VisiblePath(path, os.path.realpath(path))
        for path in map(str, (*_SYSTEM, *python, *own))
        if os.path.exists(path)
    ]
    return sorted(set(found), key=lambda path: (len(path.real), path.path))


def leave_namespaces() -> list[str]:
    """Leave the machine's namespaces; the next child of this process is the first one in a PID namespace of its own."""
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
        # Without the right to do so on this machine: in a user namespace it has that right.
        linux.unshare(flags | linux.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError as error:
        return [f"namespaces of processes, network and files: {error}"]
    return []


def confine(
    spec: SandboxSpec, visible: Sequence[VisiblePath], missing: list[str], watcher: int
) -> tuple[Path, list[str]]:
    """Confine this process; return where its artifact is now, and what the machine refuses in words.

    `visible` are the folders of the Python installation, `missing` what `leave_namespaces` returned, `watcher` the parent's id.
    """
    _silence_libraries()
    artifact, refused = Path(spec.artifact), list(missing)
    has_namespaces = not missing
    if has_namespaces:
        try:
            _enter_own_root(spec, visible)
            artifact = Path(ARTIFACT)
        except OSError as error:
            refused.append(f"a file system of its own: {error}")
            _restore_root()
    _limit(spec)
    if sys.platform == "linux":
        linux.drop_bounding_set()
        # In a folder of the service's another user would not find the file.
        refused += _switch_user(visible, watcher) if artifact == Path(ARTIFACT) else _still_root()
        for give_up in (linux.drop_capabilities, linux.no_new_privileges, linux.allow_own_proc):
            try:
                give_up()
            except OSError as error:
                refused.append(str(error))
        linux.die_with_parent(signal.SIGKILL)
    return artifact, refused


def _silence_libraries() -> None:
    """No library of a model's writes into the service's log."""
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
            with contextlib.suppress(ValueError, OSError):  # above what the system allows at most: that limit holds
                resource.setrlimit(kind, (limit, limit))


def _counts_by_namespace() -> bool:
    """Whether the kernel (5.14 and later) counts a user's processes in each namespace, so that others' do not count."""
    numbers = os.uname().release.split("-")[0].split(".")
    return sys.platform == "linux" and tuple(int(number) for number in numbers[:2] if number.isdigit()) >= (5, 14)


def _switch_user(visible: Sequence[VisiblePath], watcher: int) -> list[str]:
    """Become a user that owns nothing, where this one may: root may, and is told of where it cannot."""
    closed = next((path.real for path in visible if not os.stat(path.real).st_mode & stat.S_IROTH), None)
    if closed is not None:
        return _still_root(f": {closed} is closed to others, and Python lies there")
    for number in (_FIRST_UID + watcher, _NOBODY_UID):
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(number, number, number)
            os.setresuid(number, number, number)
            return []
    return _still_root()


def _still_root(why: str = "") -> list[str]:
    return [f"a user other than root{why}"] if os.geteuid() == 0 else []


def _enter_own_root(spec: SandboxSpec, visible: Sequence[VisiblePath]) -> None:
    """Enter a root with the Python installation and the artifact, both read-only, and a private /tmp. Raises OSError."""
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)  # what is mounted from here on is nobody else's to see
    linux.mount("tmpfs", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")  # nosec B108
    for name in (_OLD_ROOT, "/new"):
        os.mkdir(f"/tmp{name}")  # nosec B108
    linux.pivot_root("/tmp", f"/tmp{_OLD_ROOT}")  # nosec B108
    os.chdir("/")
    linux.mount("tmpfs", "/new", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")
    # Before what is visible, of which any may lie below it.
    os.mkdir("/new/tmp")
    data = f"mode=1777,size={spec.file_bytes},nr_inodes=100k"
    linux.mount("tmpfs", "/new/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, data)
    for path in visible:  # folders before what is in them
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
    with contextlib.suppress(OSError):  # containers may forbid it, and then there is none
        linux.mount("proc", "/new/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount("", "/new", flags=linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV)
    os.chdir("/new")
    linux.pivot_root(".", ".")
    linux.detach(".")
    os.chdir("/tmp")  # nosec B108


def _restore_root() -> None:
    """Undo half a change of root, so that the file is found where it was."""
    if os.path.isdir(_OLD_ROOT):
        os.chroot(_OLD_ROOT)
        os.chdir("/")


def _mount_visible(path: VisiblePath) -> None:
    """Show a file or folder of the machine. What a folder that is visible already holds is there."""
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
    """Bind read-only, with whatever is mounted below."""
    linux.mount(source, target, flags=linux.MS_BIND | linux.MS_REC)
    for point, flags in linux.mounts_below(target, f"{_OLD_ROOT}/proc/self/mountinfo"):
        flags |= linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID
        linux.mount("", point, flags=flags if point.startswith("/new/dev/") else flags | linux.MS_NODEV)
