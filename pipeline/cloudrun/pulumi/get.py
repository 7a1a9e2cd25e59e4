"""``make pulumi``: Pulumi's CLI, and its Python language host, into the user's cache.

The CLI that is on the PATH or in the cache already is taken as it is. Else the SDK's own installer is tried, which
needs its vendor's network; where that is closed and Go is on this machine, both are built from the module proxy, in
three minutes on two cores. The language host is needed for ``pulumi up`` from a shell alone. Everything is made in a
folder beside its place and moved there when it is whole.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cloudrun.pulumi.found import VERSION, cache, found
from pipeline.errors import SpillwayError, UserError

_HOST = "pulumi-language-python"
_HOST_VERSION = "3.60.0"  # the last whose module has the Python language host
_MODULE = "github.com/pulumi/pulumi"
_INSTALL_WITHIN_S = 300
_INSTALL = """
import socket, sys
from pulumi.automation import PulumiCommand
from semver import VersionInfo
socket.setdefaulttimeout(15)
PulumiCommand.install(root=sys.argv[1], version=VersionInfo.parse(sys.argv[2]))
"""


def main() -> int:
    try:
        return get()
    except SpillwayError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def get() -> int:
    """0 once the CLI is there; says what is there and what is not. Raises UserError when it cannot be had."""
    try:
        cli = found()
        _say(f"there already: {cli}")
    except UserError as why:
        _say(why.why)
        _make(_fetch_cli)
        cli = found()
        _say(f"there now: {cli}")
    if shutil.which(_HOST) or (cache() / "bin" / _HOST).exists():
        _say(f"there already: {_HOST}")
    elif shutil.which("go"):
        _make(_build_host)
        _say(f"there now: {_HOST} {_HOST_VERSION}")
    else:
        _say(f"no {_HOST}, and no Go to build it with: `pulumi up` from a shell will not work, all else does")
    return 0


def _fetch_cli(folder: Path) -> None:
    if not _installed(folder):
        _build_cli(folder)


def _installed(folder: Path) -> bool:
    _say("trying the SDK's own installer")
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _INSTALL, str(folder), VERSION], capture_output=True, text=True,
            timeout=_INSTALL_WITHIN_S, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        why = (ran.stderr.strip() or "it does not say why").splitlines()[-1] if ran.returncode else ""
    except subprocess.TimeoutExpired:
        why = f"no answer within {_INSTALL_WITHIN_S} s"
    if why:
        _say(f"the installer cannot be used: {why[:200]}")
    return not why


def _build_cli(folder: Path) -> None:
    if not shutil.which("go"):
        raise UserError(
            "the Pulumi CLI cannot be had here",
            "Its vendor's site gives no answer, and there is no Go to build it with.",
            "Install it by hand and put it on the PATH; the local Cloud Run works without: --engine in-process",
        )
    flags = f"-s -w -X {_MODULE}/sdk/v3/go/common/version.Version=v{VERSION}"
    package = f"{_MODULE}/pkg/v3/cmd/pulumi"
    with _go_module(folder) as module:
        _go(module, "get", f"{package}@v{VERSION}", about="about half a minute")
        _go(
            module,
            "build",
            "-ldflags",
            flags,
            "-o",
            str(folder / "bin" / "pulumi"),
            package,
            about="two or three minutes",
        )


def _build_host(folder: Path) -> None:
    package = f"{_MODULE}/sdk/v3/python/cmd/{_HOST}"
    with _go_module(folder) as module:
        _go(module, "get", f"{package}@v{_HOST_VERSION}", about="a few seconds")
        _go(
            module,
            "build",
            "-ldflags",
            "-s -w",
            "-o",
            str(folder / "bin" / _HOST),
            package,
            about="half a minute",
        )
        where = _go(module, "list", "-m", "-f", "{{.Dir}}", f"{_MODULE}/sdk/v3").strip()
    script = folder / "bin" / f"{_HOST}-exec"
    shutil.copyfile(Path(where) / "python" / "cmd" / script.name, script)
    script.chmod(0o755)


@contextmanager
def _go_module(folder: Path) -> Iterator[Path]:
    """A scratch module: ``go install`` refuses a package whose module replaces others."""
    module = folder / "module"
    module.mkdir()
    _go(module, "mod", "init", "scratch")
    yield module
    shutil.rmtree(module)


def _go(module: Path, *words: str, about: str = "") -> str:
    """What it says on stdout. Raises UserError. Args: about: how long it takes; without, nothing is told."""
    if about:
        _say(f"go {words[0]} {words[-1].rpartition('/')[2]} ({about})")
    began = time.monotonic()
    go = str(shutil.which("go"))
    ran = subprocess.run([go, *words], cwd=module, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise UserError(
            f"go {words[0]} failed",
            "\n".join(ran.stderr.strip().splitlines()[-3:]),
            "The module proxy must be reachable (go env GOPROXY). Then again: make pulumi",
        )
    if about:
        _say(f"done in {time.monotonic() - began:.0f} s")
    return ran.stdout


def _make(build: Callable[[Path], None]) -> None:
    """In a folder on the same disk as its place, then each file whole or not at all. Whoever was faster made the same."""
    place = cache() / "bin"
    cache().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache().parent, prefix=".making-") as name:
        build(Path(name))
        place.mkdir(parents=True, exist_ok=True)
        # the host's script before the host, the CLI last
        for file in sorted((Path(name) / "bin").iterdir(), reverse=True):
            file.replace(place / file.name)


def _say(text: str) -> None:
    for line in text.splitlines():
        print(f"pulumi: {line}", flush=True)  # noqa: T201 - progress of a make target


if __name__ == "__main__":
    sys.exit(main())
