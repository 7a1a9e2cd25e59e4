"""Whether a file is parsed in part or whole, and what was remembered, changes no finding: on modules drawn at random.

``SPILLWAY_CHECKS_SEEDS=500`` draws more of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random

import pytest

from checks.runner import run
from checks.settings import JsonSafeLogs, Settings
from tests.checks_written import OTHERS, written
from tests.test_checks_examples import plant

SETTINGS = Settings(json_safe_logs=JsonSafeLogs(plain=("structlog", "extra")))
SEEDS = range(int(os.environ.get("SPILLWAY_CHECKS_SEEDS", "3")))
#: a small file is parsed whole, and so is one with a form feed in it
IN_PART, WHOLE = "#" + " " * 2000 + "\n", "#\f" + " " * 2000 + "\n"


def broken(text: str, random: Random) -> str:
    """The same with some lines that go on behind a backslash."""
    return re.sub(
        r"^( *)(\w+ =|return|if|for \w+ in) (?=\S)",
        lambda found: random.choice((found[0], f"{found[0]}\\\n{random.choice(('', found[1]))}")),
        text,
        flags=re.MULTILINE,
    )


def seen(root: Path, cache: Path | None = None) -> list[tuple[str, int, str, str]]:
    """What is found; a form feed in the first line changes neither place nor words."""
    report = run(root, SETTINGS, only=["json-safe-logs"], jobs=1, cache=cache is not None, cache_folder=cache)
    return [(each.path, each.line, each.message, each.confidence.name) for each in report.findings]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_part_of_a_file_shows_what_the_whole_shows(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    texts = {f"m{number}.py": written(random) for number in range(20)}
    texts |= {f"b{number}.py": broken(written(random), random) for number in range(10)}
    part = plant(tmp_path / "part", OTHERS | {path: IN_PART + text for path, text in texts.items()})
    whole = plant(tmp_path / "whole", OTHERS | {path: WHOLE + text for path, text in texts.items()})
    found = seen(part)
    assert found == seen(whole)
    assert len(found) > 20


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_remembered_changes_nothing(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    texts = {f"m{number}.py": IN_PART + written(random) for number in range(4)}
    root = plant(tmp_path / "tree", OTHERS | texts)
    for _ in range(5):
        fresh = seen(root)
        assert seen(root, tmp_path / "cache") == fresh
        assert seen(root, tmp_path / "cache") == fresh
        path = random.choice(sorted(texts))
        match random.choice(("enum", "helper", "module", "rename")):
            case "enum":
                base = random.choice(("(Enum)", "(str, Enum)"))
                (root / "a.py").write_text(OTHERS["a.py"].replace("(Enum)", base))
            case "helper":
                (root / "a.py").write_text(OTHERS["a.py"].replace("json.dumps(v)", "str(v)"))
            case "rename" if (root / path).exists():
                (root / path).replace(root / f"n_{path}")
            case "module":
                (root / path).write_text(IN_PART + written(random))
