"""The masks that we send name fields that a service has, and no other mask is sent."""

from __future__ import annotations

import ast

import pytest

from pipeline.rpc import masks
from tests.test_house import ALL


@pytest.mark.parametrize(
    "paths",
    [["nonsense"], ["traffic", "annotation"], ["template.nonsense"], ["annotations.key"], ["scaling.minInstanceCount"], [""], []],
)  # fmt: skip
def test_a_mask_that_would_replace_the_whole_service_is_none(paths: list[str]) -> None:
    with pytest.raises(ValueError, match="would replace the whole service"):
        masks.checked(paths)


def test_a_record_is_written_alone_or_with_traffic() -> None:
    assert list(masks.RECORD.paths) == ["annotations"]
    assert list(masks.RECORD_AND_TRAFFIC.paths) == ["annotations", "traffic"]
    assert list(masks.TEMPLATE.paths) == ["template"]


def test_nobody_sends_a_mask_that_was_not_checked() -> None:
    given = [
        (module, ast.unparse(keyword.value))
        for module, path in ALL.items()
        if module.split(".")[0] in ("pipeline", "infra")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "update_mask"
    ]
    assert {module for module, _ in given} == {"pipeline.cloudrun.service"}
    sources = {module: ALL[module].read_text(encoding="utf-8") for module, _ in given}
    for module, value in given:
        assigned = [
            ast.unparse(node.value)
            for node in ast.walk(ast.parse(sources[module]))
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == value
        ]
        assert all(each.startswith("masks.") for each in assigned or [value]), module
    assert not [module for module, path in ALL.items() if "FieldMask(" in path.read_text(encoding="utf-8")
                and module not in ("pipeline.rpc.masks", "pipeline.local.control.codec", "bench.house")]  # fmt: skip
