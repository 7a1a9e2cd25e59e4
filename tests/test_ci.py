"""What a job of GitHub Actions is handed, and that nothing of it stands in anybody's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.app import ci
from pipeline.cli import main
from pipeline.errors import NotYet, UserError
from pipeline.output import streams
from pipeline.output.writer import Output
from pipeline.redact import SINK


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    return tmp_path


def ended(**document: object) -> Output:
    output = Output(level=-1)
    output.last = document
    return output


def handed(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / "GITHUB_OUTPUT").read_text().splitlines())


ENDS = [
    pytest.param(
        {"outcome": "promoted", "candidate": "c", "stable": "s", "percent": 100, "reports": ["a.md", "a.html"]}, 0,
        {"revision": "c", "rollback_revision": "s", "stable": "c", "percent": "100", "report": "a.html"}, id="promoted",
    ),
    pytest.param(
        {"outcome": "rolled_back", "candidate": "c", "stable": "s", "percent": 0}, 11,
        {"revision": "c", "rollback_revision": "s", "stable": "s", "percent": "0", "report": ""}, id="rolled-back",
    ),
    pytest.param(
        {"outcome": "rolled_back_by_hand", "candidate": "c", "target": "t", "percent": 0}, 0,
        {"revision": "c", "rollback_revision": "t", "stable": "t"}, id="by-hand",
    ),
    pytest.param({"outcome": "error", "what": "no"}, 2, {"revision": "", "exit_code": "2"}, id="a-mistake"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "code", "wanted"), ENDS)
def test_outputs(files: Path, document: dict[str, object], code: int, wanted: dict[str, str]) -> None:
    ci.hand_on(ended(**document), code)
    found = handed(files)
    assert tuple(found) == ci.OUTPUTS
    assert {name: found[name] for name in wanted} == wanted


def test_a_command_that_was_ended_before_its_answer_says_so(files: Path) -> None:
    ci.hand_on(Output(level=-1), 130)
    assert (handed(files)["outcome"], handed(files)["exit_code"]) == ("interrupted", "130")


MISTAKES = {
    "rollback --nope": ("No such option: --nope", "spillway rollback -h"),
    "nope": ("No such command", "spillway -h"),
    "rollback one two": ("unexpected extra argument", "spillway rollback -h"),
    "rollout --image": ("requires an argument", "spillway -h"),
    "rollout --engine x": ("is not one of", "spillway rollout -h"),
    "local logs --lines many": ("--lines", "spillway local logs -h"),
    "local": ("Usage: spillway local", "spillway local -h"),
    "probe URL --sessions many": ("--sessions", "spillway probe -h"),
    "": ("Usage: spillway", "spillway -h"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_command_line_that_cannot_be_read_hands_on_what_is_wrong(
    files: Path, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    what, fix = MISTAKES[words]
    assert main.run(words.split()) == 2
    found = handed(files)
    assert tuple(found) == ci.OUTPUTS
    assert (found["outcome"], found["exit_code"]) == ("error", "2")
    page = (files / "GITHUB_STEP_SUMMARY").read_text()
    assert page.startswith("### spillway: error, exit code 2\n\n    ")
    assert what in page
    assert f"How it is called: {fix}\n" in page
    told = capfd.readouterr().err.splitlines()
    assert [line for line in told if line.startswith("::error title=error::")] == told[-1:]


@pytest.mark.parametrize(
    ("raised", "outcome", "code"), [(KeyboardInterrupt, "interrupted", 130), (OSError, "error", 1)]
)
def test_a_command_that_never_began_hands_on_its_end(
    files: Path, raised: type[BaseException], outcome: str, code: int
) -> None:
    class Words(list[str]):
        def __iter__(self) -> Iterator[str]:
            raise raised

    assert main.run(Words(["check"])) == code
    assert (handed(files)["outcome"], handed(files)["exit_code"]) == (outcome, str(code))


@pytest.mark.parametrize("words", ["--help", "rollback --help"])
def test_help_hands_nothing_on(files: Path, words: str) -> None:
    assert main.run(words.split()) == 0
    assert not list(files.iterdir())


def test_the_page_of_a_mistake_is_text(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2-hunter2")
    main.run(["rollback", "--no<script>\n# ](x) hunter2-hunter2\x1b[2J"])
    lines = (files / "GITHUB_STEP_SUMMARY").read_text().splitlines()
    assert all(line.startswith("    ") for line in lines[2:] if line)
    assert not [line for line in lines if "hunter2" in line or "\x1b" in line]


def test_an_error_of_a_command_that_has_a_report_adds_no_second_page(files: Path) -> None:
    for reports in ([], ["a.md", "a.html"]):
        ci.hand_on(ended(outcome="paused", reason="why", reports=reports), 13)
    assert (files / "GITHUB_STEP_SUMMARY").read_text() == "### spillway: paused, exit code 13\n\n    why\n\n"


def test_what_has_no_outcome_hands_nothing_on(files: Path) -> None:
    ci.hand_on(ended(service="s"), 0)
    ci.hand_on(Output(level=-1), 0)
    assert not (files / "GITHUB_OUTPUT").exists()


def test_no_text_can_make_an_output_or_a_command_of_its_own(
    files: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    SINK.learn("hunter2-hunter2")
    evil = "x\nexit_code=0\r\n::set-output name=a::b%0A hunter2-hunter2 \x1b[2J"
    with streams.installed():
        ci.hand_on(ended(outcome="rolled_back", candidate=evil, reason=evil, stable="s"), 11)
    text = (files / "GITHUB_OUTPUT").read_text()
    assert handed(files)["exit_code"] == "11"
    assert len(text.splitlines()) == len(ci.OUTPUTS)
    told = capfd.readouterr().err
    assert len(told.splitlines()) == 1
    assert told.startswith("::error title=rolled_back")
    assert "%250A" in told
    assert not {"hunter2", "\x1b"} & {word for word in ("hunter2", "\x1b") if word in text + told}


def test_an_error_is_an_annotation_of_three_lines(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(level=-1)
    with streams.installed():
        output.error(UserError("what", "why", "fix"))
        ci.hand_on(output, 2)
    assert capfd.readouterr().err.splitlines()[-1] == "::error title=error::what%0Awhy%0Afix"
    assert files.exists()


def test_what_may_not_be_rolled_out_yet_is_no_failure(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = Output(level=-1)
    output.error(NotYet("production: not yet: a soaks", "5h of 1d.", "Wait.", at="2026-01-02T12:00:00+00:00"))
    assert output.last == {
        "outcome": "not_yet", "exit_code": 18, "error": "NotYet", "what": "production: not yet: a soaks",
        "why": "5h of 1d.", "fix": "Wait.", "next_at": "2026-01-02T12:00:00+00:00",
    }  # fmt: skip
    ci.hand_on(output, 18)
    assert (handed(files)["outcome"], handed(files)["exit_code"]) == ("not_yet", "18")
    (line,) = [each for each in capfd.readouterr().err.splitlines() if each.startswith("::")]
    assert line == "::notice title=not_yet::production: not yet: a soaks%0A5h of 1d.%0AWait."


@pytest.mark.parametrize("name", ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"])
def test_a_file_that_cannot_be_written_is_said(
    files: Path, name: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page, fifo = files / "page.md", files / "fifo"
    page.write_text("# page\n")
    os.mkfifo(fifo)
    for place in (fifo, files):  # nobody reads it; a folder
        monkeypatch.setenv(name, str(place))
        output = Output()
        output.last = {"outcome": "promoted"}
        with streams.installed():
            ci.hand_on(output, 0)
            ci.show_pages(output, [page, files / "page.html"])
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("no ")


def test_a_page_is_added_to_those_before(files: Path) -> None:
    page = files / "page.md"
    page.write_text("# page\n")
    for _ in range(2):
        ci.show_pages(Output(), [page, files / "page.html"])
    assert (files / "GITHUB_STEP_SUMMARY").read_text() == "# page\n# page\n"


def test_elsewhere_nothing_is_said(
    files: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name)
    with streams.installed():
        ci.hand_on(ended(outcome="rolled_back"), 11)
    assert capfd.readouterr().err == ""
    assert list(files.iterdir()) == []
