"""Groups of nearly equal functions: what is like what, and how much is compared."""

from __future__ import annotations

import random

from checks.rules.protocol import Project
from checks.rules.repeated import Facts, Helper, judge
from checks.settings import Settings
from checks.tree.tree import Tree

PROJECT = Project(Settings(), Tree((), lambda _path: None))


def groups(helpers: list[Helper]) -> list[list[str]]:
    facts = {f"f{number:05}.py": Facts([], [helper], []) for number, helper in enumerate(helpers)}
    return [[f.path, *(step.path for step in f.trail)] for f in judge(PROJECT, {}, facts)]


def helper(number: int, signature: list[int], enums: str = "") -> Helper:
    return Helper("run", 1, str(number), sorted(signature), enums)


def test_thousands_of_one_name_that_are_not_alike_take_no_time() -> None:
    rng = random.Random(1)
    assert groups([helper(n, [rng.randrange(1 << 32) for _ in range(16)]) for n in range(10_000)]) == []


def test_what_all_share_makes_nothing_alike() -> None:
    rng = random.Random(2)
    assert (
        groups([helper(n, [*range(5), *(rng.randrange(99, 1 << 32) for _ in range(11))]) for n in range(500)])
        == []
    )


def test_the_nearly_equal_are_found_among_many() -> None:
    rng = random.Random(3)
    many = [helper(n, [rng.randrange(1 << 32) for _ in range(16)]) for n in range(300)]
    many[7], many[200] = helper(7, [*range(100, 116)]), helper(200, [*range(103, 119)])
    many[9], many[150], many[299] = (helper(n, many[n].signature, "hasattr value") for n in (9, 150, 299))
    assert groups(many) == [
        ["f00009.py", "f00150.py", "f00299.py"],
        ["f00007.py", "f00200.py"],
    ]
