"""The state of a service: accepted writes, readiness, and what may be served when. No I/O anywhere."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from pipeline.local.control import state, writes
from pipeline.local.control.etags import etag_of, version_of
from pipeline.local.control.state import (
    BY_NAME,
    LATEST,
    Failure,
    Json,
    Line,
    Refused,
    Service,
    Stamp,
    broken_invariants,
)
from pipeline.model import Readiness, ServiceRef

REF = ServiceRef("local", "here", "chat")
AT = datetime(2030, 1, 1, tzinfo=UTC)
BOOM = Failure("HEALTH_CHECK_CONTAINER_ERROR", "it exits")
_ids = itertools.count()


def stamp(minutes: int = 0) -> Stamp:
    return Stamp("me", AT + timedelta(minutes=minutes), lambda: f"id-{next(_ids):06d}")


def spec(*traffic: Json, revision: str = "", image: str = "good", **fields: object) -> Json:
    template = {"containers": [{"image": image}], **({"revision": f"chat-{revision}"} if revision else {})}
    return writes.with_defaults(
        REF, {"template": template, **({"traffic": list(traffic)} if traffic else {}), **fields}
    )


def to(revision: str, percent: int = 0, tag: str = "") -> Json:
    return {"type_": BY_NAME, "revision": f"chat-{revision}", "percent": percent, "tag": tag}


def to_latest(percent: int = 100) -> Json:
    return {"type_": LATEST, "percent": percent}


def made(*traffic: Json, revision: str = "one") -> Service:
    """A service whose first revision is ready and served."""
    service = writes.create(REF, spec(revision=revision), stamp())
    service = state.advance(state.checked(service, f"chat-{revision}", None, AT), AT)
    return settle(writes.update(service, spec(*traffic, revision=revision), stamp())) if traffic else service


def settle(service: Service, **readiness: bool) -> Service:
    """The service with what is pending found ready, or failed where ``name=False``, as far as it can get."""
    for revision in service.revisions:
        if revision.readiness is Readiness.PENDING:
            is_good = readiness.get(revision.name.removeprefix("chat-"), True)
            service = (
                state.checked(service, revision.name, None, AT)
                if is_good
                else state.checked(service, revision.name, BOOM, AT)
            )
    return state.advance(service, AT)


def served(service: Service) -> dict[str, int]:
    return {line.revision: line.percent for line in service.serving if line.percent}


def test_a_new_service_serves_nothing_until_its_revision_is_ready() -> None:
    service = writes.create(REF, spec(), stamp())
    assert service.reconciling
    assert (service.serving, service.latest_ready, service.observed_generation) == ((), "", 0)
    assert state.advance(service, AT) is service
    ready = settle(service)
    assert served(ready) == {ready.latest_created: 100}
    assert (ready.reconciling, ready.observed_generation, ready.failure) == (False, 1, None)


def test_a_new_service_whose_revision_fails_serves_nothing() -> None:
    service = writes.create(REF, spec(revision="one"), stamp())
    failed = settle(service, one=False)
    assert not failed.reconciling
    assert failed.serving == ()
    assert failed.observed_generation == 0
    assert failed.failure
    assert "chat-one" in failed.failure.message
    assert BOOM.message in failed.failure.message


def test_latest_is_the_latest_that_is_ready() -> None:
    service = writes.update(made(), spec(revision="two"), stamp())
    assert (service.latest_created, service.latest_ready) == ("chat-two", "chat-one")
    assert served(settle(service)) == {"chat-two": 100}
    assert served(settle(service, two=False)) == {"chat-one": 100}


def test_a_failed_update_keeps_the_last_serving_state() -> None:
    before = made()
    failed = settle(writes.update(before, spec(revision="two"), stamp()), two=False)
    assert failed.serving == before.serving
    assert failed.observed_generation == before.observed_generation == 1
    assert failed.generation == 2
    assert failed.failure
    assert failed.template_failure == failed.failure


def test_traffic_moves_while_an_unrelated_revision_is_pending() -> None:
    service = settle(writes.update(made(to("one", 100)), spec(to("one", 100), revision="two"), stamp()))
    service = settle(writes.update(service, spec(to("one", 50), to("two", 50), revision="two"), stamp()))
    service = writes.update(service, spec(to("one", 50), to("two", 50), revision="three"), stamp())
    back = state.advance(writes.update(service, spec(to("one", 100), revision="three"), stamp()), AT)
    assert served(back) == {"chat-one": 100}
    assert back.reconciling  # three is still starting


def test_a_split_waits_as_a_whole_for_its_revisions() -> None:
    service = writes.update(made(to("one", 100)), spec(to("one", 95), to("two", 5), revision="two"), stamp())
    waiting = state.advance(service, AT)
    assert served(waiting) == {"chat-one": 100}
    assert served(settle(waiting)) == {"chat-one": 95, "chat-two": 5}
    assert served(settle(waiting, two=False)) == {"chat-one": 100}


def test_a_tag_without_percent_waits_alone() -> None:
    traffic = (to("one", 100, "stable"), to("two", 0, "candidate"))
    service = state.advance(writes.update(made(to("one", 100)), spec(*traffic, revision="two"), stamp()), AT)
    assert service.serving == (Line("chat-one", 100, "stable"),)
    assert [line.tag for line in settle(service).serving] == ["stable", "candidate"]
    assert [line.tag for line in settle(service, two=False).serving] == ["stable"]


def test_only_a_changed_template_makes_a_revision() -> None:
    before = made()
    after = writes.update(before, spec(revision="one", annotations={"a": "1"}), stamp())
    assert after.revisions == before.revisions
    assert after.generation == 2
    assert after.etag != before.etag


def test_a_name_with_another_template_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        writes.update(made(), spec(revision="one", image="other"), stamp())
    assert refused.value.code == "ALREADY_EXISTS"
    assert refused.value.message == "Revision named 'chat-one' with different configuration already exists."


def test_naming_an_old_revision_makes_it_the_latest_again() -> None:
    service = settle(writes.update(made(), spec(revision="two", image="other"), stamp()))
    back = settle(writes.update(service, spec(revision="one"), stamp()))
    assert [r.name for r in back.revisions] == ["chat-two", "chat-one"]
    assert served(back) == {"chat-one": 100}


def test_a_revision_without_a_name_gets_one() -> None:
    service = writes.create(REF, spec(), stamp())
    assert service.latest_created.startswith("chat-00001-")
    assert len(service.latest_created) == len("chat-00001-abc")


def test_traffic_to_an_unknown_revision_is_refused() -> None:
    with pytest.raises(Refused) as refused:
        writes.update(made(), spec(to("nobody", 100), revision="one"), stamp())
    assert refused.value.code == "FAILED_PRECONDITION"
    assert "chat-nobody does not exist or is deleted" in refused.value.message


@pytest.mark.parametrize(
    ("name", "why"), [("one", "serving traffic"), ("three", "the latest")], ids=["serving", "latest"]
)
def test_a_needed_revision_cannot_be_dropped(name: str, why: str) -> None:
    service = settle(writes.update(made(to("one", 100)), spec(to("one", 100), revision="two"), stamp()))
    service = settle(writes.update(service, spec(to("one", 100), revision="three"), stamp()))
    with pytest.raises(Refused, match=why):
        writes.drop_revision(service, f"chat-{name}", stamp())
    left = writes.drop_revision(service, "chat-two", stamp())
    assert [r.name for r in left.revisions] == ["chat-one", "chat-three"]


def test_a_revision_that_is_wanted_but_not_served_yet_cannot_be_dropped() -> None:
    service = settle(writes.update(made(to("one", 100)), spec(to("one", 100), revision="two"), stamp()))
    service = writes.update(service, spec(to("two", 100), revision="three"), stamp())
    with pytest.raises(Refused, match="serving traffic"):
        writes.drop_revision(service, "chat-two", stamp())


def test_dropping_a_tagged_revision_drops_its_tags() -> None:
    traffic = (to("two", 100), to("one", 0, "old"))
    service = settle(writes.update(made(), spec(*traffic, revision="two"), stamp()))
    left = state.advance(writes.drop_revision(service, "chat-one", stamp()), AT)
    assert left.spec["traffic"] == [to("two", 100)]
    assert left.serving == (Line("chat-two", 100),)
    assert left.etag != service.etag


def test_old_revisions_that_nothing_leads_to_are_collected() -> None:
    service = made(to("one", 60), to("one", 40, "kept"))
    for number in range(2, 8):
        service = settle(
            writes.update(
                service,
                spec(to("one", 60), to("one", 40, "kept"), revision=f"r{number}", image=f"i{number}"),
                stamp(),
                revision_limit=3,
            )
        )
    assert [r.name for r in service.revisions] == ["chat-one", "chat-r6", "chat-r7"]


def test_a_revision_that_is_starting_is_not_collected() -> None:
    service = made()
    for number in range(2, 5):
        service = writes.update(
            service, spec(revision=f"r{number}", image=f"i{number}"), stamp(), revision_limit=1
        )
    assert [r.name for r in service.revisions] == ["chat-one", "chat-r2", "chat-r3", "chat-r4"]
    assert [r.name for r in settle(service).revisions][-1] == "chat-r4"


@pytest.mark.parametrize(
    ("change", "paths", "merged"),
    [
        ({"a": 9}, ["a"], {"a": 9, "m": {"x": 1, "y": 2}}),
        ({}, ["a"], {"m": {"x": 1, "y": 2}}),
        ({"m": {"x": 5}}, ["m"], {"a": 1, "m": {"x": 5}}),
        ({"m": {"x": 5}}, ["m.x"], {"a": 1, "m": {"x": 5, "y": 2}}),
        ({"m": {}}, ["m.x"], {"a": 1, "m": {"y": 2}}),
        ({"n": {"z": 1}}, ["n.z"], {"a": 1, "m": {"x": 1, "y": 2}, "n": {"z": 1}}),
        ({"a": 9, "m": {"x": 5}}, [], {"a": 1, "m": {"x": 1, "y": 2}}),
    ],
)
def test_merging_takes_what_the_paths_name(change: Json, paths: Sequence[str], merged: Json) -> None:
    before = {"a": 1, "m": {"x": 1, "y": 2}}
    assert writes.merge(before, change, paths) == merged
    assert before == {"a": 1, "m": {"x": 1, "y": 2}}


NAMES = st.sampled_from(["a", "b", "c", "d"])


class AnyHistory(RuleBasedStateMachine):
    """Writes, readiness and deletions in any order: what is served is sound after every step."""

    revisions = Bundle("revisions")

    @initialize()
    def create(self) -> None:
        self.service = writes.create(REF, spec(revision="first", image="first"), stamp())

    def advance(self) -> None:
        before = self.service
        self.service = state.advance(before, AT)
        if before.serving and not self.service.serving:
            raise AssertionError("what was served is no longer")

    @rule(name=NAMES)
    def deploy(self, name: str) -> None:
        change = {**self.service.spec, "template": spec(revision=name, image=name)["template"]}
        self.service = writes.update(self.service, change, stamp(), revision_limit=3)
        self.advance()

    @rule(data=st.data(), percent=st.integers(0, 100))
    def split(self, data: st.DataObject, percent: int) -> None:
        names = [r.name.removeprefix("chat-") for r in self.service.revisions]
        first, second = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
        traffic = data.draw(
            st.sampled_from(
                [
                    [to(first, percent, "x"), to(second, 100 - percent)],
                    [to(first, 100), to(second, 0, "y")],
                    [to_latest(percent), to(second, 100 - percent)],
                ]
            )
        )
        self.service = writes.update(self.service, {**self.service.spec, "traffic": traffic}, stamp())
        self.advance()

    @rule(data=st.data(), is_good=st.booleans())
    def check(self, data: st.DataObject, is_good: bool) -> None:
        pending = [r.name for r in self.service.revisions if r.readiness is Readiness.PENDING]
        if pending:
            name = data.draw(st.sampled_from(pending))
            self.service = (
                state.checked(self.service, name, None, AT)
                if is_good
                else state.checked(self.service, name, BOOM, AT)
            )
            self.advance()

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from([r.name for r in self.service.revisions]))
        shares = served(self.service)
        try:
            self.service = writes.drop_revision(self.service, name, stamp())
        except Refused as refused:
            assert refused.code == "FAILED_PRECONDITION"  # noqa: PT017 - the state machine goes on
        assert served(self.service) == shares
        self.advance()

    @invariant()
    def what_is_served_is_sound(self) -> None:
        assert not list(broken_invariants(self.service))

    @invariant()
    def a_settled_service_keeps_the_contract_of_reconciling(self) -> None:
        service = self.service
        if service.reconciling:
            return
        if service.failure is None:
            assert service.observed_generation == service.generation
            assert {(line.revision, line.percent, line.tag) for line in service.serving} == {
                (line.revision, line.percent, line.tag) for line in service.wanted
            }
            assert service.latest_ready == service.latest_created
        else:
            assert service.observed_generation < service.generation

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        if not any(r.readiness is Readiness.PENDING for r in self.service.revisions):
            assert not self.service.reconciling


AnyHistory.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=25)
TestAnyHistory = AnyHistory.TestCase


@example(183_603_681_558, "")  # its base64 has two slashes
@given(st.integers(1_000_000, 7 * 10**15), st.text(max_size=90))
def test_an_etag_holds_the_time_of_its_write(micros: int, name: str) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    assert version_of(etag_of(at, name)) == str(micros)


@given(st.text(max_size=30))
def test_what_is_no_etag_is_told_as_it_came(etag: str) -> None:
    assert version_of(etag) == etag or version_of(etag).isdecimal()
