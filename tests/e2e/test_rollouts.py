"""Whole rollouts through the real command, against a real local Cloud Run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from google.cloud import monitoring_v3
from google.cloud.monitoring_v3.services.alert_policy_service.transports import (
    AlertPolicyServiceGrpcTransport,
)
from google.protobuf import json_format

from pipeline.core import record
from pipeline.local import endpoint
from pipeline.model import CANDIDATE_TAG, RECORD_ANNOTATION, STABLE_TAG, Split
from tests.e2e.project import STAGES, Project, image


def test_a_bad_revision_is_stopped_at_zero(project: Project) -> None:
    stable = project.live().serving.tagged(STABLE_TAG)
    done = project.run("rollout", "--image", "bad", "-o", "json")
    assert (done.code, done.document["outcome"]) == (11, "stopped_at_zero")
    live = project.live()
    assert live.serving.serving == {stable: 100}
    again = project.run("rollout", "--image", "bad", "-o", "json")
    assert (again.code, again.document["outcome"]) == (11, "stopped_at_zero")
    assert project.live().etag == live.etag, "asking again must not write"


def test_a_good_revision_is_promoted_and_rolled_back_by_hand(project: Project) -> None:
    before = project.live().serving.tagged(STABLE_TAG)
    done = project.run("rollout", "--image", "next", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr
    candidate = done.document["candidate"]
    assert project.live().serving.serving == {candidate: 100}
    calls = done.document["api_calls"]
    assert calls["UpdateService"] >= 5  # begin, the program, and each of three stages
    assert {"GetService", "ListRevisions", "GetRevision"} <= calls.keys()
    for report in done.document["reports"]:
        text = (project.folder / report).read_text(encoding="utf-8")
        assert candidate in text
        assert f"UpdateService {calls['UpdateService']}" in text
    assert "called  " in done.stderr
    back = project.run("rollback", "--reason", "changed our mind", "-o", "json")
    assert (back.code, back.document["target"]) == (0, before)
    assert project.live().serving.serving == {before: 100}
    status = project.run("status", "-o", "json")
    assert status.document["outcome"] == "rolled_back_by_hand"
    _an_alert_policy_that_is_not_evaluated_is_told(project)
    status = project.run("status", "-o", "json")
    (project.folder / "spillway.yaml").write_text("not: [a configuration")
    named = project.run("status", project.ref.name, "-o", "json")
    assert named.document == status.document
    assert project.run("status", "projects/half/a-name").code == 2


def _an_alert_policy_that_is_not_evaluated_is_told(project: Project) -> None:
    metric = "run.googleapis.com/container/cpu/utilizations"
    condition = {"conditionThreshold": {"filter": f'metric.type="{metric}"', "comparison": "COMPARISON_GT"}}
    made = {"displayName": "CPU", "combiner": "OR", "conditions": [condition]}
    with endpoint.read(project.local).channel() as channel:
        client = monitoring_v3.AlertPolicyServiceClient(
            transport=AlertPolicyServiceGrpcTransport(channel=channel)
        )
        policy = monitoring_v3.AlertPolicy(json_format.ParseDict(made, monitoring_v3.AlertPolicy.pb()()))
        client.create_alert_policy(name=f"projects/{project.ref.project}", alert_policy=policy)
        client.create_alert_policy(name="projects/another", alert_policy=policy)
    line = f"alert policy not evaluated: CPU: metric {metric}: only log-based metrics are counted here"
    told = " ".join(project.run("status").stdout.split())  # a picture, wrapped
    assert line in told
    assert told.count("not evaluated") == 1
    assert line in project.run("local", "status").stdout.splitlines()
    listed = project.run("status", "-o", "json").document["alerts_not_evaluated"]
    assert [policy["title"] for policy in listed] == ["CPU"]


def test_a_stage_that_asks_for_a_human_waits_for_promote(project: Project) -> None:
    images = {"good": image(), "next": image("good", "2")}
    project.configure(images, (STAGES[0], "{percent: 50, hold: true}", STAGES[-1]))
    paused = project.run("rollout", "--image", "next", "-o", "json")
    assert (paused.code, paused.document["outcome"]) == (13, "paused"), paused.stderr
    assert project.live().serving.percent_of(paused.document["candidate"]) == 50
    promote = "spillway promote --env local"
    assert paused.document["next"].startswith(promote)
    (told,) = [line for line in paused.stderr.splitlines() if "  paused  " in line]
    assert told.endswith(f"; let it go on: {promote}")
    assert project.run_here("tick", "-o", "json").document["next"] == promote
    for words in (("tick",), ("rollout", "--image", "next", "-q")):
        asked = project.run_here(*words)
        assert (asked.code, asked.stdout.strip().endswith(promote)) == (13, True), asked
    assert "let it go on  spillway promote" in project.run_here("status").stdout
    done = project.run("promote", "--reason", "looks good", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr


def test_tick_alone_brings_a_rollout_to_its_end(project: Project) -> None:
    begun = project.run("rollout", "--image", "next", "--no-wait", "-o", "json")
    assert (begun.code, begun.document["outcome"]) == (0, "under_way"), begun.stderr
    for _ in range(30):
        done = project.run("tick", "-o", "json")
        assert done.code == 0, done.stderr
        if done.document["outcome"] == "promoted":
            return
    pytest.fail(f"not promoted after 30 ticks: {done.stdout}")


def test_a_tick_by_another_file_raises_nothing_and_says_so(project: Project) -> None:
    images = {"good": image(), "next": image("good", "2")}
    begun = project.run_here("rollout", "--image", "next", "--no-wait", "-o", "json")
    assert (begun.code, begun.document["outcome"]) == (0, "under_way"), begun.stderr
    assert begun.document["candidate"] in {revision.name for revision in project.revisions()}, "for any tick"
    project.configure(images, (STAGES[0], STAGES[-1]))
    for _ in range(3):
        done = project.run_here("tick", "-o", "json")
        assert (done.code, done.document["outcome"], done.document["percent"]) == (0, "under_way", 0), (
            done.stderr
        )
        assert "spillway.yaml is not as it was" in done.document["raises_nothing"]
        assert (done.document["event"], done.document["service"]) == ("tick", project.ref.name)
    project.configure(images)
    for _ in range(10):
        done = project.run_here("tick", "-o", "json")
        assert (done.code, "raises_nothing" in done.document) == (0, False), done.stderr
        if done.document["percent"]:
            return
    pytest.fail(f"not raised: {done.stdout}")


def test_what_comes_after_no_wait_needs_no_pulumi(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the watchdog's image, which has no CLI."""
    begun = project.run_here("rollout", "--image", "next", "--no-wait", "-o", "json")
    assert begun.code == 0, begun.stderr
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    without = replace(project, engine="pulumi")
    refused = without.run_here("local", "pulumi", "version")
    assert "the Pulumi CLI is not on this machine" in refused.stderr, "what is tried here"
    for _ in range(30):
        done = without.run_here("tick", "-o", "json")
        assert done.code == 0, done.stderr
        if done.document["outcome"] == "promoted":
            return
    pytest.fail(f"not promoted after 30 ticks: {done.stdout}")


def test_without_waiting_what_ended_meanwhile_is_told(project: Project) -> None:
    project.configure({"good": image(), "next": image("good", "2")}, ("{percent: 0, hold: true}", STAGES[-1]))
    begun = project.run_here("rollout", "--image", "next", "--no-wait", "-o", "json")
    assert (begun.code, begun.document["outcome"]) == (0, "under_way"), begun.stderr
    with project.platform() as platform:
        assert platform.revision(project.ref, begun.document["candidate"])
    back = project.run_here("rollback", "-o", "json")
    assert back.code == 0, back.stderr
    again = project.run_here("rollout", "--image", "next", "--no-wait", "-o", "json")
    assert (again.code, again.document["outcome"]) == (11, "rolled_back_by_hand"), again.stderr


@pytest.mark.parametrize(
    ("behaviour", "says"), [("crash", "cannot reach the session store"), ("deaf", "listen")]
)
def test_a_revision_that_never_gets_ready(project: Project, behaviour: str, says: str) -> None:
    project.configure({"good": image(), "next": image(behaviour)})
    done = project.run("rollout", "--image", "next", "-o", "json")
    assert (done.code, done.document["outcome"]) == (11, "stopped_at_zero"), done.stderr
    assert says in done.document["reason"]


def test_traffic_edited_by_hand_is_drift(project: Project) -> None:
    stable = project.live().serving.tagged(STABLE_TAG)
    project.configure(
        {"good": image(), "next": image("good", "2")}, (STAGES[0], "{percent: 50, soak: 30s}", STAGES[-1])
    )
    with project.start("rollout", "--image", "next", "-o", "ndjson") as process:
        for line in process.stdout or ():
            event = json.loads(line)
            if event["event"] == "arrived" and event["percent"] == 50:
                break
        with project.platform() as platform:
            live = platform.read(project.ref)
            candidate = live.wanted.tagged(CANDIDATE_TAG)
            split = Split.between(str(stable), candidate, 10, live.wanted.targets)
            platform.write(project.ref, etag=live.etag, annotations=live.annotations, split=split)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 13, err
    assert "drift" in json.loads(out.splitlines()[-1])["reason"]
    assert project.live().serving.percent_of(str(candidate)) == 10, "never raised, not even put back"


def test_an_apply_that_replays_an_old_state_is_drift(project: Project) -> None:
    """It brings an older record and an older split back together, with neither etag nor mask."""
    project.configure(
        {"good": image(), "next": image("good", "2")}, (STAGES[0], "{percent: 50, soak: 30s}", STAGES[-1])
    )
    older = None
    with project.start("rollout", "--image", "next", "-o", "ndjson") as process:
        for line in process.stdout or ():
            event = json.loads(line)
            if event.get("percent") == 0 and event["event"] == "shifted":
                older = project.live()
            if event.get("percent") == 50 and event["event"] == "arrived":
                break
        assert older is not None
        with project.platform() as platform:
            live = platform.read(project.ref)
            platform.write(project.ref, etag=live.etag, annotations=older.annotations, split=older.wanted)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 13, err
    assert "older record" in json.loads(out.splitlines()[-1])["reason"]
    candidate = str(older.wanted.tagged(CANDIDATE_TAG))
    assert project.live().serving.percent_of(candidate) == 0


def test_rollback_needs_neither_config_nor_record(project: Project) -> None:
    stable = project.live().serving.tagged(STABLE_TAG)
    done = project.run("rollout", "--image", "next", "-o", "json")
    candidate = done.document["candidate"]
    with project.platform() as platform:
        live = platform.read(project.ref)
        wiped = {k: v for k, v in live.annotations.items() if k != RECORD_ANNOTATION}
        # What an operator would find: the new one has the traffic, the tag still says what was good.
        split = Split.between(str(stable), candidate, 100, live.wanted.targets)
        platform.write(project.ref, etag=live.etag, annotations=wiped, split=split)
    project.file.write_text("service: [", encoding="utf-8")
    back = project.run("rollback", project.ref.name, "-o", "json")
    assert (back.code, back.document["target"]) == (0, stable), back.stderr
    assert project.live().serving.serving == {stable: 100}


def test_a_newer_record_is_never_guessed_at(project: Project) -> None:
    with project.platform() as platform:
        live = platform.read(project.ref)
        newer = json.dumps({**json.loads(live.annotations[RECORD_ANNOTATION]), "v": record.VERSION + 1})
        annotations = {**live.annotations, RECORD_ANNOTATION: newer}
        platform.write(project.ref, etag=live.etag, annotations=annotations)
    done = project.run("rollout", "--image", "next")
    assert done.code == 2
    assert "newer Spillway" in done.stderr
    assert project.live().wanted == live.wanted


VERIFY = """
verify:
  smoke: {command: ["{python}", "{project}/smoke.py"], percents: [0, 50]}
"""
#: Speaks to both addresses; finds fault with the second stage.
SMOKE = """
import os, sys, urllib.request
for name in ("SPILLWAY_URL", "SPILLWAY_STABLE_URL"):
    try:
        urllib.request.urlopen(os.environ[name], timeout=30).read()
    except urllib.error.HTTPError as error:
        print(name, error.code)
open(os.path.join(os.path.dirname(__file__), "seen"), "a").write(os.environ["SPILLWAY_REVISION"] + "\\n")
calls = len(open(os.path.join(os.path.dirname(__file__), "seen")).readlines())
print("order 17 was lost")
sys.exit(0 if calls == 1 else 3)
"""


def test_a_command_of_the_teams_own_sends_a_candidate_back(project: Project) -> None:
    project.configure({"good": image(), "next": image("good", "2")})
    project.file.write_text(project.file.read_text() + VERIFY)
    (project.folder / "smoke.py").write_text(SMOKE)
    stable = project.live().serving.tagged(STABLE_TAG)
    planned = project.run("plan", "--image", "next")
    assert "smoke      a command of yours, at 0%, 50%, within 5m" in planned.stdout
    done = project.run("rollout", "--image", "next", "-o", "json")
    assert (done.code, done.document["outcome"]) == (11, "rolled_back"), done.stderr
    assert project.live().serving.serving == {stable: 100}
    assert "smoke ended with 3" in str(done.document["reason"])
    assert (project.folder / "seen").read_text().split() == [done.document["candidate"]] * 2
    for report in done.document["reports"]:
        text = (project.folder / report).read_text(encoding="utf-8")
        assert "Validations of your own" in text
        assert "order 17 was lost" in text
