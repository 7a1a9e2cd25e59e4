"""Plan-time refusals: each says what, the measured value, and the next command."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import plan
from pipeline.core.rollout import Phase, Rollout
from pipeline.errors import PlanRefused
from pipeline.judging.terms import Criterion
from pipeline.model import Readiness, Revision, ServiceRef, Split, Target
from tests.fakes import START
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages
from tests.test_rollout import a_rollout


def revision(name: str, readiness: Readiness = Readiness.READY) -> Revision:
    return Revision(name, f"uid-{name}", START, readiness, nonce="n")


def propose(
    wish: plan.Wish | None = None,
    revisions: tuple[Revision, ...] | None = None,
    current: Rollout | None = None,
    **live: object,
) -> plan.Proposal:
    service = replace(Scene().live, **live)  # type: ignore[arg-type]
    known = (revision(STABLE),) if revisions is None else revisions
    return plan.make(wish or a_wish(), service, known, current)


def test_a_plan_pins_the_stable_revision_by_name_and_uid() -> None:
    made = propose().plan
    assert (made.stable, made.stable_uid, made.candidate) == (STABLE, f"uid-{STABLE}", CANDIDATE)


def test_latest_is_pinned_to_what_it_is_and_said() -> None:
    latest = Split((Target(None, 100),))
    later = revision("created-later", Readiness.FAILED)
    proposal = propose(
        revisions=(later, revision(STABLE)), wanted=latest, serving=latest, latest_created=later.name
    )
    assert proposal.plan.stable == STABLE  # the latest one that got ready
    assert any("LATEST" in warning for warning in proposal.warnings)


def named(service: str) -> plan.Wish:
    return a_wish(ref=ServiceRef("p", "l", service))


HALF = Split((Target(STABLE, 50), Target("other", 50)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"wanted": HALF, "serving": HALF}, "agent-chat-stable 50%, other 50%", id="split"),
        pytest.param({"wanted": HALF}, "asked: agent-chat-stable 50%, other 50%; serving: agent-chat-stable 100%", id="unsettled"),
        pytest.param({"revisions": ()}, "is missing", id="stable-gone"),
        pytest.param({"revisions": (revision(STABLE, Readiness.FAILED),)}, "is failed", id="stable-failed"),
        pytest.param({"ingress_all": False}, "ingress is not open to all", id="ingress"),
        pytest.param({"default_uri_disabled": True}, "default address is disabled", id="no-uri"),
        pytest.param({"request_timeout": timedelta(seconds=5)}, "request timeout 5s", id="timeout"),
        pytest.param({"http2": True}, "HTTP/2 end-to-end is on", id="http2"),
        pytest.param({"wish": named("a" * 38)}, "47 characters together; Cloud Run allows 46", id="long-service"),
        pytest.param({"wish": a_wish("agent-chat-" + "x" * 53)}, "It has 64 characters; Cloud Run allows 63", id="long-revision"),
        pytest.param({"wish": a_wish(STABLE)}, "already has 100%", id="same"),
        pytest.param({"wish": a_wish(evidence="probes")}, "server_error_1011: no data source", id="no-users"),
    ],
)  # fmt: skip
def test_refusals(changes: dict[str, object], words: str) -> None:
    with pytest.raises(PlanRefused) as caught:
        propose(**changes)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert caught.value.fix
    assert caught.value.exit_code == 2


def test_what_just_does_is_not_refused() -> None:
    assert propose(request_timeout=a_wish().longest_scenario)
    asked = Split((Target(STABLE, 100), Target("other", 0, "green")))
    assert propose(wanted=asked)  # a tag that is on its way moves nobody
    assert propose(wanted=asked, reconciling=True)


def test_without_users_nothing_is_judged_by_them() -> None:
    wish = a_wish(evidence="probes", criteria=(Criterion("agent_completed", limit=0.01),))
    proposal = propose(wish)
    assert proposal.plan.terms.criteria == ()
    told = Criterion("container_exits", weight=0.25)
    assert propose(replace(wish, terms=replace(wish.terms, criteria=(told,)))).plan.terms.criteria == (told,)
    assert any("agent_completed is not judged here" in warning for warning in proposal.warnings)


def test_stable_is_adopted_where_no_rollout_of_ours_went_before() -> None:
    assert propose().plan.stable_adopted
    assert not propose(current=a_rollout(Phase.PROMOTED, 3)).plan.stable_adopted


def test_only_the_first_revision_itself_is_known_to_be_unhealthy() -> None:
    for candidate, expected in ((STABLE, True), ("agent-chat-earlier", False)):
        before = a_rollout(Phase.PROMOTED, 3, unhealthy=True)
        before = replace(before, plan=replace(before.plan, candidate=candidate, stable=candidate))
        assert propose(current=before).plan.stable_unhealthy is expected
    assert not propose(current=a_rollout(Phase.PROMOTED, 3)).plan.stable_unhealthy


def test_names_that_just_fit() -> None:
    plan.first(named("a" * 37))
    with pytest.raises(PlanRefused):
        plan.first(named("a" * 38))


def tagged(tag: str, name: str) -> Split:
    return Split((Target(STABLE, 100), Target(name, 0, tag)))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        pytest.param(
            tagged("candidate", "theirs"), "'candidate' is somebody else's, on theirs", id="candidate"
        ),
        pytest.param(tagged("stable", "theirs"), "'stable' is somebody else's, on theirs", id="stable"),
        pytest.param(tagged("stable", STABLE), "", id="where-it-would-go"),
        pytest.param(tagged("candidate", "ours"), "", id="on-a-revision-of-ours"),
        pytest.param(tagged("green", "theirs"), "", id="another-name"),
        pytest.param(
            tagged("candidate", STABLE),
            f"'candidate' is somebody else's, on {STABLE}",
            id="candidate-on-stable",
        ),
    ],
)
def test_somebody_elses_tag_is_told(wanted: Split, words: str) -> None:
    theirs, stable = (replace(revision(name), nonce="") for name in ("theirs", STABLE))
    for current in (None, a_rollout(Phase.ROLLED_BACK)):  # a record of ours speaks for its own tags alone
        known = (stable, theirs, revision("ours"))
        made = propose(revisions=known, current=current, wanted=wanted, serving=wanted)
        assert [words] * bool(words) == [tag[-len(words) :] for tag in made.foreign_tags]
        assert set(made.foreign_tags) <= set(made.warnings)


def test_a_tag_that_our_record_speaks_for_is_ours() -> None:
    current = a_rollout(Phase.ROLLED_BACK)
    wanted = tagged("candidate", CANDIDATE)
    theirs = replace(revision(CANDIDATE), nonce="")
    assert not propose(
        a_wish("agent-chat-next"), (revision(STABLE), theirs), current, wanted=wanted, serving=wanted
    ).foreign_tags


def test_warnings() -> None:
    proposal = propose(a_wish(min_instances=2), session_affinity=True, failure="agent-chat-x: exited\nlines")
    said = "\n".join(proposal.warnings)
    assert "session affinity is on" in said
    assert "min-instances 2" in said
    assert "agent-chat-x: exited" in said
    assert "lines" not in said
    assert "cannot be told from forged ones" not in said
    bare = propose(revisions=(replace(revision(STABLE), nonce=""),)).warnings
    assert any(f"{STABLE} was not deployed by Spillway" in warning for warning in bare)


def test_the_time_to_certify_is_told_in_trials() -> None:
    wish = a_wish(
        criteria=(Criterion("agent_completed", certify=0.01), Criterion("abnormal_1006", limit=0.1))
    )
    trials = propose(wish).certification_trials()
    assert list(trials) == ["agent_completed"]
    assert 298 <= trials["agent_completed"] <= 500  # ln(20)/-ln(0.99) at the least


def test_the_soak_is_that_of_all_stages() -> None:
    assert propose(a_wish(stages=stages(0, 5, 100, soak=60))).soak == timedelta(minutes=2)


def test_the_id_is_of_image_config_and_service() -> None:
    one = a_wish()
    assert one.rollout_id == a_wish().rollout_id
    others = ({"image": "x"}, {"fingerprint": "g"}, {"ref": ServiceRef("p", "l", "another")})
    assert len({one.rollout_id, *(replace(one, **other).rollout_id for other in others)}) == 4


def test_a_tag_that_follows_latest_is_told_and_nothing_more() -> None:
    targets = (Target(STABLE, 100), Target(None, 0, "green"), Target(None, 0, "preview"))
    (said,) = [w for w in propose(wanted=Split(targets), serving=Split(targets)).warnings if "LATEST" in w]
    assert said.startswith("the tags green, preview follow LATEST, and will go on to")
    assert not any("LATEST" in w for w in propose().warnings)
