"""Runs one command with folders of its own at given paths, which nobody else on the machine sees there.

    python -I -S mounted.py MOUNTS COMMAND...

MOUNTS is JSON, a list of ``{"path", "from"}`` (a folder that is shared) or ``{"path", "files": [{"path", "from", "mode"}]}``
(copies in memory, which cannot be written). The process leaves for a mount namespace of its own (in a user namespace,
where it is not root), and becomes the command. A path that the machine does not have comes into being in the namespace
alone: the folder that it should stand in is covered by one in memory that shows the same entries.
Linux only. Standard library only: one of these is started for every container with mounts.
"""

import ctypes
import errno
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from typing import Any

Wanted = dict[str, Any]

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH = 2
_CANNOT = 126


def main() -> int:
    mounts, command = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        leave()
        here, there = os.getcwd(), os.open(".", os.O_PATH)
        put_all(mounts, dict(hold(mounts)))
        os.chdir(here if os.path.isdir(here) else there)  # a volume may lie over it
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and then by the command too
            signal.signal(ignored, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606 - what the image says
    except OSError as error:
        print(f"cannot start {command[0]} with its volumes: {error}", file=sys.stderr)  # noqa: T201
    return _CANNOT


def hold(mounts: list[Wanted]) -> Iterator[tuple[str, Any]]:
    """What is mounted, by where it is now, before anything lies over that: a folder's descriptor, a file's content."""
    for each in mounts:
        if "from" in each:
            os.makedirs(each["from"], 0o700, exist_ok=True)
            yield each["from"], os.open(each["from"], os.O_PATH)
        for file in each.get("files", ()):
            with open(file["from"], "rb") as source:
                yield file["from"], source.read()


def leave() -> None:
    """Into a mount namespace of its own. Whoever is not root needs a user namespace for that, in which it stays itself."""
    user, group = os.getuid(), os.getgid()
    if libc().unshare(_NEWNS) != 0:
        check(libc().unshare(_NEWNS | _NEWUSER), "a namespace")
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount("none", "/", flags=_REC | _PRIVATE)


def put_all(mounts: list[Wanted], held: dict[str, Any]) -> None:
    """The outer ones first. The root is covered, where it must be, while all else is still in its place."""
    points: set[str] = set()
    written: list[str] = []
    paths = [os.path.realpath(wanted["path"]) for wanted in mounts]
    if not all(os.path.isdir("/" + path.split("/")[1]) for path in paths):
        cover("/")
        points.add("/")
    for path, wanted in sorted(zip(paths, mounts, strict=True), key=lambda pair: pair[0].count("/")):
        make_point(path, points)
        if "from" in wanted:
            mount(f"/proc/self/fd/{held[wanted['from']]}", path, flags=_BIND | _REC)
        else:
            mount("tmpfs", path, "tmpfs", _NOSUID | _NODEV, "mode=0755")
            for file in wanted["files"]:
                write(path, file, held[file["from"]])
            written.append(path)
        points.add(path)
    for folder in written:  # at the end: another volume may lie within it
        mount("none", folder, flags=_REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def write(folder: str, file: Wanted, content: bytes) -> None:
    place = os.path.normpath(f"{folder}/{file['path']}")
    if not place.startswith(f"{folder}/"):
        raise OSError(errno.EINVAL, "a secret's path leads out of its volume", file["path"])
    os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
    with open(place, "wb") as copy:
        copy.write(content)
    os.chmod(place, file["mode"])


def make_point(path: str, points: set[str]) -> None:
    """A folder to mount on. ``points`` are the folders in which one may be made: none of them is the machine's."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    make_point(parent, points)
    if parent not in points:
        cover(parent)
        points.add(parent)
    os.mkdir(path, 0o755)
    points.add(path)


def cover(folder: str) -> None:
    """The same entries in a folder in memory, where more can be made. The root is built over the current folder."""
    entries = os.listdir(folder)
    below = os.open(
        folder, os.O_PATH
    )  # what is mounted over the folder does not hide what is reached by this
    over = folder if folder != "/" else os.getcwd()
    mount("tmpfs", over, "tmpfs", _NODEV, f"mode={stat.S_IMODE(os.fstat(below).st_mode):o}")
    for name in entries:
        old, new = f"/proc/self/fd/{below}/{name}", os.path.join(over, name)
        mode = os.lstat(old).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(old), new)
            continue
        if stat.S_ISDIR(mode):
            os.mkdir(new)
        else:
            os.close(os.open(new, os.O_CREAT, 0o600))
        mount(old, new, flags=_BIND | _REC)
    os.close(below)
    if folder == "/":
        check(
            libc().umount2(os.fsencode(f"{over}{over}"), _DETACH), over
        )  # the new root does not show itself there
        os.chroot(over)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    words = [os.fsencode(word) if word else None for word in (source, target, kind, data)]
    check(libc().mount(*words[:3], ctypes.c_ulong(flags), words[3]), target)


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    sys.exit(main())
