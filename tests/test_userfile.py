"""Files that users name: whatever they are, an answer comes, in our words and with its place."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pipeline.config import raw, schema
from pipeline.errors import ConfigError
from pipeline.probe import secret_file


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        schema.validate(raw.read(path))
    text = str(caught.value)
    assert str(path) in text
    assert "Error" not in text
    return text


def test_a_folder_a_pipe_a_device_and_a_socket_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, target, kind in [
            ("folder", tmp_path, "a folder"), ("pipe-link", tmp_path / "pipe", "a pipe"),
            ("zero", Path("/dev/zero"), "a device"), ("socket-link", tmp_path / "socket", "a socket"),
        ]:  # fmt: skip
            link = tmp_path / f"{name}.yaml"
            link.symlink_to(target)
            assert f"{kind}, not a file" in refusal(link)
            assert f"{kind}, not a file" in refusal(target)


def test_a_secret_is_no_pipe_and_no_device_either(tmp_path: Path) -> None:
    """Every command reads secrets as soon as the file that names them, so that it never shows one."""
    os.mkfifo(tmp_path / "pipe")
    file = tmp_path / "spillway.yaml"
    file.write_text(
        'scenarios: {a: {path: /ws, send: ["${file:pipe}", "${file:/dev/zero}"], expect: [done]}}'
    )
    assert raw.read(file).value
    for path, kind in (
        (tmp_path / "pipe", "a pipe"),
        (Path("/dev/zero"), "a device"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(ValueError, match=f"^{kind}, not a file$"):
            secret_file.read(path)


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nothing")
    (tmp_path / "round.yaml").symlink_to(tmp_path / "round.yaml")
    assert "not there" in refusal(tmp_path / "gone.yaml")
    assert "cannot be read" in refusal(tmp_path / "round.yaml")


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / ("x" * 300))
    assert "cannot be read" in refusal(tmp_path / "spillway.yaml" / ".." / ("y" * 5000))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "spillway.yaml"
    file.write_text("service: a")
    file.chmod(0)
    assert "Permission denied" in refusal(file)


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"a: b\nc: \xff", "2:4", "byte 0xff is not UTF-8"),
        ("ä: ".encode() + b"\xc3\x28", "1:4", "byte 0xc3 is not UTF-8"),
        ("service: a".encode("utf-16"), "1:1", "UTF-16"),
        (b"service: a\n\0\0\0", "2:1", "a NUL byte"),
        (b"a: " + b"x" * raw.MAX_BYTES, "1:1", "more than 1,048,576 bytes"),
    ],
)
def test_what_is_no_text(tmp_path: Path, data: bytes, place: str, words: str) -> None:
    file = tmp_path / "spillway.yaml"
    file.write_bytes(data)
    assert f"{file}:{place}: " in refusal(file)
    assert words in refusal(file)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "spillway.yaml"
    file.write_text("service: agent-chat", encoding="utf-8-sig")
    assert raw.text_of(file) == "service: agent-chat"


def test_a_sparse_file_costs_what_is_read_of_it(tmp_path: Path) -> None:
    file = tmp_path / "spillway.yaml"
    with file.open("wb") as made:
        made.truncate(1 << 40)
    assert "more than 1,048,576 bytes" in refusal(file)
