"""What stands on the command line is used, or refused: no option is passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app

NAME = "projects/acme/locations/us-central1/services/chat"
IMAGE = "chat@sha256:" + "0" * 64


def refused(folder: Path, line: str, **environment: str) -> list[str]:
    """The three lines."""
    done = CliRunner().invoke(app, [*line.split(), "-C", str(folder)], env=environment)
    assert done.exit_code == 2, (done.stdout, done.stderr)
    return done.stderr.splitlines()


@pytest.mark.parametrize(
    ("line", "idle"),
    [
        ("rollback chat --project acme", "--project"),
        ("rollback chat --region us-central1", "--region"),
        ("rollback --project acme --region us-central1", "--project, --region"),
        (f"rollback {NAME} --project other", "--project"),
        (f"rollback {NAME} --region other --env production", "--region, --env"),
        ("rollback chat --project acme --region us-central1 -e production", "--env"),
        ("promote --full --to-percent 50", "--to-percent"),
        ("promote --no-wait --timeout 5m", "--timeout"),
        (f"rollout --image {IMAGE} --no-wait --timeout 5m", "--timeout"),
        (f"rollout --image {IMAGE} --dry-run --retry", "--retry"),
        (f"rollout --image {IMAGE} --dry-run --supersede --take-tags", "--supersede, --take-tags"),
        (f"rollout --image {IMAGE} --reason why", "--reason"),
        (f"rollout --image {IMAGE} --dry-run --override-soak --reason why", "--override-soak, --reason"),
        ("rollout --from staging --override-soak --reason why", "--from"),
        ("check --dry-run", "--dry-run"),
        ("check . --explain event-map --rule additive", "path, --rule"),
        ("check --write-baseline --baseline known.json --fix", "--fix"),
        ("check --write-baseline --baseline known.json --format sarif", "--format"),
        ("demo -c other.yaml", "--config"),
        ("probe http://127.0.0.1:8080 --round x", "--round"),
        ("tick --files */spillway.yaml --every 5m", "--files, --every"),
        ("tick --label spillway=watched --project p --region l", "--label, --project, --region"),
        ("tick --all --files */spillway.yaml -c other.yaml", "--config"),
        ("tick --all --files */spillway.yaml --project p --region l", "--project, --region"),
    ],
)
def test_what_would_change_nothing_is_refused(line: str, idle: str, tmp_path: Path) -> None:
    what, why, fix = refused(tmp_path, line)
    assert what.startswith(f"spillway: {idle}: of no use ")
    assert why
    assert fix


def test_less_and_more_at_once_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, "status -q -v")[0] == "spillway: -q with -v"


def test_a_time_that_is_none_is_refused_by_a_dry_run_too(tmp_path: Path) -> None:
    what, *_ = refused(tmp_path, f"rollout --image {IMAGE} --dry-run --timeout soon")
    assert what.startswith("spillway: --timeout:")


def test_what_the_environment_names_stands_in_no_roll_backs_way(tmp_path: Path) -> None:
    """It is a default: the file is asked, as it is without it."""
    what, *_ = refused(tmp_path, "rollback chat", SPILLWAY_PROJECT="acme", SPILLWAY_ENV="production")
    assert "spillway.yaml" in what


def test_a_revision_whose_name_is_empty_is_not_the_last_known_good_one(tmp_path: Path) -> None:
    """``--to "$REVISION"`` in a script where that is not set."""
    for line in ("rollback projects/p/locations/l/services/s --to=", "rollback --dry-run --to="):
        what, _, fix = refused(tmp_path, line)
        assert what == "spillway: --to is empty"
        assert "Leave --to out" in fix
