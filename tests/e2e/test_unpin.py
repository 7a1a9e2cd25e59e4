"""A rollout leaves traffic pinned by name; ``unpin`` gives it back, and the next rollout pins again."""

from __future__ import annotations

import time

from pipeline.local import endpoint
from pipeline.rpc.run import Services, run_v2
from tests.e2e.project import STAGES, Project, image

IMAGES = {"good": image(), "next": image("good", "2"), "third": image("good", "3")}


def plain_deploy(project: Project, suffix: str) -> str:
    """A new template and nothing else, as a deploy without a rollout sends it. Waits until its revision is ready."""
    name = f"{project.service}-{suffix}"
    with endpoint.read(project.local).channel() as channel:
        services = Services(channel)
        found = services.get_service(name=project.ref.name, timeout=10)
        template = found.template
        template.revision = name
        template.containers[0].env.append(run_v2.EnvVar(name=f"PLAIN_{suffix}", value="1"))
        service = run_v2.Service(name=project.ref.name, etag=found.etag, template=template)
        request = run_v2.UpdateServiceRequest(service=service, update_mask={"paths": ["template"]})
        services.update_service(request=request, timeout=10)
    while project.live().latest_ready != name or not project.live().is_settled:
        time.sleep(0.02)
    return name


def test_plain_deploys_get_nothing_until_traffic_is_given_back(project: Project) -> None:
    project.configure(IMAGES)
    candidate = project.run_here("rollout", "--image", "next", "-o", "json").document["candidate"]
    said = project.run_here("status", "-o", "json").document["pinned"]
    assert (said["revision"], said["idle"], said["warning"]) == (candidate, "", "")
    assert said["command"] == f"spillway unpin {project.ref.name}"

    hotfix = plain_deploy(project, "hotfix")
    assert project.live().serving.serving == {candidate: 100}
    assert f"{hotfix} is newer, ready, and serves nobody" in project.run_here("status").stdout
    planned = project.run_here("plan", "--image", "third", "-o", "json").document
    assert planned["pinned"]["idle"] == hotfix
    assert planned["pinned"]["warning"] in planned["warnings"]
    assert "traffic is pinned to" in project.run_here("plan", "--image", "next").stdout

    before = project.live()
    refused = project.run("unpin")
    assert refused.code == 2
    assert len(refused.stderr.strip().splitlines()) == 3
    assert f"would move all users from {candidate} to {hotfix}" in refused.stderr
    assert project.live() == before

    done = project.run("unpin", project.ref.name, "--move", "-o", "json")
    assert (done.code, done.document["outcome"], done.document["latest"]) == (0, "unpinned", hotfix), (
        done.stderr
    )
    assert project.live().serving.serving == {"": 100}
    later = plain_deploy(project, "later")
    assert project.live().pinned.serving == {later: 100}
    assert project.run_here("status", "-o", "json").document["pinned"] is None


def test_unpinned_right_after_a_promotion_and_pinned_by_the_next_rollout(project: Project) -> None:
    project.configure(IMAGES)
    candidate = project.run_here("rollout", "--image", "next", "-o", "json").document["candidate"]
    dry = project.run_here("unpin", "--dry-run")
    assert (dry.code, project.live().wanted.serving) == (0, {candidate: 100})
    assert candidate in dry.stderr
    done = project.run_here("unpin", "--reason", "plain deploys from here on", "-o", "json")
    assert (done.code, done.document["was"]) == (0, {candidate: 100}), done.stderr
    again = project.run_here("unpin", "-o", "json")
    assert (again.code, again.document["already"]) == (0, True)
    report = project.run_here("report", "-o", "json")
    assert [write["traffic"] for write in report.document["writes"]][-1] == {"": 100}
    asked = project.run_here("rollout", "--image", "next", "-o", "json")
    assert (asked.code, asked.document["outcome"]) == (0, "promoted"), asked.stderr

    third = project.run_here("rollout", "--image", "third", "-o", "json")
    assert (third.code, third.document["outcome"]) == (0, "promoted"), third.stderr
    written = [w["traffic"] for w in project.run_here("report", "-o", "json").document["writes"]]
    assert written[0] == {candidate: 100}
    assert project.live().serving.serving == {third.document["candidate"]: 100}


def test_never_while_a_rollout_is_under_way(project: Project) -> None:
    project.configure(IMAGES, (STAGES[0], "{percent: 50, hold: true}", STAGES[-1]))
    assert project.run_here("rollout", "--image", "next").code == 13
    before = project.live()
    for more in ((), ("--move",), ("--dry-run",)):
        refused = project.run_here("unpin", *more)
        assert refused.code == 2
        assert "a rollout is under way" in refused.stderr
    assert project.live() == before
