"""stdout and stderr, whatever they are: nothing raises, no secret, no control, no CI command at a line's start."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from pipeline.errors import UserError
from pipeline.events import Shifted
from pipeline.output import streams
from pipeline.output.streams import Stream
from pipeline.output.writer import Mode, Output
from pipeline.redact import SINK
from tests.cilog import commands_in
from tests.fakes import START


class Raising(io.StringIO):
    """A file that fails as files do."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault

    def write(self, text: str, /) -> int:
        raise self.fault

    def flush(self) -> None:
        raise self.fault


FAULTS = [
    BrokenPipeError(32, "Broken pipe"),
    OSError(28, "No space left on device"),
    OSError(5, "Input/output error"),
    OSError(9, "Bad file descriptor"),
    BlockingIOError(11, "Resource temporarily unavailable"),
    ValueError("I/O operation on closed file"),
    UnicodeEncodeError("ascii", "ö", 0, 1, "ordinal not in range"),
    RuntimeError("reentrant call"),
]


def say_everything(output: Output) -> None:
    output.say("said")
    output.result("done", {"outcome": "done"})
    output.data("::notice::data")
    output.event(Shifted(START, 1, 0, 5))
    output.error(UserError("what", "why", "fix"))


@pytest.mark.parametrize("is_installed", [True, False])
@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("fault", [*FAULTS, None], ids=lambda fault: type(fault).__name__)
def test_nothing_that_is_said_raises(
    monkeypatch: pytest.MonkeyPatch, fault: Exception | None, mode: Mode, is_installed: bool
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Raising(fault) if fault else None)
    if not is_installed:
        say_everything(Output(mode, 1))
        return
    with streams.installed():
        say_everything(Output(mode, 1))
        sys.stdout.write("a library's word")
        streams.console("stderr").print("a picture")


@contextmanager
def caught(out: io.StringIO | None = None) -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Installed streams, and what stands behind stdout and stderr."""
    files = out or io.StringIO(), io.StringIO()
    with redirect_stdout(files[0]), redirect_stderr(files[1]), streams.installed():
        yield files


def test_what_one_stream_lost_is_told_on_the_other() -> None:
    with caught(Raising(OSError(28, "No space left on device"))) as pair:
        Output().result("the result", {})
    assert "part of stdout is lost" in pair[1].getvalue()
    assert "No space left" in pair[1].getvalue()


def test_a_reader_who_has_left_is_no_news() -> None:
    with caught(Raising(BrokenPipeError())) as pair:
        Output().result("the result", {})
        assert streams.is_gone("stdout")
        assert not streams.is_gone("stderr")
    assert pair[1].getvalue() == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252", "utf-16"])
def test_an_encoding_that_cannot_hold_the_text(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", file)
    with streams.installed():
        Output().result("ö ✓ 日本 end", {})
        sys.stdout.write("\udcff and more")
    assert "end\n" in raw.getvalue().decode(encoding)
    assert "and more" in raw.getvalue().decode(encoding)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for descriptor in (read_end, write_end):
        try:
            os.close(descriptor)
        except OSError:
            continue


def test_a_descriptor_is_written_past_pythons_buffer(pipe: tuple[int, int]) -> None:
    """What Python kept in a buffer it would try to write again at its end, and fail with code 120."""
    read_end, write_end = pipe
    os.close(read_end)
    with open(write_end, "w", closefd=False) as file:
        stream = Stream(file)
        stream.put("x" * 10_000)
        stream.finish()
        assert stream.is_gone
        file.flush()  # nothing is left in it


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    os.set_blocking(write_end, False)
    with open(write_end, "w", closefd=False) as file:
        stream = Stream(file)
        stream.put("x" * 200_000)
        got = 0
        while got < 200_000:
            got += len(os.read(read_end, 65536))
        assert stream.finish() == ""


def test_a_pipe_that_nobody_reads_holds_up_nobody(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    with open(write_end, "w", closefd=False) as file:
        stream = Stream(file)
        for number in range(2000):  # 2,000 waits would be 500 s
            stream.write(f"{number} {'x' * 1000}\n")
        os.close(read_end)
        stream.finish()


HOSTILE = [
    "::error::x",
    "  ::error::x",
    "\t::error::x",
    "\u200b::error::x",
    "\ufeff\u2060::error::x",
    "\u3164::error::x",
    "\u0301::error::x",
    "a\r::error::x",
    "a\r\n::error::x",
    "a\u2028::error::x",
    "a\x0b::error::x",
    "a\x85::error::x",
    "\x1b[31m::error::x",
    "\x1b]0;t\x07::error::x",
    "##[error]x",
    "a ##[error]x",
    "##vso[task.setvariable]x",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_line_is_a_command(text: str) -> None:
    with caught() as pair:
        output = Output()
        output.say(text)
        output.result(f"fine\n{text}", {})
        output.error(UserError("w", text, text))
        sys.stdout.write(text)
        sys.stderr.write(f"x\n{text}")
        sys.stderr.write("\n")
        for piece in text:
            sys.stderr.write(piece)
        for width in range(1, 12):
            Output(Mode.JSON).result("", {text: [text, "\n" * width + text]})
    for file in pair:
        assert commands_in(file.getvalue()) == []


@pytest.mark.parametrize("width", range(10, 40, 3))
def test_no_line_that_rich_made_is_a_command(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any word may come to a line's start by wrapping, in a cell of a table too."""
    monkeypatch.setenv("COLUMNS", str(width))
    text = SINK.shown(" ".join(["word", "::error::x", "##[error]y"] * 8))
    with caught() as pair:
        for name in ("stdout", "stderr"):
            console = streams.console(name)  # type: ignore[arg-type]
            console.print(text)
            table = Table("a", box=None, pad_edge=False)
            table.add_row(text)
            console.print(table)
            console.out(text)
    for file in pair:
        assert "error" in file.getvalue()
        assert commands_in(file.getvalue()) == []


@given(st.lists(st.sampled_from([":", "::", "#", "##", "[", "vso", "\n", "\r", " ", "\u200b", "x", "\x1b[0m"]), max_size=30))  # fmt: skip
def test_no_pieces_become_a_command(pieces: list[str]) -> None:
    file = io.StringIO()
    stream = Stream(file)
    for piece in pieces:
        stream.draw(piece)
    stream.finish()
    assert commands_in(file.getvalue()) == []


@pytest.mark.parametrize("size", ["0", "1", "-5", "²", "9" * 5000, "", "wide"])
def test_a_size_that_is_none_is_not_believed(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setenv("LINES", size)
    with caught() as pair:
        streams.console("stdout").print("a whole sentence")
    assert pair[0].getvalue() == "a whole sentence\n"


def test_data_stays_as_its_maker_wrote_it_and_json_means_the_same() -> None:
    with caught() as pair:
        Output().data("::error file=a.py::boom")
        Output(Mode.JSON).result("", {"a": "##[error]x ##vso[y]"})
    first, _, document = pair[0].getvalue().partition("\n")
    assert first == "::error file=a.py::boom"
    assert json.loads(document) == {"a": "##[error]x ##vso[y]"}


def test_no_secret_leaves_by_any_way() -> None:
    SINK.learn("streams-secret-1")
    with caught() as pair:
        sys.stdout.write("streams-secret-1")
        sys.stderr.write("streams-secret-1")
        streams.console("stdout").print("streams-secret-1")
    for file in pair:
        assert "streams-secret-1" not in file.getvalue()
        assert "[redacted]" in file.getvalue()


def test_beside_a_document_nobody_else_prints_on_stdout() -> None:
    with caught() as (out, err):
        streams.keep_for_data()
        sys.stdout.write("a class's word\n")
        Output(Mode.JSON).result("", {"a": 1})
        streams.console("stdout").print("a picture")
    assert json.loads(out.getvalue()) == {"a": 1}
    assert err.getvalue() == "a class's word\na picture\n"
