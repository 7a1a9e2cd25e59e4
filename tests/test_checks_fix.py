"""Mending: the edit and nothing else, nothing left the second time, and never half of it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from checks import fix
from checks.finding import Confidence, Edit, Finding, Fix, Report, Severity
from checks.runner import run
from checks.settings import EventMap, Settings, SingleSource
from tests.test_checks_examples import plant

HOME = "def tell(state):\n    return str(state)\n"
COPY = (
    "import os\n\n\ndef tell(state):\n    return repr(state)\n\n\ndef use(x):\n    return tell(x) + os.sep\n"
)
ONE = Settings(single_source=(SingleSource("tell", "app/home.py"),))
ENUM = 'from enum import Enum\n\n\nclass Kind(str, Enum):\n    START = "start"\n    STOP = "stop"\n\n\n'
MAP = Settings(event_map=(EventMap("KINDS", "app/kinds.py", {"run": "START", "halt": "STOP"}),))


def check(root: Path, settings: Settings) -> Report:
    return run(root, settings, jobs=1, cache=False)


def mend(root: Path, settings: Settings) -> dict[str, bytes]:
    files, refused = fix.plan(root, check(root, settings).findings)
    assert not refused
    fix.write(root, files)
    return files


def edit(text: str, *edits: Edit) -> bytes:
    return fix.edited(text.encode(), edits)


def finding(*edits: Edit) -> Finding:
    return Finding(
        "event-map", "a.py", 1, 1, Severity.ERROR, Confidence.HIGH, "m", fix=Fix("mend it", tuple(edits))
    )


@pytest.mark.parametrize(
    ("copy", "mended"),
    [
        pytest.param(
            COPY.encode(),
            b"import os\nfrom app.home import tell\n\n\ndef use(x):\n    return tell(x) + os.sep\n",
            id="plain",
        ),
        pytest.param(
            COPY.replace("\n", "\r\n").encode(),
            b"import os\r\nfrom app.home import tell\r\n\r\n\r\ndef use(x):\r\n    return tell(x) + os.sep\r\n",
            id="line ends of its own",
        ),
        pytest.param(
            b"\xef\xbb\xbf" + COPY.encode(),
            b"\xef\xbb\xbfimport os\nfrom app.home import tell\n\n\ndef use(x):\n    return tell(x) + os.sep\n",
            id="byte order mark",
        ),
        pytest.param(
            b"import os   # odd   spacing\n\nx = {'a':1,\n      'b':2}\n\ndef tell(state): return 1\n\nprint( tell(2) )",
            b"import os   # odd   spacing\nfrom app.home import tell\n\nx = {'a':1,\n      'b':2}\n\nprint( tell(2) )",
            id="formatting stays",
        ),
        pytest.param(
            "x = 'ä€'; y = 1\n\n\ndef tell(state):\n    return 'ö'\n\n\nz = tell(x)  # ü\n".encode(),
            "from app.home import tell\n\nx = 'ä€'; y = 1\n\n\nz = tell(x)  # ü\n".encode(),
            id="characters of several bytes",
        ),
    ],
)
def test_a_copy_becomes_an_import(copy: bytes, mended: bytes, tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/__init__.py": "", "app/home.py": HOME})
    (root / "app/user.py").write_bytes(copy)
    assert mend(root, ONE) == {"app/user.py": mended}
    assert (root / "app/user.py").read_bytes() == mended
    assert check(root, ONE).findings == ()
    assert mend(root, ONE) == {}, "the second time there is nothing to do"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "KINDS = {\n    'go': Kind.START,\n}\n",
            "KINDS = {\n    'go': Kind.START,\n    'halt': Kind.STOP,\n    'run': Kind.START,\n}\n",
            id="a line each",
        ),
        pytest.param(
            'KINDS = {"go": Kind.START}\n',
            'KINDS = {"go": Kind.START, "halt": Kind.STOP, "run": Kind.START}\n',
            id="one line",
        ),
        pytest.param(
            "KINDS = {\n    'go': Kind.START\n}\n",
            "KINDS = {\n    'go': Kind.START,\n    'halt': Kind.STOP,\n    'run': Kind.START\n}\n",
            id="no comma at the end",
        ),
        pytest.param(
            'GO = "go"\nKINDS = {\n    GO: Kind.START,\n}\n',
            'GO = "go"\nKINDS = {\n    GO: Kind.START,\n    "halt": Kind.STOP,\n    "run": Kind.START,\n}\n',
            id="constants as keys",
        ),
        pytest.param(
            'KINDS = MappingProxyType({\n    "go": Kind.START,\n})\n',
            'KINDS = MappingProxyType({\n    "go": Kind.START,\n    "halt": Kind.STOP,\n    "run": Kind.START,\n})\n',
            id="behind a wrapper",
        ),
    ],
)
def test_entries_are_added_like_their_neighbours(before: str, after: str, tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/__init__.py": "", "app/kinds.py": ENUM + before})
    mend(root, MAP)
    assert (root / "app/kinds.py").read_text() == ENUM + after
    assert check(root, MAP).findings == ()
    assert mend(root, MAP) == {}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("KINDS = dict(run=Kind.START)\n", 'write: "halt": Kind.STOP', id="keywords"),
        pytest.param(
            'class Word(Enum):\n    RUN = "run"\n\n\nKINDS = {Word.RUN: Kind.START}\n',
            'write: "halt": Kind.STOP',
            id="members as keys",
        ),
        pytest.param('KINDS = {"run": "START"} | more()\n', 'write: "halt": STOP', id="text"),
    ],
)
def test_what_cannot_be_added_is_said(text: str, word: str, tmp_path: Path) -> None:
    root = plant(tmp_path, {"app/kinds.py": ENUM + text})
    assert mend(root, MAP) == {}
    found = next(f for f in check(root, MAP).findings if "halt" in f.message)
    assert found.message.endswith(word)


def test_an_edit_at_the_open_end_of_a_file_starts_on_a_line() -> None:
    assert edit("a = 1", Edit("a.py", (2, 0), (2, 0), "b = 2\n")) == b"a = 1\nb = 2\n"


def test_edits_that_meet_are_refused_as_a_whole(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a.py": "a = 1\n"})
    meeting = (Edit("a.py", (1, 0), (1, 3), "b"), Edit("a.py", (1, 2), (1, 5), "c"))
    files, refused = fix.plan(root, [finding(*meeting)])
    assert files == {}
    assert [(r.path, "meet" in r.reason) for r in refused] == [("a.py", True)]


def test_an_edit_that_two_findings_want_is_made_once(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a.py": "a = 1\n"})
    same = finding(Edit("a.py", (2, 0), (2, 0), "b = 2\n"))
    assert fix.plan(root, [same, same]) == ({"a.py": b"a = 1\nb = 2\n"}, [])


def test_what_would_not_parse_is_refused(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a.py": "a = 1\n"})
    files, refused = fix.plan(root, [finding(Edit("a.py", (1, 4), (1, 5), "("))])
    assert files == {}
    assert "would not parse" in refused[0].reason
    assert (root / "a.py").read_text() == "a = 1\n"


def test_another_encoding_is_left_to_a_person(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes("# -*- coding: latin-1 -*-\na = 'ä'\n".encode("latin-1"))
    files, refused = fix.plan(tmp_path, [finding(Edit("a.py", (2, 0), (2, 0), "b = 2\n"))])
    assert files == {}
    assert refused[0].reason == "not mended: not UTF-8"


def test_a_file_that_is_gone_is_a_word(tmp_path: Path) -> None:
    files, refused = fix.plan(tmp_path, [finding(Edit("a.py", (1, 0), (1, 0), "b = 2\n"))])
    assert files == {}
    assert "vanished" in refused[0].reason


def test_newer_syntax_than_ours_can_be_mended() -> None:
    generic = "def first[T](xs: list[T]) -> T:\n    return xs[0]\n"
    assert edit(generic, Edit("a.py", (1, 0), (1, 0), "import os\n")) == b"import os\n" + generic.encode()


def test_the_mode_stays_and_no_scrap_is_left(tmp_path: Path) -> None:
    root = plant(tmp_path, {"run.py": "a = 1\n"})
    (root / "run.py").chmod(0o755)
    fix.write(root, {"run.py": b"a = 2\n"})
    assert stat.S_IMODE((root / "run.py").stat().st_mode) == 0o755
    assert [p.name for p in root.iterdir()] == ["run.py"]


def test_a_diff_shows_the_change_and_makes_none(tmp_path: Path) -> None:
    root = plant(tmp_path, {"a.py": "a = 1\nb = 2"})
    assert fix.diff(root, {"a.py": b"a = 1\nb = 3"}) == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n\\ No newline at end of file\n+b = 3\n"
        "\\ No newline at end of file\n"
    )
    assert (root / "a.py").read_text() == "a = 1\nb = 2"
