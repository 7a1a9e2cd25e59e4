"""A file with twice as much of something takes about twice as long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from checks.runner import run
from checks.settings import JsonSafeLogs, Settings
from tests.test_checks_examples import plant

MANY = {
    "subclasses, and lines that read what they make": (
        "class A:\n    at = now()\n\n    def told(self):\n",
        "        json.dumps([self.at, {n}])\n",
        "class B{n}(A):\n    at = now()\n\n",
    ),
    "annotated parameters": (
        "def send({all}):\n",
        "    requests.post('/', json={{'at': a{n}}})\n",
        "send(a{n}='now')\n",
    ),
    "lines that read what another function sets": (
        "def told():\n    at = now()\n\n    def inner():\n        nonlocal at\n",
        "    json.dumps([at, at, at, {n}])\n",
        "",
    ),
}


@pytest.mark.parametrize("case", MANY)
def test_twice_as_much_takes_not_many_times_as_long(case: str, tmp_path: Path) -> None:
    head, *rows = MANY[case]

    def seconds(many: int) -> float:
        start = head.format(all=", ".join(f"a{n}: datetime" for n in range(many)))
        more = ("".join(row.format(n=n) for n in range(many)) for row in rows)
        text = f"import json\nimport requests\nfrom datetime import datetime\nnow = datetime.now\n{start}{''.join(more)}"
        root = plant(tmp_path / str(many), {"many.py": text})
        began = time.process_time()
        report = run(
            root, Settings(json_safe_logs=JsonSafeLogs()), only=["json-safe-logs"], jobs=1, cache=False
        )
        assert len({each.line for each in report.findings}) == many
        return time.process_time() - began

    seconds(10)
    assert seconds(400) < 12 * seconds(100) + 0.2
