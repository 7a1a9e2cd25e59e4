"""The program, applied by Pulumi's real engine: what it makes, what it leaves alone, what it never brings back."""

from __future__ import annotations

from functools import partial

import pulumi
import pytest
from google.cloud import run_v2
from msgspec.structs import replace
from pulumi import automation

from infra import alerts, jobs, program
from infra.live import Live
from infra.settings import Settings, Watchdog
from pipeline.cloudrun.alerts import policies_of
from pipeline.cloudrun.service import CloudRun
from pipeline.errors import AccessError, PlatformError, StaleWrite
from pipeline.local.provider.plain import PlainProvider
from pipeline.model import NONCE_VARIABLE, RECORD_ANNOTATION, Readiness, Split, Target
from tests.contract.cloud import latest, shares
from tests.fakes import said_by
from tests.pulumi.bench import Bench, another

RECORD = '{"v":1,"epoch":7,"text":"as it was written, to the byte  "}'
NOTES = {RECORD_ANNOTATION: RECORD, "example.com/owner": "chat"}


@pytest.fixture
def settings(bench: Bench) -> Settings:
    """A service that Pulumi has made."""
    made = bench.settings()
    bench.cli.apply(made)
    return made


@pytest.fixture
def second(bench: Bench, settings: Settings) -> Settings:
    """Its next revision, deployed."""
    bench.cli.apply(another(settings))
    return another(settings)


def halves(bench: Bench, settings: Settings, second: Settings, percent: int = 30) -> Split:
    return Split((
        Target(bench.name(settings), 100 - percent, "stable"), Target(bench.name(second), percent, "candidate"),
        Target(bench.name(settings), 0, "theirs"),
    ))  # fmt: skip


def test_what_was_made_shows_no_change(bench: Bench, settings: Settings) -> None:
    assert shares(bench.message(settings)) == {bench.name(settings): 100}
    assert bench.shows_no_change(settings)
    assert bench.shows_no_change(settings, refresh=True)


def test_applying_again_writes_nothing(bench: Bench, settings: Settings) -> None:
    before = bench.message(settings)
    bench.cli.apply(settings)
    lasting = len(list(alerts.declared(settings.ref)))
    assert bench.up(settings) == {"same": 3 + lasting}
    assert bench.message(settings).etag == before.etag


def test_a_preview_writes_nothing(bench: Bench, settings: Settings) -> None:
    before = bench.message(settings)
    new = bench.settings()
    for asked in (another(settings), new):
        with bench.stack(asked) as stack:
            stack.preview(color="never")
    assert bench.message(settings) == before
    assert new.ref.name not in {s.name for s in bench.cloud.services.list_services(parent=bench.cloud.parent)}


def test_a_watchdog_is_made_kept_as_declared_and_taken_away(bench: Bench) -> None:
    asked = Watchdog("good", "production", "w@p.iam.gserviceaccount.com", 2, {"WS_TOKEN": "ws-token"})
    settings = replace(bench.settings(), watchdog=asked)
    bench.cli.apply(settings)
    provider = PlainProvider(bench.cloud.channel)
    name = f"{bench.cloud.parent}/jobs/{settings.service}-watchdog"
    assert provider.read(jobs.JOB, name)
    assert (provider.read(jobs.SCHEDULE, name) or {})["schedule"] == "*/2 * * * *"
    assert bench.shows_no_change(settings)
    assert bench.shows_no_change(settings, refresh=True)
    bench.cli.apply(replace(settings, watchdog=replace(asked, every_minutes=5, secrets={})))
    assert (provider.read(jobs.SCHEDULE, name) or {})["schedule"] == "*/5 * * * *"
    bench.cli.apply(replace(settings, watchdog=None))
    assert provider.read(jobs.JOB, name) is None
    assert provider.read(jobs.SCHEDULE, name) is None


def test_the_lasting_alerts_are_there_and_are_kept_as_declared(bench: Bench, settings: Settings) -> None:
    titles = policies_of(settings.ref, bench.cloud.channel)
    assert f"{settings.service}: sockets closed with 1011" in titles
    provider = PlainProvider(bench.cloud.channel)
    (declared,) = (a for a in alerts.declared(settings.ref) if a.inputs.get("displayName") == titles[0])
    name = provider.find(declared.type, declared.inputs)
    assert name
    provider.update(declared.type, name, {**declared.inputs, "enabled": False})
    assert titles[0] not in policies_of(settings.ref, bench.cloud.channel)
    with bench.stack(settings) as stack:
        stack.up(refresh=True, color="never")
    assert len(policies_of(settings.ref, bench.cloud.channel)) == len(titles) - 1, (
        "nobody declared that it is on"
    )
    provider.update(declared.type, name, {**declared.inputs, "combiner": "OR"})
    bench.cli.apply(settings)
    found = provider.read(declared.type, name)
    assert found
    assert found["combiner"] == declared.inputs["combiner"]
    bench.cli.apply(replace(settings, alert_channels=()))
    assert policies_of(settings.ref, bench.cloud.channel) == titles


def test_a_second_revision_gets_nothing(bench: Bench, settings: Settings, second: Settings) -> None:
    service = bench.message(settings)
    assert shares(service) == {bench.name(settings): 100}
    assert service.latest_ready_revision.endswith(bench.name(second))
    assert bench.shows_no_change(second)


@pytest.mark.parametrize("percent", [0, 5, 50, 100])
def test_a_bare_up_never_moves_traffic_at_whatever_stage(
    bench: Bench, settings: Settings, second: Settings, percent: int
) -> None:
    """From a state that knows nothing of the shift, with each image: the old one, the new one, another one."""
    split = halves(bench, settings, second, percent)
    bench.move(settings, split, NOTES)
    for bare in (settings, second, another(settings, "3")):
        bench.up(bare)
        live = bench.live(settings)
        assert said_by(live.serving) == said_by(split)
        assert live.annotations == NOTES


@pytest.mark.ordinary
def test_a_shift_behind_its_back_stays_and_shows_no_change_after_a_refresh(
    bench: Bench, settings: Settings, second: Settings
) -> None:
    bench.move(settings, halves(bench, settings, second), NOTES)
    assert not bench.shows_no_change(second), "the state knows the split of then"
    assert bench.shows_no_change(second, refresh=True), "the program declares what is live"
    bench.cli.apply(second)
    assert bench.shows_no_change(second)
    assert said_by(bench.live(settings).serving) == said_by(halves(bench, settings, second))


def test_a_record_is_never_brought_back(bench: Bench, settings: Settings, second: Settings) -> None:
    """Two writes of ours after the last refresh: what an old state would replay is the first."""
    bench.move(settings, halves(bench, settings, second, 5), {RECORD_ANNOTATION: "old"})
    bench.cli.apply(second)
    bench.move(settings, halves(bench, settings, second, 50), NOTES)
    assert bench.up(another(settings, "3"))["update"] == 1
    live = bench.live(settings)
    assert live.annotations == NOTES
    assert live.serving.percent_of(bench.name(second)) == 50


def test_a_foreign_label_that_the_state_knows_stays(bench: Bench, settings: Settings) -> None:
    service = bench.message(settings)
    service.labels["theirs"] = "1"
    bench.cloud.update(run_v2.Service(name=service.name, labels=dict(service.labels)), "labels")
    bench.cli.apply(another(settings))
    assert bench.message(settings).labels == {"theirs": "1", "goog-pulumi-provisioned": "true"}


def test_a_revision_name_is_never_used_again(bench: Bench, settings: Settings, second: Settings) -> None:
    """Back and forth between contents: each has its name, and none is made twice."""
    platform = CloudRun.over(bench.cloud.channel)
    first = {r.name: r.uid for r in platform.revisions(settings.ref)}
    for bare in (settings, second, settings):
        bench.up(bare)
    assert {r.name: r.uid for r in platform.revisions(settings.ref)} == first
    bench.up(another(settings, "3"))
    names = {r.name for r in platform.revisions(settings.ref)}
    assert names == {bench.name(settings), bench.name(second), bench.name(another(settings, "3"))}


def test_traffic_on_latest_is_pinned_to_what_it_means_now(bench: Bench, settings: Settings) -> None:
    bench.cloud.split(bench.message(settings), latest())
    bench.up(another(settings))
    service = bench.message(settings)
    assert shares(service) == {bench.name(settings): 100}
    assert service.latest_ready_revision.endswith(bench.name(another(settings)))


@pytest.mark.ordinary
def test_secrets_stay_secret_in_the_state(bench: Bench) -> None:
    settings = bench.settings(env={"API_TOKEN": "hush-hush-9431", "REGION": "here"})
    bench.cli.apply(settings)
    bench.cli.apply(another(settings))
    nonce = CloudRun.over(bench.cloud.channel).revision(settings.ref, bench.name(settings)).nonce
    kept = [file.read_bytes() for file in (bench.folder / "pulumi").rglob("*") if file.is_file()]
    assert nonce
    assert not any(nonce.encode() in text or b"hush-hush-9431" in text for text in kept)
    assert any(b"ciphertext" in text for text in kept)


def test_a_variable_that_was_secret_stays_so_with_another_value(bench: Bench, settings: Settings) -> None:
    """Somebody gives the nonce's variable another value by hand; a refresh brings it into the state."""
    service = bench.message(settings)
    container = service.template.containers[0]
    next(v for v in container.env if v.name == NONCE_VARIABLE).value = "by-hand-77310"
    service.template.revision = f"{settings.service}-hand"
    bench.cloud.update(run_v2.Service(name=service.name, template=service.template), "template")
    with bench.stack(settings) as stack:
        stack.refresh(color="never")
    assert "by-hand-77310" not in str(bench.state(settings))


def test_a_service_that_is_gone_is_made_again(bench: Bench, settings: Settings) -> None:
    bench.cloud.result(bench.cloud.services.delete_service(name=settings.ref.name))
    bench.cli.apply(settings)
    assert shares(bench.message(settings)) == {bench.name(settings): 100}


@pytest.mark.ordinary
def test_a_service_that_the_stack_does_not_know_is_taken_in_and_then_deployed(bench: Bench) -> None:
    """Two applies: the first changes nothing."""
    settings = bench.settings()
    bench.in_process.apply(settings)
    service = bench.message(settings)
    service.labels["theirs"], service.client, service.description = "1", "gcloud", "by hand"
    bench.cloud.update(service)
    split = Split((Target(bench.name(settings), 100, "stable"),))
    bench.move(settings, split, NOTES)
    before = bench.message(settings)
    said: list[str] = []
    replace(bench.cli, say=said.append).apply(settings)
    assert any("taking it in as it is" in line for line in said)
    assert any("imported" in line for line in said)
    after = bench.message(settings)
    assert (after.traffic, after.annotations) == (before.traffic, before.annotations)
    assert after.labels["theirs"] == "1"
    assert bench.shows_no_change(settings)


def test_taking_in_alone_changes_nothing(bench: Bench) -> None:
    settings = bench.settings()
    bench.in_process.apply(settings)
    before = bench.message(settings)
    cli = bench.cli
    inputs = cli._as_it_is(settings)
    assert inputs is not None
    with bench.stack(settings) as stack:
        cli._adopt(stack, settings, inputs, partial(program.run, cli.read, cli.etag))
    assert bench.message(settings) == before
    assert settings.ref.name in [resource.get("id") for resource in bench.state(settings)["resources"]]


def test_what_is_not_as_declared_is_not_taken_in_and_nothing_is_written(bench: Bench) -> None:
    """The engine would follow the import by an update."""
    settings = bench.settings()
    bench.in_process.apply(settings)
    before = bench.message(settings)
    cli = bench.cli
    inputs = cli._as_it_is(settings)
    assert inputs is not None
    with bench.stack(settings) as stack, pytest.raises(PlatformError, match="cannot be taken into") as caught:
        cli._adopt(
            stack, settings, {**inputs, "description": "another"}, partial(program.run, cli.read, cli.etag)
        )
    assert "1 update" in caught.value.why
    assert bench.message(settings) == before


def test_deletion_protection_holds(bench: Bench) -> None:
    settings = replace(bench.settings(), deletion_protection=True)
    bench.cli.apply(settings)
    with (
        bench.stack(settings) as stack,
        pytest.raises(automation.CommandError, match="deletion protection is on"),
    ):
        stack.destroy(color="never")
    bench.cli.apply(replace(settings, deletion_protection=False))
    with bench.stack(settings) as stack:
        stack.destroy(color="never")
    assert settings.ref.name not in {
        s.name for s in bench.cloud.services.list_services(parent=bench.cloud.parent)
    }


@pytest.mark.ordinary
def test_both_ways_make_equal_services(bench: Bench) -> None:
    """Compared as messages, at each step of a rollout: created, a second revision, a split, a third revision."""
    one, other = bench.settings(), bench.settings()

    def same() -> None:
        assert normal(bench.message(one), one) == normal(bench.message(other), other)

    bench.cli.apply(one)
    bench.in_process.apply(other)
    same()
    bench.cli.apply(another(one))
    bench.in_process.apply(another(other))
    same()
    for settings in (one, other):
        bench.move(settings, halves(bench, settings, another(settings)), NOTES)
    bench.cli.apply(another(one, "3"))
    bench.in_process.apply(another(other, "3"))
    same()


def normal(service: run_v2.Service, settings: Settings) -> str:
    """Without what two services differ in by themselves."""
    service = run_v2.Service(service)
    for field in (
        "uid",
        "etag",
        "create_time",
        "update_time",
        "terminal_condition",
        "conditions",
        "uri",
        "urls",
    ):
        setattr(service, field, None)
    for line in service.traffic_statuses:
        line.uri = ""
    for variable in service.template.containers[0].env:
        variable.value = "" if variable.name == NONCE_VARIABLE else variable.value
    text = run_v2.Service.to_json(service, sort_keys=True)
    return text.replace(settings.service, "chat")  # names follow from the content


def test_a_revision_that_fails_is_told_and_is_there(bench: Bench, settings: Settings) -> None:
    bad = another(settings, image="never-listens")
    with pytest.raises(PlatformError, match="failed") as caught:
        bench.cli.apply(bad)
    assert "not ready and cannot serve traffic" in caught.value.why
    found = CloudRun.over(bench.cloud.channel).revision(settings.ref, bench.name(bad))
    assert found.readiness is Readiness.FAILED
    assert shares(bench.message(settings)) == {bench.name(settings): 100}
    bench.cli.apply(another(settings, "4"))
    assert bench.shows_no_change(another(settings, "4"))


def test_a_first_revision_that_failed_is_taken_in_and_followed_by_a_good_one(bench: Bench) -> None:
    settings = bench.settings(image="never-listens")
    with pytest.raises(PlatformError):
        bench.cli.apply(settings)
    good = replace(settings, template=replace(settings.template, image="good"))
    bench.cli.apply(good)
    assert shares(bench.message(good)) == {bench.name(good): 100}


@pytest.mark.parametrize("moved", [True, False], ids=["split", "record"])
def test_what_comes_between_the_programs_look_and_the_write_is_not_written_over(
    bench: Bench, settings: Settings, second: Settings, moved: bool
) -> None:
    """The provider sends no etag: so the program asks once more, right before it."""
    bench.move(settings, halves(bench, settings, second), NOTES)
    cli = bench.cli
    reads: list[Live | None] = []

    def overtaken(asked: Settings) -> Live | None:
        reads.append(cli.read(asked))
        if len(reads) == 1:
            bench.move(
                settings,
                halves(bench, settings, second, 0 if moved else 30),
                {RECORD_ANNOTATION: "rolled back"},
            )
        return reads[-1]

    with pytest.raises(StaleWrite, match="after the Pulumi program had read it"):
        replace(cli, read=overtaken).apply(another(settings, "3"))
    live = bench.live(settings)
    assert said_by(live.serving) == said_by(halves(bench, settings, second, 0 if moved else 30))
    assert live.annotations == {RECORD_ANNOTATION: "rolled back"}


def test_a_read_that_fails_stops_the_program_and_changes_nothing(bench: Bench, settings: Settings) -> None:
    before = bench.message(settings)

    def blind(_: Settings) -> Live | None:
        raise AccessError("read chat: not allowed", "no", "Log in")

    with pytest.raises(AccessError, match="not allowed"):
        replace(bench.cli, read=blind).apply(another(settings))
    assert bench.message(settings).etag == before.etag


def test_a_function_of_the_plugin_is_refused_by_its_name(bench: Bench, settings: Settings) -> None:
    def asks() -> None:
        pulumi.export("x", pulumi.runtime.invoke("gcp:organizations/getProject:getProject", {}).value)

    with (
        bench.stack(settings, asks) as stack,
        pytest.raises(automation.CommandError, match="has no functions"),
    ):
        stack.preview(color="never")


def test_another_resource_is_refused_by_its_name(bench: Bench, settings: Settings) -> None:
    def makes() -> None:
        pulumi.CustomResource("gcp:storage/bucket:Bucket", "b", {"location": "here"})

    with (
        bench.stack(settings, makes) as stack,
        pytest.raises(automation.CommandError, match="storage/bucket:Bucket"),
    ):
        stack.preview(color="never")
