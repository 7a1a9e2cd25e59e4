"""The provider's table, row by row, through Pulumi's real engine: what an update does to what is not declared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pulumi
import pytest
from google.cloud import run_v2
from pulumi import automation

from infra.settings import Settings
from pipeline.local.provider.service import SERVICE
from tests.contract.cloud import target
from tests.pulumi.bench import Bench
from tests.test_provider import (
    BY_NAME,
    CLEARED,
    CLEARED_OF_THE_CONTAINER,
    KEPT,
    KEPT_OF_THE_CONTAINER,
    holder_of,
)


@dataclass
class Plain:
    """A program that declares next to nothing, as somebody else's might."""

    bench: Bench
    settings: Settings

    @contextmanager
    def stack(self, suffix: str, **declared: Any) -> Iterator[automation.Stack]:
        ref = self.settings.ref
        template = {
            "containers": [{"image": "good"}],
            **({"revision": f"{ref.service}-{suffix}"} if suffix else {}),
        }

        def run() -> None:
            pulumi.CustomResource(SERVICE, ref.service, {
                "project": ref.project, "location": ref.location, "name": ref.service,
                "deletionProtection": False, "template": template, **declared,
            })  # fmt: skip

        with self.bench.stack(self.settings, run) as stack:
            yield stack

    def up(self, suffix: str, *, refresh: bool = True, **declared: Any) -> None:
        with self.stack(suffix, **declared) as stack:
            stack.up(refresh=refresh, color="never")

    def shows_no_change(self, suffix: str, **declared: Any) -> bool:
        with self.stack(suffix, **declared) as stack:
            changes = stack.preview(refresh=True, color="never").change_summary
        return not {str(what) for what in changes} - {"same"}

    @property
    def service(self) -> run_v2.Service:
        return self.bench.message(self.settings)

    def edit(self, **fields: Any) -> None:
        """By hand, through the Admin API."""
        service = self.service
        for name, value in fields.items():
            holder, leaf = holder_of(service, name)
            setattr(holder, leaf, value)
        self.bench.cloud.fault(self.bench.cloud.put(service))


@pytest.fixture(scope="module")
def rows(bench: Bench) -> tuple[run_v2.Service, run_v2.Service]:
    """One service with every field set by hand, before and after one update that declares none of them."""
    plain = Plain(bench, bench.settings())
    plain.up("a")
    everything = {**CLEARED, **CLEARED_OF_THE_CONTAINER, **KEPT, **KEPT_OF_THE_CONTAINER}
    plain.edit(**everything, **{"template.revision": f"{plain.settings.service}-hand"})
    before = plain.service
    plain.up("b")
    return before, plain.service


@pytest.mark.parametrize("path", [*CLEARED, *CLEARED_OF_THE_CONTAINER])
def test_what_is_optional_is_cleared(rows: tuple[run_v2.Service, run_v2.Service], path: str) -> None:
    before, after = rows
    assert getattr(*holder_of(before, path)), "the local Cloud Run keeps it"
    assert not getattr(*holder_of(after, path))


@pytest.mark.parametrize("path", [*KEPT, *KEPT_OF_THE_CONTAINER])
def test_what_is_computed_too_stays(rows: tuple[run_v2.Service, run_v2.Service], path: str) -> None:
    before, after = rows
    assert getattr(*holder_of(after, path)) == getattr(*holder_of(before, path))


@pytest.fixture
def plain(bench: Bench) -> Plain:
    made = Plain(bench, bench.settings())
    made.up("a")
    return made


def test_a_service_is_labelled_when_it_is_made(plain: Plain) -> None:
    assert plain.service.labels == {"goog-pulumi-provisioned": "true"}
    assert plain.shows_no_change("a")


def test_a_stale_state_brings_the_old_value_back(plain: Plain) -> None:
    plain.edit(ingress="INGRESS_TRAFFIC_INTERNAL_ONLY")
    plain.up("b", refresh=False)
    assert plain.service.ingress.name == "INGRESS_TRAFFIC_ALL"


def test_traffic_that_is_not_declared_is_that_of_the_refresh(plain: Plain) -> None:
    plain.bench.cloud.add_revision(plain.service, "x")
    split = [target(f"{plain.settings.service}-a", 60, "stable"), target(f"{plain.settings.service}-x", 40)]
    plain.bench.cloud.split(plain.service, *split)
    plain.up("b")
    assert list(plain.service.traffic) == split


def test_a_percent_left_out_is_that_of_the_line_which_stood_there(plain: Plain) -> None:
    first, second = f"{plain.settings.service}-a", f"{plain.settings.service}-x"
    plain.bench.cloud.add_revision(plain.service, "x")
    plain.bench.cloud.split(plain.service, target(first, 60), target(second, 40))
    plain.up("b", traffics=[{"type": BY_NAME, "revision": name} for name in (second, first)])
    assert [(t.revision, t.percent) for t in plain.service.traffic] == [(second, 60), (first, 40)]


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_keys_are_merged_as_the_state_knows_them(plain: Plain, kind: str) -> None:
    plain.up("a", **{kind: {"ours": "1", "old": "1"}})
    there = dict(getattr(plain.service, kind))
    plain.edit(**{kind: {**there, "theirs": "1"}})
    plain.up("a", **{kind: {"ours": "1", "old": "1"}})
    plain.edit(**{kind: {**there, "theirs": "2", "later": "3"}})
    plain.up("b", refresh=False, **{kind: {"ours": "2"}})
    found = {key: value for key, value in getattr(plain.service, kind).items() if not key.startswith("goog-")}
    assert found == {"theirs": "1", "ours": "2"}


@pytest.mark.parametrize(
    "edit",
    [
        {"client": "gcloud"}, {"client_version": "578.0.0"},
        {"template.annotations": {"client.knative.dev/user-image": "x"}},
    ],
    ids=["client", "client_version", "user-image"],
)  # fmt: skip
def test_what_gcloud_sets_differs_until_it_is_overwritten(plain: Plain, edit: dict[str, Any]) -> None:
    plain.edit(
        **edit,
        **{"template.revision": f"{plain.settings.service}-hand"} if "template.annotations" in edit else {},
    )
    assert not plain.shows_no_change("a")


def test_a_revision_name_that_is_not_declared_makes_a_revision_each_time(plain: Plain) -> None:
    """Each time that the server has a name, because somebody gave one."""
    for suffix in ("x", "y"):
        assert not plain.shows_no_change("")
        plain.up("")
        plain.bench.cloud.add_revision(plain.service, suffix)
    revisions = plain.bench.cloud.revisions.list_revisions(parent=plain.settings.ref.name)
    assert len(list(revisions)) == 1 + 2 * 2
