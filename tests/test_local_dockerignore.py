"""The patterns of .dockerignore mean what Docker's documentation says."""

from __future__ import annotations

import pytest

from pipeline.local.images.dockerignore import BadPattern, Ignored


@pytest.mark.parametrize(
    ("lines", "path", "is_left_out"),
    [
        (["data"], "data", True),
        (["data"], "data/deep/er", True),
        (["data"], "other/data", False),
        (["data"], "database", False),
        (["/data/"], "data/x", True),
        (["./a/../data"], "data/x", True),
        (["*/temp*"], "dir/temporary.txt", True),
        (["*/temp*"], "dir/temp/x", True),
        (["*/temp*"], "temp", False),
        (["*/*/temp*"], "a/b/temporary", True),
        (["temp?"], "tempa", True),
        (["temp?"], "temp", False),
        (["temp?"], "temp/", False),
        (["**/*.go"], "x.go", True),
        (["**/*.go"], "a/b/x.go", True),
        (["**/*.go"], "a/b/x.got", False),
        (["a/**"], "a/b/c", True),
        (["a/**"], "a", False),
        (["a/**/z"], "a/z", True),
        (["a/**/z"], "a/b/c/z/deeper", True),
        (["**"], "anything/at/all", True),
        (["*.md", "!README.md"], "README.md", False),
        (["*.md", "!README.md"], "CHANGES.md", True),
        (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True),
        (["*.md", "README-secret.md", "!README*.md"], "README-secret.md", False),
        (["*", "!src"], "src/main.py", False),
        (["*", "!src"], "lib/main.py", True),
        (["# data", "", "   "], "data", False),
        (["\\#data"], "#data", True),
        (["[a-c]x"], "bx", True),
        (["[^a-c]x"], "bx", False),
        (["[[]x"], "[x", True),
        (["a.b"], "axb", False),
        (["a\\*b"], "a*b", True),
        (["a\\*b"], "axb", False),
        (["new\nline"], "new\nline", True),
        (["! src", "src"], "src", True),
    ],
)
def test_a_path(lines: list[str], path: str, is_left_out: bool) -> None:
    assert (path in Ignored(lines)) is is_left_out


@pytest.mark.parametrize(
    ("lines", "folder", "hides"),
    [
        (["data"], "data", True),
        (["data", "!data/keep"], "data", False),
        (["data", "!other/keep"], "data", True),
        (["**/node_modules", "!*/x"], "node_modules", False),
        (["**/node_modules", "!**/keep"], "a/node_modules", False),
        (["**/node_modules", "!src/keep"], "a/node_modules", True),
    ],
)
def test_a_folder_is_skipped_when_nothing_in_it_can_come_back(
    lines: list[str], folder: str, hides: bool
) -> None:
    assert Ignored(lines).hides(folder) is hides


@pytest.mark.parametrize("line", ["[a", "[]", "a\\", "!", "[z-a]"])
def test_what_is_no_pattern_is_told_with_its_line(line: str) -> None:
    with pytest.raises(BadPattern, match="line 2"):
        Ignored(["ok", line])
