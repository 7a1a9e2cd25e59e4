"""``pulumi preview`` and ``pulumi up`` from a shell: a ``Pulumi.yaml`` project, run by Pulumi's Python language host."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipeline.cloudrun.pulumi.found import cache
from pipeline.local import daemon
from pipeline.model import CANDIDATE_TAG, RECORD_ANNOTATION, STABLE_TAG, Split, Target
from tests.e2e.project import Done, Project, image
from tests.fakes import said_by

REPOSITORY = Path(__file__).parents[2]
HOST = "pulumi-language-python"
IMAGES = {"good": image(), "next": image("good", "2"), "third": image("good", "3")}
STAGES = ("{percent: 0}", "{percent: 50, soak: 500ms, hold: true}", "{percent: 100, soak: 500ms}")


@dataclass
class Shell:
    project: Project
    checkouts: Path

    def checkout(self, name: str) -> Path:
        """The project as somebody else has it, on the same backend: program, ``Pulumi.yaml``, ``spillway.yaml``."""
        folder = self.checkouts / name
        if not folder.exists():
            shutil.copytree(
                REPOSITORY / "infra", folder / "infra", ignore=shutil.ignore_patterns("__pycache__")
            )
            settings = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
            settings["runtime"]["options"]["virtualenv"] = sys.prefix
            del settings["options"]  # no refresh but those that are asked for
            (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
        shutil.copy(self.project.file, folder)
        return folder

    def pulumi(self, *words: str, image: str | None = None, name: str = "one") -> Done:
        there = Project(self.checkout(name), self.project.local, self.project.service, "pulumi")
        options = [] if image is None else ["--image", image]
        return there.run("local", "pulumi", *options, *words)

    def shows_no_change(self, image: str | None = None, name: str = "one") -> bool:
        done = self.pulumi("preview", "--refresh", "--expect-no-changes", image=image, name=name)
        assert done.code == 0 or "no changes were expected" in done.stdout + done.stderr, (
            done.stdout + done.stderr
        )
        return done.code == 0


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    if not shutil.which(HOST) and not (cache() / "bin" / HOST).exists():
        pytest.skip(f"there is no {HOST}: make pulumi, where Go is")
    folder = tmp_path_factory.mktemp("project")
    made = Project(folder, folder / ".spillway" / "local", "chat", "pulumi")
    made.configure(IMAGES, STAGES)
    daemon.up(made.local, {})
    try:
        done = made.run("rollout", "--image", "good", "-o", "json")
        assert done.document["outcome"] == "first_deployment", done.stderr
        yield Shell(made, folder / "checkouts")
    finally:
        daemon.down(made.local)


@pytest.mark.ordinary
def test_after_a_first_deployment_a_preview_shows_no_change(shell: Shell) -> None:
    assert shell.shows_no_change("good")
    assert not shell.shows_no_change("next"), "another image is a change"


def test_a_bare_up_with_another_image_makes_a_revision_that_gets_nothing(shell: Shell) -> None:
    before = shell.project.live()
    done = shell.pulumi("up", "--yes", "--skip-preview", image="next")
    assert done.code == 0, done.stdout + done.stderr
    after = shell.project.live()
    assert after.latest_created != before.latest_created
    assert said_by(after.wanted) == said_by(before.wanted)
    assert after.annotations == before.annotations
    assert shell.shows_no_change("next")


def test_a_bare_up_midway_from_a_checkout_that_never_refreshed_moves_nothing(shell: Shell) -> None:
    """The rollout stands at 50 %; somebody else runs Pulumi with the old image, a new one, and the same one."""
    done = shell.project.run("rollout", "--image", "next", "-o", "json")
    assert done.document["outcome"] == "paused", done.stderr
    before = shell.project.live()
    record = before.annotations[RECORD_ANNOTATION]
    assert before.wanted.percent_of(str(before.wanted.tagged(CANDIDATE_TAG))) == 50
    for image_name in ("good", "third", "next"):
        bare = shell.pulumi("up", "--yes", "--skip-preview", "--refresh=false", image=image_name, name="two")
        assert bare.code == 0, bare.stdout + bare.stderr
        after = shell.project.live()
        assert said_by(after.wanted) == said_by(before.wanted)
        assert after.annotations[RECORD_ANNOTATION] == record
        assert after.annotations == before.annotations
    assert shell.shows_no_change("next", name="two")


def test_a_roll_back_is_not_undone_by_a_bare_up(shell: Shell) -> None:
    back = shell.project.run("rollback", shell.project.ref.name, "-o", "json")
    assert back.code == 0, back.stderr
    before = shell.project.live()
    bare = shell.pulumi("up", "--yes", "--skip-preview", "--refresh=false", image="next", name="two")
    assert bare.code == 0, bare.stdout + bare.stderr
    after = shell.project.live()
    assert said_by(after.wanted) == said_by(before.wanted)
    assert after.annotations == before.annotations
    assert shell.shows_no_change("next")


def test_a_hand_edit_is_declared_as_it_is(shell: Shell) -> None:
    with shell.project.platform() as platform:
        live = platform.read(shell.project.ref)
        stable = str(live.wanted.tagged(STABLE_TAG))
        other = next(r.name for r in platform.revisions(shell.project.ref) if r.name != stable and r.is_ready)
        split = Split((Target(stable, 80, STABLE_TAG), Target(other, 20), Target(other, 0, "theirs")))
        platform.write(shell.project.ref, etag=live.etag, annotations=live.annotations, split=split)
    assert shell.shows_no_change("next")
    bare = shell.pulumi("up", "--yes", "--skip-preview", "--refresh=false", name="two")
    assert bare.code == 0, bare.stdout + bare.stderr
    assert said_by(shell.project.live().wanted) == said_by(split)


def test_what_the_program_refuses_is_three_lines_and_no_traceback(shell: Shell) -> None:
    shell.pulumi("config", "set", "--path", "spillway:service.project", "another", name="three", image="good")
    done = shell.pulumi("config", "set", "spillway:service", '{"project": 1}', name="three")
    assert done.code == 0, done.stderr
    told = shell.pulumi("preview", name="three")
    assert told.code != 0
    assert "pulumi config set --path" in told.stdout + told.stderr
    assert "Traceback" not in told.stdout + told.stderr


def test_without_a_project_it_says_where_to_stand(shell: Shell, tmp_path: Path) -> None:
    elsewhere = Project(tmp_path, shell.project.local, "chat", "pulumi")
    elsewhere.configure(IMAGES)
    done = elsewhere.run("local", "pulumi", "preview")
    assert done.code == 2
    assert "no Pulumi.yaml" in done.stderr
