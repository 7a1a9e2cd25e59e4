"""Whatever lies in a tree: a word about it, the rest still checked; never a traceback, a hang, or anything run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checks.finding import Report
from checks.output.text import summary
from checks.runner import run
from checks.settings import EventMap, JsonSafeLogs, Settings, SingleSource
from checks.tree import files
from checks.tree.parse import Unparsable, parse
from tests.test_checks_examples import plant

HEAD = "import logging\nlogger = logging.getLogger(__name__)\n"
UNSAFE = HEAD + "def tell(websocket):\n    logger.info('a', extra={'s': websocket.client_state})\n"
EVERYTHING = Settings(
    single_source=(SingleSource("HELPER", "home.py"),),
    event_map=(EventMap("M", "odd.py", {"run": "A"}),),
    json_safe_logs=JsonSafeLogs(),
    discover=True,
)


def check(root: Path, settings: Settings = EVERYTHING, jobs: int = 1) -> Report:
    return run(root, settings, jobs=jobs, cache=True, cache_folder=root.parent / "cache")


def beside(tmp_path: Path, odd: bytes | str, name: str = "odd.py") -> Report:
    """Check a tree that holds the odd file and a plain one, whose finding must be there."""
    root = plant(tmp_path / "tree", {"home.py": "def HELPER(x):\n    return x\n", "plain.py": UNSAFE})
    (root / name).write_bytes(odd if isinstance(odd, bytes) else odd.encode())
    report = check(root)
    assert [f.path for f in report.findings if f.rule == "json-safe-logs" and f.path == "plain.py"]
    assert report.files == 3
    return report


def reasons(report: Report) -> list[tuple[str, int, str]]:
    return [(s.path, s.line, s.reason) for s in report.skipped]


@pytest.mark.parametrize(
    ("odd", "line", "words"),
    [
        pytest.param(f"{UNSAFE}def broken(:\n", 5, "does not parse", id="syntax"),
        pytest.param(UNSAFE.encode() + b"x = '\x00'\n", 5, "null bytes", id="null bytes"),
        pytest.param(f"# coding: no-such-thing\n{UNSAFE}", 0, "unknown encoding", id="unknown encoding"),
        pytest.param(f"{UNSAFE}x = '\udcff'\n".encode(errors="surrogateescape"), 5, "utf-8", id="not utf-8"),
        pytest.param(UNSAFE.encode("utf-16"), 0, "UTF-16", id="utf-16"),
        pytest.param(UNSAFE.replace("\n", "\r"), 0, "CR alone", id="CR alone"),
        pytest.param(f"{UNSAFE}print 'two'\n", 5, "does not parse", id="python 2"),
        pytest.param(f"{UNSAFE}if x:\n\ty = 1\n        z = 2\n", 7, "does not parse", id="tabs and spaces"),
        pytest.param(UNSAFE + "x = " + "(" * 10_000 + ")" * 10_000, 5, "does not parse", id="parentheses"),
        pytest.param(UNSAFE + "x = " + "-" * 10_000 + "1\n", 0, "nested too deeply", id="signs"),
        pytest.param(UNSAFE + "x = a" + ".b" * 10_000 + "\n", 0, "nested too deeply", id="attributes"),
        pytest.param(UNSAFE + "x = a" + "()" * 10_000 + "\n", 0, "nested too deeply", id="calls"),
        pytest.param(UNSAFE + "x = " + "1 + " * 10_000 + "1\n", 0, "nested too deeply", id="sums"),
        pytest.param(UNSAFE + "x = " + "lambda: " * 10_000 + "1\n", 0, "nested too deeply", id="lambdas"),
        pytest.param(
            f"{HEAD}logger.info('a', extra={{'s': x{'.b' * 900}}})\n",
            0,
            "nested too deeply",
            id="deep but parsed",
        ),
        pytest.param(
            UNSAFE + "x = 1\n" * (5_000_000 // 6),
            0,
            "4.8 MiB: larger than the 4 MiB that are parsed",
            id="5 MB",
        ),
    ],
)
def test_a_file_that_cannot_be_checked_is_a_word(
    odd: bytes | str, line: int, words: str, tmp_path: Path
) -> None:
    ((path, where, reason),) = reasons(beside(tmp_path, odd))
    assert (path, where) == ("odd.py", line)
    assert words in reason


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(b"\xef\xbb\xbf" + UNSAFE.encode(), id="byte order mark"),
        pytest.param(f"# -*- coding: latin-1 -*-\nx = '\xe4'\n{UNSAFE}".encode("latin-1"), id="latin-1"),
        pytest.param(f"# coding: cp1251\nx = 'ж'\n{UNSAFE}".encode("cp1251"), id="cp1251"),
        pytest.param(UNSAFE.replace("\n", "\r\n"), id="CRLF"),
        pytest.param("x = 1\r" * 9 + UNSAFE, id="CR before LF"),
        pytest.param("\f" + UNSAFE, id="form feed"),
        pytest.param(UNSAFE.rstrip("\n"), id="no last line end"),
        pytest.param(UNSAFE + "# ä€\U0001f600\n", id="wide characters"),
    ],
)
def test_a_file_that_is_only_odd_is_checked(odd: bytes | str, tmp_path: Path) -> None:
    report = beside(tmp_path, odd)
    assert report.skipped == ()
    (found,) = [f for f in report.findings if f.path == "odd.py" and f.rule == "json-safe-logs"]
    assert "websocket.client_state" in found.text
    assert found.text[found.column - 1 :].startswith("websocket.client_state")


def test_columns_are_characters(tmp_path: Path) -> None:
    line = "def tell(ws): logger.info('äöü€\U0001f600', extra={'s': ws.client_state})\n"
    report = beside(tmp_path, HEAD + line)
    (found,) = [f for f in report.findings if f.path == "odd.py" and f.rule == "json-safe-logs"]
    assert found.column == line.index("ws.client_state") + 1


#: strings in strings that never end
DEEP = ("f'{" * 60_000, "f'{'" * 60_000, "f'{a:{" * 30_000, "f'{(" * 30_000, "f'{a:" * 30_000)


@pytest.mark.parametrize(
    "words", ["\n" * 200_000, " " * 200_000, "except a" + ",a" * 50_000, "def f[" * 30_000, *DEEP]
)
def test_broken_files_take_no_long_time(words: str) -> None:
    """Each of these is looked at twice (newer syntax blanked out): a pattern that goes back and forth would not end."""
    with pytest.raises(Unparsable):
        parse("odd.py", f"{words}\ndef broken(:\n".encode())


@pytest.mark.parametrize(
    "line",
    [
        "a = [a, a, b.client_state]",
        "a = {'x': a, 'y': [a], 'z': b.client_state}",
        "a = (a, (a, b.client_state))",
        "a = a.x if a else b(a)",
        "a = a + a",
        "a['x'] = [a, a, b.client_state]",
        "a.append([a, b.client_state])",
        "a = f(a, a)[a](a)",
        "a, b = [a, b.client_state], [b, a]",
    ],
)
def test_a_value_that_doubles_line_by_line(line: str, tmp_path: Path) -> None:
    body = "def tell(a, b):\n" + f"    {line}\n" * 60
    report = beside(tmp_path, f"{HEAD}{body}    logger.info('a', extra={{'s': a}})\n")
    assert [f for f in report.findings if "broke" in f.message] == []


CALLING = {
    "itself, many times": ("def g():\n    return g(), [g(), h()], g(), g(), {'a': g()}, g()\n", "g()"),
    "one another, by a branch": (
        "def g(a):\n    if a:\n        return g\n    return h\n",
        f"g(1){'(1)' * 20}",
    ),
}


@pytest.mark.parametrize("case", CALLING)
def test_functions_that_give_what_they_give(case: str, tmp_path: Path) -> None:
    made, value = CALLING[case]
    other = made.replace("g", "_").replace("h", "g").replace("_", "h")
    body = f"{made}\n\n{other}\n\ndef tell():\n    logger.info('a', extra={{'s': {value}}})\n"
    report = beside(tmp_path, f"{HEAD}{body}")
    assert [f for f in report.findings if "broke" in f.message] == []


def test_many_imports_of_one_name_take_no_long_time(tmp_path: Path) -> None:
    report = beside(tmp_path, "".join(f"from m{n} import HELPER\n" for n in range(2000)))
    assert len([f for f in report.findings if f.rule == "single-source"]) == 2000


NEWER = {
    "3.8 positional": "def f(a, /, b): return (c := a)\n",
    "3.9 decorator": "@a[0].b\ndef f(): pass\n",
    "3.10 match": "match x:\n    case {'a': [1, *_]} | None: pass\n",
    "3.11 groups": "try:\n    pass\nexcept* ValueError as group:\n    pass\n",
    "3.12 generics": "class Box[T: int, *Ts, **P](Base):\n    def get[U](self, u: U) -> T: ...\n",
    "3.12 alias": "type Pair[T] = tuple[T, T]\ntype Name = str\n",
    "3.12 quotes": 'x = f\'{a[\'b\']} {c["d"]!r:>{w}} {{}}\'\ny = f"{f"{f"{1}"}"}"\n',
    "3.12 lines": 'x = f"""{\n  a  # why\n}"""\ny = f\'{\n  a\n}\' + rf\'{"\\n".join(b)}\'\n',
    "3.13 default": "def f[T = int](x: T) -> T: ...\n",
    "3.14 template": "x = t'hello {name}'\ny = rt'{x}'\n",
    "3.14 except": "try:\n    pass\nexcept ValueError, TypeError:\n    pass\n",
}


@pytest.mark.parametrize("syntax", NEWER)
def test_syntax_from_3_8_to_3_14(syntax: str, tmp_path: Path) -> None:
    report = beside(tmp_path, NEWER[syntax] + UNSAFE)
    assert report.skipped == ()
    (found,) = [f for f in report.findings if f.path == "odd.py" and f.rule == "json-safe-logs"]
    assert "websocket.client_state" in found.text


def test_stubs_are_read_and_notebooks_are_a_word(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "tree",
        {"home.py": "def HELPER(x): ...\n", "home.pyi": "def HELPER(x): ...\n", "n.ipynb": "{}"},
    )
    report = check(root, Settings(single_source=EVERYTHING.single_source))
    assert (report.files, report.findings) == (2, ())
    assert reasons(report) == [("n.ipynb", 0, "notebook: not checked")]


def test_links_are_not_followed(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree", {"real.py": UNSAFE, "pkg/x.py": UNSAFE})
    plant(tmp_path / "outside", {"secret.py": UNSAFE})
    (root / "loop").symlink_to(root)
    (root / "pkg/self.py").symlink_to("self.py")
    (root / "again.py").symlink_to("real.py")
    (root / "far.py").symlink_to(tmp_path / "outside/secret.py")
    (root / "dangling.py").symlink_to("nowhere.py")
    report = check(root)
    assert {f.path for f in report.findings if f.rule == "json-safe-logs"} == {"real.py", "pkg/x.py"}
    links = {"again.py", "dangling.py", "far.py", "pkg/self.py"}
    assert {s.path for s in report.skipped} == links
    assert {s.path: s.reason for s in report.skipped} == {
        "again.py": "a link: its target is checked where it lies",
        "dangling.py": "a link that leads nowhere",
        "far.py": "a link out of the tree: its target is not checked",
        "pkg/self.py": "a link that leads nowhere",
    }


def test_what_is_no_file_is_a_word(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree", {"real.py": UNSAFE})
    os.mkfifo(root / "pipe.py")
    report = check(root)
    assert reasons(report) == [("pipe.py", 0, "not a regular file")]
    assert [f.path for f in report.findings if f.rule == "json-safe-logs"] == ["real.py"]


def test_files_that_vanish_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = plant(tmp_path / "tree", {"a.py": UNSAFE, "b.py": UNSAFE, "c.py": UNSAFE})
    real = files.discover

    def discover_then_lose(folder: Path, exclude: tuple[str, ...] = ()) -> files.Tree:
        tree = real(folder, exclude)
        (root / "b.py").unlink()
        return tree

    monkeypatch.setattr(files, "discover", discover_then_lose)
    report = check(root)
    assert reasons(report) == [("b.py", 0, "vanished while the checks ran")]
    assert [f.path for f in report.findings if f.rule == "json-safe-logs"] == ["a.py", "c.py"]


def test_names_that_no_encoding_knows(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree", {"real.py": UNSAFE})
    name = os.fsencode(root) + b"/od\xffd\n.py"
    Path(os.fsdecode(name)).write_text(UNSAFE)
    report = check(root, jobs=2)
    assert len([f for f in report.findings if f.rule == "json-safe-logs"]) == 2
    assert check(root, jobs=2).findings == report.findings, "from the cache, too"


def test_an_empty_tree(tmp_path: Path) -> None:
    report = check(plant(tmp_path / "tree", {}), Settings(json_safe_logs=JsonSafeLogs(), discover=True))
    assert (report.files, report.findings, report.skipped) == (0, (), ())


TRAPPED = """
import json, os, sys
from pathlib import Path
tree, jobs, log = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def watch(event, arguments):
    told = None
    if event == "import" and (arguments[1] or "").startswith(str(tree)):
        told = arguments[1]
    elif event == "exec" and str(tree) in arguments[0].co_filename:
        told = arguments[0].co_filename
    elif event == "open" and str(arguments[0]).startswith(str(tree)) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        told = str(arguments[0])
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"):
        told = str(arguments[0])
    elif event == "import" and arguments[0].split(".")[0] in ("trap", "app", "sitecustomize_trap"):
        told = arguments[0]
    if told is not None:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w") as stream:
            stream.write(json.dumps([event, told]) + "\\n")

sys.addaudithook(watch)
"""
MAIN = """
sys.path.insert(0, os.getcwd())
os.chdir(tree)
from checks import runner, settings as s
from checks.run import pool
pool.WORTH_PROCESSES_BYTES = 100
pool._COMMAND = (*pool._COMMAND[:-1], Path(sys.argv[4]).read_text() + pool._COMMAND[-1], *sys.argv[1:4])
asked = s.Settings(
    single_source=(s.SingleSource("tell", "app/trap.py"),),
    event_map=(s.EventMap("M", "app/trap.py", {"run": "A"}),),
    json_safe_logs=s.JsonSafeLogs(), discover=True,
)
report = runner.run(tree, asked, base=str(tree.parent / "before"), jobs=jobs, cache=False)
print(len(report.findings))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_checked_code_is_never_imported_run_or_written(jobs: int, tmp_path: Path) -> None:
    """An audit hook in every process watches what Python itself reports: imports, code run, programs, files written."""
    trap = (
        f"import os\nos.system('touch {tmp_path}/sprung')\nraise SystemExit('imported')\n{UNSAFE}M = {{}}\n"
    )
    files = {
        "app/__init__.py": trap,
        "app/trap.py": trap,
        "app/user.py": f"from app.trap import tell\n{trap}",
    }
    files |= {"sitecustomize_trap.py": trap, "conftest.py": trap, "json.py": trap, "setup.py": trap}
    root = plant(tmp_path / "tree", files)
    plant(tmp_path / "before", {"app/trap.py": trap + "def gone(): pass\n"})
    (tmp_path / "watch.py").write_text(TRAPPED)
    log = tmp_path / "log"
    command = [
        sys.executable,
        "-c",
        TRAPPED + MAIN,
        str(root),
        str(jobs),
        str(log),
        str(tmp_path / "watch.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
    told = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    assert {what for event, what in told if event == "subprocess.Popen"} == {
        "git",
        *([sys.executable] if jobs > 1 else []),
    }
    assert [each for each in told if each[0] != "subprocess.Popen"] == []
    assert not (tmp_path / "sprung").exists()


def test_the_hook_would_tell(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree", {"trap.py": "x = 1\n"})
    bad = "\nsys.path.insert(0, str(tree))\nimport trap\nopen(tree / 'new', 'w').close()\n"
    command = [sys.executable, "-B", "-c", TRAPPED + bad, str(root), "1", str(tmp_path / "log")]
    subprocess.run(command, check=True, timeout=60)
    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {event for event, _ in told} == {"import", "exec", "open"}


def test_what_has_too_many_parts_is_followed_as_far_as_it_tells_most_and_that_is_said(tmp_path: Path) -> None:
    """A known refusal is not lost among a hundred things that nobody knows; with nothing known, the report says it gave up."""
    known, unknown = ("socket.client_state, ", "")
    text = "import json\n\nfrom lib import Row\n\n\ndef f(row: Row, socket):\n    all = [HEREX]\n    return json.dumps(all)\n"
    many = ", ".join(f"row.a{n}.b.c.strip()" for n in range(60))
    tree = plant(
        tmp_path / "tree",
        {
            "one.py": text.replace("HERE", known).replace("X", many),
            "two.py": text.replace("HERE", unknown).replace("X", many),
            "three.py": text.replace("HERE", unknown).replace(
                "X", ", ".join(f"str(row.a{n})" for n in range(90))
            ),
        },
    )
    report = check(tree, Settings(json_safe_logs=JsonSafeLogs()))
    assert [(f.path, f.line) for f in report.findings] == [("one.py", 8)]
    told = [(s.path, s.line, s.reason) for s in report.skipped]
    words = "json-safe-logs: all has more parts than are followed"
    assert told == [("one.py", 8, words), ("two.py", 8, words)]
    assert ", 2 not checked in 3 files" in summary(report)


def test_tens_of_thousands_of_findings_in_one_line_take_no_long_time(tmp_path: Path) -> None:
    entries = ", ".join(f"'key{n}': E.A" for n in range(50_000))
    report = beside(
        tmp_path,
        f"import json\nfrom enum import Enum\nclass E(Enum):\n    A = 1\ndef f():\n    json.dumps({{{entries}}})\n",
    )
    found = [f for f in report.findings if f.path == "odd.py" and f.rule == "json-safe-logs"]
    assert len({f.print for f in found}) == 50_000


def test_a_long_sum_on_the_other_way_of_a_helper(tmp_path: Path) -> None:
    text = "import json\n\n\ndef pack(data, flag):\n    if flag:\n        return data{}\n    return json.dumps(data)\n\n\npack({{1}}, True)\n"
    root = plant(tmp_path / "tree", {"a.py": text.format(" + 1" * 1500)})
    report = check(root, Settings(json_safe_logs=JsonSafeLogs()))
    assert not report.skipped
    assert [(f.line, f.fails_gate) for f in report.findings] == [(10, False)]


def test_thousands_of_times_a_parameter_take_no_long_time(tmp_path: Path) -> None:
    entries = ", ".join(f"'key{n}': data" for n in range(20_000))
    text = f"import json\n\n\ndef pack(data, flag):\n    if flag:\n        return 1\n    return json.dumps({{{entries}}})\n\n\npack({{1}}, True)\n"
    report = check(plant(tmp_path / "tree", {"a.py": text}), Settings(json_safe_logs=JsonSafeLogs()))
    assert [(f.line, f.fails_gate) for f in report.findings] == [(10, True)]
