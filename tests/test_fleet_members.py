"""Who is of a fleet, by file or by label, and what becomes of a service that no usable file names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from pipeline.app.fleet import ByFile, ByRecord
from pipeline.app.fleet_members import Label, Task, files_of, labelled, of_files
from pipeline.app.session import Session
from pipeline.app.stepping import Step
from pipeline.app.wiring import Place, Ports
from pipeline.core.rollout import Phase
from pipeline.errors import UserError
from pipeline.model import ServiceRef
from pipeline.output.writer import Output
from tests.fakes import REF
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages

FILE = """\
service: {service}
environments: {{production: {{project: {project}, region: l}}}}
scenarios: {{run: {{path: /ws, send: {{type: a}}, expect: [b], within: 2s{more}}}}}
stages: [{{percent: 0}}, {{percent: 5, soak: 1m}}, {{percent: 100, soak: 1m}}]
"""


def a_session(folder: Path) -> Session:
    return Session(Output(level=-1), folder / "spillway.yaml", folder / ".spillway", None, yes=True)


def plant(folder: Path, name: str, text: str) -> Path:
    path = folder / name / "spillway.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return path


def a_file(service: str, project: str = "acme", more: str = "") -> str:
    return FILE.format(service=service, project=project, more=more)


def unchanged(silent: timedelta) -> timedelta:
    return silent


# --- which


def test_files_are_found_once_each_and_a_pattern_that_finds_none_is_told(tmp_path: Path) -> None:
    one, two = plant(tmp_path, "a/one", a_file("one")), plant(tmp_path, "b/c/two", a_file("two"))
    (tmp_path / "linked.yaml").symlink_to(one)
    assert files_of(["**/spillway.yaml"], tmp_path) == [one, two]
    assert files_of([str(two), "b/c/*/spillway.yaml", "linked.yaml"], tmp_path) == [
        two,
        tmp_path / "linked.yaml",
    ]
    with pytest.raises(UserError, match=r"--files c/\*: there is no such file"):
        files_of(["a/*/spillway.yaml", "c/*"], tmp_path)


def test_what_is_wrong_with_one_file_is_its_own_result_and_one_tasks(tmp_path: Path) -> None:
    good = plant(tmp_path, "good", a_file("good"))
    broken = {
        plant(tmp_path, "yaml", "service: ["): "not valid YAML",
        plant(tmp_path, "empty", ""): "",
        plant(tmp_path, "bytes", "service: x\n" * 500_000): "",
        plant(tmp_path, "deep", "[" * 5000): "",
        plant(tmp_path, "twin", a_file("good")): "has a file already",
        plant(tmp_path, "elsewhere", a_file("x").replace("production", "staging")): "no environment",
        tmp_path / "gone.yaml": "",
    }
    (tmp_path / "folder").mkdir()
    told: list[Step] = []
    for index in range(3):
        paths = [good, *broken, tmp_path / "folder"]
        found, errors = of_files(a_session(tmp_path), paths, "production", Task(index, 3))
        assert [*found] == [ServiceRef("acme", "l", "good")]
        told += errors
    assert sorted(step.service for step in told) == sorted(map(str, [*broken, tmp_path / "folder"]))
    assert {step.code for step in told} == {2}
    for step in told:
        assert broken.get(Path(step.service), "") in str(step.document["what"])


@pytest.mark.parametrize(
    ("index", "count"),
    [("2", "2"), ("0", "0"), ("", "4"), ("1", ""), ("-1", "4"), ("x", "4"), ("0", "21"), ("1", "٣")],
)
def test_a_task_that_is_none_is_refused(index: str, count: str) -> None:
    with pytest.raises(UserError, match="no task of a fleet"):
        Task.of({"CLOUD_RUN_TASK_INDEX": index, "CLOUD_RUN_TASK_COUNT": count}, 20)


def test_without_tasks_one_has_all() -> None:
    alone = Task.of({}, 20)
    assert all(alone.has(f"n{n}") for n in range(50))
    assert Task.of({"CLOUD_RUN_TASK_INDEX": "3", "CLOUD_RUN_TASK_COUNT": "4"}, 20) == Task(3, 4)


def test_a_service_bears_all_labels_that_are_asked_for() -> None:
    live = Scene().live
    services = {
        ServiceRef("p", "l", name): replace(live, labels=labels)
        for name, labels in {
            "a": {"spillway": "watched", "team": "chat"}, "b": {"spillway": "watched"}, "c": {"spillway": "no"}, "d": {},
        }.items()
    }  # fmt: skip

    def names(*labels: str) -> Sequence[str]:
        return [ref.service for ref in labelled([Label.parse(each) for each in labels], services)]

    assert names("spillway=watched") == ["a", "b"]
    assert names("spillway") == ["a", "b", "c"]
    assert names("spillway=watched", "team") == ["a"]
    assert names("spillway=") == []
    with pytest.raises(UserError, match="no label"):
        Label.parse("=watched")


# --- by the record alone


def shared(scene: Scene) -> Place:
    return Place(REF, None, Ports(cast("Any", scene.platform), cast("Any", scene.users)))


def by_record(scene: Scene) -> ByRecord:
    return ByRecord(REF, shared(scene), cast("Any", scene.clock))


def by_file(scene: Scene, folder: Path, text: str) -> ByFile:
    requests, errors = of_files(a_session(folder), [plant(folder, "own", text)], None, Task())
    assert not errors
    return ByFile(requests[REF], shared(scene), cast("Any", scene.clock))


Watch = Callable[[Scene, Path], Any]
WITHOUT_FILE: dict[str, Watch] = {
    "no file": lambda scene, _: by_record(scene),
    "a file that lacks a secret": lambda scene, folder: by_file(
        scene, folder, a_file(REF.service, "p", ', headers: {X-Token: "${env:SPILLWAY_TEST_NOWHERE}"}')
    ),
}


@pytest.mark.parametrize("watch", WITHOUT_FILE)
def test_what_is_bad_for_users_goes_back_by_its_record_alone(watch: str, tmp_path: Path) -> None:
    scene = Scene()
    scene.reach(25)
    scene.users.failing[CANDIDATE] = 0.5
    member, rounds = WITHOUT_FILE[watch](scene, tmp_path), len(scene.prober.rounds)
    for _ in range(5):
        scene.clock.sleep(timedelta(seconds=10))
        step = member.step(unchanged)
        if step.document["outcome"] == "rolled_back":
            break
    assert step.document["outcome"] == "rolled_back", step
    assert "failed against" in str(step.document["why"])
    assert "failed against" in step.text
    assert step.code == (11 if watch == "no file" else 2)
    assert scene.live.wanted.serving == {STABLE: 100}
    assert scene.rollout.phase is Phase.ROLLED_BACK, "in one step: it waits for no other pass"
    assert len(scene.prober.rounds) == rounds
    assert member.step(unchanged).is_idle


@pytest.mark.parametrize("watch", WITHOUT_FILE)
def test_what_is_good_is_raised_by_nobody_who_lacks_its_file(watch: str, tmp_path: Path) -> None:
    scene = Scene()
    scene.reach(25)
    member = WITHOUT_FILE[watch](scene, tmp_path)
    for _ in range(12):
        scene.clock.sleep(timedelta(seconds=10))
        step = member.step(unchanged)
        assert step.document["outcome"] == "under_way"
        assert "nothing is raised" in str(step.document["raises_nothing"])
    assert scene.shares[-1] == 25


def test_a_candidate_that_is_still_to_be_made_waits_for_who_can_make_it() -> None:
    scene = Scene()
    scene.start(a_wish(stages=stages(0, 100)))
    assert scene.rollout.phase is Phase.DEPLOYING
    step = by_record(scene).step(unchanged)
    assert (step.document["outcome"], step.code) == ("under_way", 0)
    assert not scene.deployer.deployed


def test_a_roll_back_whose_answers_are_lost_is_read_back_in_the_same_step() -> None:
    scene = Scene()
    scene.reach(25)
    scene.users.failing[CANDIDATE] = 0.5
    scene.platform.lag = timedelta(seconds=5)
    scene.clock.sleep(timedelta(seconds=30))
    scene.platform.before_write = lambda: setattr(scene.platform, "answer_lost", True)
    step = by_record(scene).step(unchanged)
    assert step.document["outcome"] == "rolled_back", step
    assert scene.platform.served().serving == {STABLE: 100}


def test_a_silence_that_is_the_quotas_sends_nobody_back() -> None:
    scene = Scene()
    patient = tuple(replace(stage, deadline=timedelta(hours=4)) for stage in stages(0, 25, 100))
    scene.reach(25, wish=a_wish(stages=patient))
    scene.users.per_second = 0.5
    scene.clock.sleep(timedelta(minutes=20))
    assert by_record(scene).step(lambda _: timedelta(minutes=30)).document["outcome"] == "under_way"
    scene.clock.sleep(timedelta(minutes=40))
    assert by_record(scene).step(lambda _: timedelta(minutes=30)).document["outcome"] == "rolled_back"


def test_a_file_that_cannot_be_used_says_after_which_silence_it_goes_back_all_the_same(
    tmp_path: Path,
) -> None:
    scene = Scene()
    patient = tuple(replace(stage, deadline=timedelta(hours=4)) for stage in stages(0, 25, 100))
    scene.reach(25, wish=a_wish(stages=patient))
    scene.users.per_second = 0.5
    text = a_file(REF.service, "p", ', headers: {X-Token: "${env:SPILLWAY_TEST_NOWHERE}"}')
    member = by_file(scene, tmp_path, f"{text}watchdog: {{every: 5m, silent: 1h}}\n")
    scene.clock.sleep(timedelta(minutes=30))
    assert member.step(unchanged).document["outcome"] == "under_way"
    scene.clock.sleep(timedelta(minutes=70))
    assert member.step(unchanged).document["outcome"] == "rolled_back"
