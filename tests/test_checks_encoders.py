"""What the corpus says of log encoders is what the real ones do: each is set up, given the value, and its line is read."""

from __future__ import annotations

import io
import json
import logging
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from google.cloud import logging_v2
from loguru import logger

from tests.checks_corpus import encoders
from tests.checks_corpus.encoders import Encoder

assert logging_v2.Client, (
    "the whole package: in a process of ours it may stand there before its own beginning has run"
)
RUN = [encoder for encoder in encoders.ENCODERS if encoder.is_run]


@contextmanager
def left_as_it_was() -> Iterator[None]:
    """Whatever is set up inside is gone afterwards."""
    top, before = logging.getLogger("app"), structlog.get_config()
    kept = top.handlers[:], top.level, top.propagate, logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        yield
    finally:
        top.handlers[:], top.propagate, logging.raiseExceptions = kept[0], kept[2], kept[3]
        top.setLevel(kept[1])
        structlog.configure(**before)
        logger.remove()


def module(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    made = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(text, name, "exec"), made.__dict__)  # our own texts
    return made


def logged(encoder: Encoder, value: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the line is there: the call returns, and the stream holds a line."""
    stream = io.StringIO()
    with left_as_it_was():
        module("app", "", monkeypatch)
        module("app.kinds", encoders.KINDS, monkeypatch)
        setup = module("app.setup", encoder.files["app/setup.py"], monkeypatch)
        setup.configure(stream)
        user = module("app.user", encoders.HEAD, monkeypatch)
        try:
            made = eval(encoder.call.replace("VALUE", value), user.__dict__)
        except TypeError:
            return False
        if isinstance(made, str):  # json.dumps alone writes nowhere
            return json.loads(made) is not None
    return "was here" in stream.getvalue()


@pytest.mark.parametrize("encoder", RUN, ids=lambda e: e.name)
def test_what_it_does_with_values(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {value: logged(encoder, value, monkeypatch) for value in encoders.VALUES}
    assert set(written.values()) == {encoder.values == "writes"}, written


@pytest.mark.parametrize("encoder", RUN, ids=lambda e: e.name)
def test_what_it_does_with_keys(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {key: logged(encoder, key, monkeypatch) for key in encoders.KEYS}
    assert set(written.values()) == {encoder.keys == "writes"}, written


@pytest.mark.parametrize("encoder", RUN, ids=lambda e: e.name)
def test_what_is_good_is_always_written(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {value: logged(encoder, value, monkeypatch) for value in encoders.GOOD}
    assert all(written.values()), written
