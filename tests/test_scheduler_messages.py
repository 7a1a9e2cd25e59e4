"""Messages of Cloud Scheduler, which the Pulumi provider asks for in several threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from pipeline.rpc import scheduler

NAMES = ("Job", "CreateJobRequest", "UpdateJobRequest", "ListJobsResponse")


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def as_loaded_first() -> ModuleType:
    spec = spec_from_file_location("scheduler_loaded_first", scheduler.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.usefixtures("eager_threads")
def test_whoever_asks_first_in_whichever_thread_the_messages_fit_together() -> None:
    with ThreadPoolExecutor(len(NAMES)) as threads:
        for _ in range(20):
            messages, begin = as_loaded_first(), threading.Barrier(len(NAMES))

            def ask(name: str, messages: ModuleType = messages, begin: threading.Barrier = begin) -> type:
                begin.wait()
                kind: type = messages.kind(name)
                return kind

            job, create, update, _ = threads.map(ask, NAMES)
            create(job=job(name="a"))
            update(job=job(name="a"))
