"""The first gate of a rollout: any error and nothing is deployed; one that is under way is not asked again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from checks.output.document import as_dict
from infra.deployment import Deployment
from infra.guard import Ruling
from pipeline.app import show_plan, static_checks
from pipeline.app.drive import Drive
from pipeline.app.gate import Gate
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.cli.app import app
from pipeline.core.plan import Wish
from pipeline.errors import PlanRefused
from pipeline.model import Outcome, Split
from pipeline.output.writer import Mode, Output
from tests.checks_corpus import incident
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish
from tests.test_checks_cli import CONFIG, SAFE
from tests.test_checks_examples import plant

CHECKED = "checks:\n  single-source: [{symbol: tell, home: a.py}]\n"
WHOLE = CONFIG.replace("SOURCE", ".").partition("checks:")[0]


@dataclass
class Answer:
    """A gate that answers one thing, and counts how often it was asked."""

    outcome: Outcome | None
    asked: int = 0

    def __call__(self) -> Outcome | None:
        self.asked += 1
        return self.outcome


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def calls(scene: Scene) -> list[str]:
    seen: list[str] = []
    scene.platform.at_boundary = seen.append
    return seen


def start(
    scene: Scene, gate: Callable[[], Outcome | None], wish: Any = None, **options: bool
) -> Outcome | None:
    return scene.start(wish, **options, gate=gate)  # type: ignore[arg-type]


def refusal() -> Answer:
    return Answer(Outcome.CHECKS_FAILED)


def test_an_error_deploys_nothing_and_writes_nothing(scene: Scene, calls: list[str]) -> None:
    assert start(scene, refusal()) is Outcome.CHECKS_FAILED
    assert scene.platform.writes == []
    assert scene.deployer.deployed == []
    assert {call.split()[1] for call in calls} <= {"read", "revisions"}
    assert scene.live.record_text is None


def test_neither_does_a_first_deployment(scene: Scene, calls: list[str]) -> None:
    scene.platform.live = None
    assert start(scene, refusal()) is Outcome.CHECKS_FAILED
    assert scene.deployer.deployed == []
    assert {call.split()[1] for call in calls} == {"read"}


def test_a_pass_is_asked_for_once_and_lets_it_begin(scene: Scene) -> None:
    gate = Answer(None)
    assert start(scene, gate) is None
    assert gate.asked == 1
    assert scene.rollout.plan.candidate == CANDIDATE


def test_a_rollout_under_way_is_not_asked_again(scene: Scene) -> None:
    engine = scene.engine()
    scene.start(engine=engine)
    gate = refusal()
    assert scene.start(engine=engine, gate=gate) is None  # type: ignore[arg-type]
    assert gate.asked == 0


def test_neither_is_one_that_has_ended(scene: Scene) -> None:
    assert scene.roll() is Outcome.PROMOTED
    gate = refusal()
    assert start(scene, gate) is Outcome.PROMOTED
    assert gate.asked == 0


def test_the_next_attempt_is_asked(scene: Scene) -> None:
    scene.prober.failing.add("http://candidate")
    assert scene.roll() is Outcome.STOPPED_AT_ZERO
    written = len(scene.platform.writes)
    gate = refusal()
    assert start(scene, gate, retry=True) is Outcome.CHECKS_FAILED
    assert (gate.asked, len(scene.platform.writes)) == (1, written)


def test_superseding_leaves_the_other_rollout_alone_when_it_fails(scene: Scene) -> None:
    scene.start()
    written = len(scene.platform.writes)
    other = a_wish("agent-chat-other")
    gate = refusal()
    with pytest.raises(PlanRefused):
        start(scene, gate, other)
    assert gate.asked == 0
    assert start(scene, gate, other, supersede=True) is Outcome.CHECKS_FAILED
    assert len(scene.platform.writes) == written
    assert scene.rollout.plan.candidate == CANDIDATE


@dataclass
class FakeDrive:
    """As much of a drive as a plan looks at."""

    session: Session
    scene: Scene
    world: Any = field(init=False)
    request: Any = field(init=False)
    program: Any = field(init=False)

    def __post_init__(self) -> None:
        self.world = self.scene.world
        self.request = SimpleNamespace(session=self.session, wish=a_wish(), settings=None)
        self.program = SimpleNamespace(declared=lambda _: ())

    def aimed(self, wish: Wish, *_: object) -> Wish:
        return wish

    def must_lose_nothing(self) -> tuple[Deployment, Ruling]:
        return Deployment(CANDIDATE, Split(), {}, {}), Ruling()


def session(folder: Path, mode: Mode = Mode.JSON) -> Session:
    return Session(
        Output(mode), folder / "spillway.yaml", folder / ".spillway", folder / ".spillway/local", yes=False
    )


def gate_of(folder: Path, mode: Mode = Mode.JSON) -> Gate:
    """Of a project's rollout on the local Cloud Run."""
    request = Request.of(session(folder, mode), "local")
    return Gate(request.with_image("good@sha256:" + "0" * 64))


def project(folder: Path, checks: str = CHECKED, *, is_good: bool) -> Path:
    files = {"spillway.yaml": WHOLE + checks, "a.py": SAFE, "b.py": "x = 1\n" if is_good else SAFE}
    return plant(folder, files)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPILLWAY_CACHE_DIR", str(tmp_path / "cache"))


def kept_of(gate: Gate) -> Path:
    folder = gate.request.session.state_folder / "rollouts"
    return static_checks.kept_in(folder, gate.request.wish.rollout_id)


@pytest.mark.parametrize(("is_good", "code"), [(True, 0), (False, 10)])
def test_a_plan_shows_the_checks(
    is_good: bool, code: int, scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = gate_of(project(tmp_path, is_good=is_good))
    drive = FakeDrive(gate.request.session, scene)
    assert show_plan.show(cast("Drive", drive), gate, lambda: None) == code
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert [f["path"] for f in checks["findings"]] == ([] if is_good else ["b.py"])
    assert scene.platform.writes == []
    assert not (tmp_path / ".spillway").exists(), "a plan writes nothing"


def test_a_plan_says_it_to_people(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gate = gate_of(project(tmp_path, is_good=False), Mode.TEXT)
    show_plan.show(cast("Drive", FakeDrive(gate.request.session, scene)), gate, lambda: None)
    out = capsys.readouterr().out
    assert "checks     FAIL, nothing would be deployed: 1 error" in out
    assert "  b.py:1:1: second definition of tell; its home is a.py" in out


def test_without_checks_there_is_no_gate(tmp_path: Path) -> None:
    gate = gate_of(project(tmp_path, "", is_good=False))
    assert (gate(), gate.report, gate.lines(), gate.document(), gate.exit_code) == (None, None, [], None, 0)
    assert not (tmp_path / ".spillway").exists()


@pytest.mark.parametrize("is_good", [True, False])
def test_the_report_gets_what_was_found(is_good: bool, tmp_path: Path) -> None:
    gate = gate_of(project(tmp_path, is_good=is_good))
    assert gate() is (None if is_good else Outcome.CHECKS_FAILED)
    kept = static_checks.stored(kept_of(gate))
    assert kept is not None
    assert json.loads(json.dumps(as_dict(kept))) == json.loads(json.dumps(gate.document()))
    assert kept.rules == ("single-source", "socket-config")
    assert kept.additive_only is None


def test_a_refusal_s_report_goes_when_the_tree_is_good(tmp_path: Path) -> None:
    bad = gate_of(project(tmp_path, is_good=False))
    assert bad() is Outcome.CHECKS_FAILED
    bad.refuse()
    pages = [kept_of(bad).with_suffix(s) for s in (".md", ".html")]
    assert all(page.is_file() for page in pages)
    assert gate_of(project(tmp_path, is_good=True))() is None
    assert not any(page.exists() for page in pages)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"findings": 3}', "[" * 100_000])
def test_what_is_kept_may_be_spoilt(text: str, tmp_path: Path) -> None:
    (tmp_path / "r1.json").write_text(text)
    assert static_checks.stored(tmp_path / "r1.json") is None
    assert static_checks.stored(tmp_path / "gone.json") is None


def test_a_hostile_rollout_id_stays_in_the_folder(tmp_path: Path) -> None:
    assert static_checks.kept_in(tmp_path, "../../etc/passwd").parent == tmp_path


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(app, ["rollout", "--image", "good", *arguments])


def test_the_command_ends_with_10_and_needs_no_platform(rollout: Callable[..., Any], tmp_path: Path) -> None:
    incident.plant(tmp_path)
    plant(tmp_path, {"spillway.yaml": CONFIG.replace("SOURCE", ".")})
    done = rollout("-o", "json")
    assert done.exit_code == 10
    document = json.loads(done.stdout)
    assert (document["outcome"], document["exit_code"]) == ("checks_failed", 10)
    assert {f["rule"] for f in document["findings"]} == {"single-source", "event-map", "json-safe-logs"}
    assert "nothing was deployed: 12 findings of the static checks" in done.stderr
    markdown, html = (Path(path).read_text() for path in document["reports"])
    for finding in document["findings"]:
        assert f"{finding['path']}:{finding['line']}" in markdown
        assert f"{finding['path']}:{finding['line']}" in html
    assert "additive only | not compared" in markdown


def test_a_good_tree_goes_on_to_the_platform(rollout: Callable[..., Any], tmp_path: Path) -> None:
    project(tmp_path, is_good=True)
    done = rollout()
    assert done.exit_code == 2
    assert "spillway local up" in done.stderr


def test_nothing_in_the_source_gets_into_the_report_s_markup(
    rollout: Callable[..., Any], tmp_path: Path
) -> None:
    name = "<b>|`x`.py"
    plant(
        tmp_path,
        {"spillway.yaml": WHOLE + CHECKED, "a.py": SAFE, name: f"{SAFE}# <script>alert(1)</script>\n"},
    )
    document = json.loads(rollout("-o", "json").stdout)
    markdown, html = (Path(path).read_text() for path in document["reports"])
    assert "<b>" not in markdown
    assert "\\|" in markdown
    assert "<b>|" not in html


def test_a_question_that_cannot_be_asked_is_usage(rollout: Callable[..., Any], tmp_path: Path) -> None:
    project(tmp_path, "checks: {additive: {base: origin/nowhere}}\n", is_good=True)
    done = rollout()
    assert done.exit_code == 2
    assert "base origin/nowhere: no such folder and no such commit" in done.stderr


def test_stable_is_what_it_was(scene: Scene) -> None:
    start(scene, refusal())
    assert scene.live.wanted.percent_of(STABLE) == 100


def test_a_plan_says_who_counts_as_one_client_and_what_it_sees_of_them(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = gate_of(project(tmp_path, is_good=True), Mode.TEXT)
    scene.clock.sleep(timedelta(seconds=30))
    show_plan.show(cast("Drive", FakeDrive(gate.request.session, scene)), gate, lambda: None)
    out = capsys.readouterr().out
    assert "counted by address, the last entry of X-Forwarded-For, which is Cloud Run's own" in out
    assert re.search(r"seen       (\d+) runs of \1 clients in \d+\.\d s", out)
    scene.users.unreadable = True
    show_plan.show(cast("Drive", FakeDrive(gate.request.session, scene)), gate, lambda: None)
    assert "seen       not looked at: logs: no answer" in capsys.readouterr().out
