"""Packages whose ``__init__`` waits: what is imported, and that whoever imports them later finds them as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CLOUD_RUN = (
    "from pipeline.cloudrun import logs, service\nfrom pipeline.rpc.run import run_v2 as ours\nimport sys\n"
)


def run(code: str, folder: Path = ROOT) -> str:
    """In an interpreter of its own; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_our_clients_import_none_of_googles() -> None:
    loaded = set(run(f"{CLOUD_RUN}print(*sys.modules, sep='\\n')").splitlines())
    assert "google.cloud.run_v2.types.service" in loaded
    heavy = {
        "aiohttp",
        "requests",
        "cryptography",
        "google.auth",
        "google.api_core.gapic_v1",
        "importlib.metadata",
    }
    assert not heavy & loaded
    assert not {
        name
        for name in loaded
        if name.startswith(("google.cloud.run_v2.services", "google.cloud.logging_v2.services"))
    }


@pytest.mark.parametrize(
    "later",
    [
        "from google.cloud import run_v2; C = run_v2.ServicesClient; S = run_v2.Service; V = run_v2.__version__",
        "import google.cloud.run_v2 as r; C = r.ServicesClient; S = r.types.Service; V = r.__version__",
        "from google.cloud.run_v2 import ServicesClient as C, Service as S, __version__ as V",
        ("from google.cloud.run_v2.services.services import ServicesClient as C\n"
        "from google.cloud.run_v2.types import Service as S\nfrom google.cloud.run_v2 import __version__ as V"),
        "from google.cloud.run_v2 import *; C, S = ServicesClient, Service; V = __import__('google').cloud.run_v2.__version__",
        "import google.cloud.run_v2 as r, importlib; C = r.ServicesClient; r = importlib.reload(r); S = r.Service; V = r.__version__",
        "import google.cloud.run_v2 as r; assert 'JobsClient' in dir(r); C, S, V = r.ServicesClient, r.Service, r.__version__",
    ],
)  # fmt: skip
def test_whoever_imports_the_package_later_has_it_whole(later: str) -> None:
    ask = "from google.cloud.run_v2.services.services.transports import ServicesGrpcTransport as T\nimport grpc\n"
    ask += "with grpc.insecure_channel('localhost:1') as channel: C(transport=T(channel=channel))\n"
    ask += "import google.cloud.run_v2 as whole; assert type(whole).__name__ == 'module' or not whole.__version__\n"
    assert run(f"{CLOUD_RUN}{later}\n{ask}assert S is ours.Service and V\nprint(C.__module__)").endswith(
        "client"
    )


def test_logging_keeps_its_own_entry_beside_that_of_the_messages() -> None:
    code = (
        "from google.cloud import logging_v2 as whole\nfrom pipeline.rpc.logs import logging_v2 as messages\n"
    )
    code += "assert whole.LogEntry is not messages.LogEntry\nprint(whole.LogEntry.__module__, whole.Client.__module__)"
    assert run(CLOUD_RUN + code) == "google.cloud.logging_v2.entries google.cloud.logging_v2.client"


def test_a_package_that_is_imported_already_is_left_alone() -> None:
    assert run(
        f"import google.cloud.run_v2 as whole\n{CLOUD_RUN}assert ours is whole.types\nprint(type(whole))"
    ) == ("<class 'module'>")


DEFER = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom pipeline.rpc.deferred import defer\ndefer('made', 'types')\n"


def package(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        file = folder / "made" / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return folder


def test_a_package_runs_once_and_only_when_it_is_asked(tmp_path: Path) -> None:
    package(tmp_path, __init__="print('ran')\nfrom .types import A\nB = 2", types="A = 1", other="C = 3")
    code = (
        "from made import types, other\nprint(types.A, other.C)\nimport made\nprint(made.B, made.A, made.B)"
    )
    assert run(DEFER + code, tmp_path).split() == ["1", "3", "ran", "2", "1", "2"]


@pytest.mark.parametrize(
    ("modules", "code", "said"),
    [
        ({"__init__": "class types: A = 1"}, "from made import types", "1"),  # the module is gone
        (
            {"__init__": "A = 1", "types": "from made import A"},
            "from made import types",
            "1",
        ),  # it needs its package
        (
            {"__init__": "A = 1\nfrom made import types", "types": "import made\nA = made.A"},
            "from made import types",
            "1",
        ),
        ({"types": "A = 1"}, "from made import types", "1"),  # there is no __init__
    ],
)
def test_another_layout_is_imported_as_ever(
    tmp_path: Path, modules: dict[str, str], code: str, said: str
) -> None:
    assert run(f"{DEFER}{code}\nprint(types.A)", package(tmp_path, **modules)) == said


@pytest.mark.parametrize(
    ("modules", "missing"),
    [({}, "made"), ({"__init__": "import not_there", "types": "from made import A"}, "not_there")],
)
def test_what_cannot_be_imported_is_told_as_ever(
    tmp_path: Path, modules: dict[str, str], missing: str
) -> None:
    tried = "".join(f"    {line}\n" for line in [*DEFER.splitlines(), "import made.types"])
    code = f"try:\n{tried}except ImportError as error: print(error.name)"
    assert run(code, package(tmp_path, **modules)) == missing


def test_a_name_that_is_nowhere_is_an_attribute_error(tmp_path: Path) -> None:
    package(tmp_path, __init__="print('ran')", types="")
    code = "import made\nprint(hasattr(made, 'B'), hasattr(made, 'B'))"
    assert run(DEFER + code, tmp_path).split() == ["ran", "False", "False"]


def test_a_package_that_fails_fails_whoever_asks_and_may_be_asked_again(tmp_path: Path) -> None:
    package(
        tmp_path,
        __init__="import os\nif 'ONCE' not in os.environ:\n    os.environ['ONCE'] = ''\n    1 / 0\nB = 2",
        types="",
    )
    code = "import made\ntry: made.B\nexcept ZeroDivisionError: print('told')\nprint(made.B)"
    assert run(DEFER + code, tmp_path).split() == ["told", "2"]


def test_threads_that_ask_at_once_all_get_the_whole_package(tmp_path: Path) -> None:
    package(
        tmp_path,
        __init__="print('ran')\nimport time\ntime.sleep(0.05)\nfrom made import other\nB = 2",
        types="",
        other="",
    )
    code = "import made\nfrom concurrent.futures import ThreadPoolExecutor as P\n"
    code += "with P(8) as pool: print(set(pool.map(lambda _: made.B, range(8))))"
    assert run(DEFER + code, tmp_path).split() == ["ran", "{2}"]
