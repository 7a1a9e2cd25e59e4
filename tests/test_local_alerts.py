"""Log-based metrics, alert policies and notification channels, through the unmodified clients of their APIs and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import monitoring_v3
from google.cloud.logging_v2.services.metrics_service_v2 import MetricsServiceV2Client
from google.cloud.logging_v2.services.metrics_service_v2.transports import MetricsServiceV2GrpcTransport
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_v3.services.alert_policy_service.transports import (
    AlertPolicyServiceGrpcTransport,
)
from google.cloud.monitoring_v3.services.notification_channel_service.transports import (
    NotificationChannelServiceGrpcTransport,
)
from google.protobuf import json_format

from infra import alerts as lasting
from pipeline.local.alerts.book import AlertBook
from pipeline.local.alerts.watch import Evaluation, unevaluated
from pipeline.local.api import admin, alerts
from pipeline.local.api.rest import RestFace
from pipeline.local.bearer import Access
from pipeline.local.entries.store import LogStore
from pipeline.local.front.addresses import listen
from pipeline.model import ServiceRef
from tests.alert_clients import Http
from tests.contract.cloud import LoopThread

PROJECT = "projects/p"
SERVICE = "projects/p/locations/here/services/chat"
START = 1_900_000_000
_TOKEN = "of-the-tests"
_USER = "logging.googleapis.com/user/"


class Apis:
    """The three clients, over one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.metrics: Any = MetricsServiceV2Client(transport=MetricsServiceV2GrpcTransport(channel=channel))
        self.policies: Any = monitoring_v3.AlertPolicyServiceClient(
            transport=AlertPolicyServiceGrpcTransport(channel=channel)
        )
        self.channels: Any = monitoring_v3.NotificationChannelServiceClient(
            transport=NotificationChannelServiceGrpcTransport(channel=channel)
        )


class World:
    """Everything on one clock that is moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = float(START)
        self.logs = LogStore(folder, now_ns=lambda: int(self.now * 1e9))
        self._watched = self.logs.tail()
        self.tail = self._watched.__enter__()
        self.book = AlertBook(folder, clock=lambda: datetime.fromtimestamp(self.now, UTC))
        self.evaluation = Evaluation(self.book)

    def close(self, code: int, revision: str = "chat-one", times: int = 1) -> None:
        for _ in range(times):
            self.logs.line(SERVICE, revision, "stdout", json.dumps({"event": "ws_close", "code": code}))

    def firing(self, after_s: float = 0) -> list[tuple[str, dict[str, str]]]:
        self.now += after_s
        self.evaluation.count(self.tail.take()[0])
        self.evaluation.look(self.now)
        return [(i["title"], i["labels"]) for i in self.evaluation.open.values()]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.logs.close()


@pytest.fixture(params=["grpc", "rest"])
def apis(world: World, request: pytest.FixtureRequest) -> Iterator[Apis | Http]:
    loop = LoopThread()
    if request.param == "rest":
        face = RestFace(alerts.offered(world.book), Access(_TOKEN))
        listener = listen("127.0.0.1", 0)
        loop.run(face.start(listener))
        yield Http(f"http://127.0.0.1:{listener.getsockname()[1]}", _TOKEN)
        loop.run(face.close())
    else:
        server, port = loop.run(_serve(world.book))
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Apis(channel)
        loop.run(server.stop(grace=None))
    loop.close()


async def _serve(book: AlertBook) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(admin.handlers(alerts.offered(book)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def closes(name: str = "closes", **changes: Any) -> LogMetric:
    fields = {
        "name": name,
        "filter": f'resource.labels.service_name="{SERVICE.rpartition("/")[2]}" AND jsonPayload.event="ws_close"',
        "metricDescriptor": {"labels": [{"key": "code", "valueType": "STRING"}]},
        "labelExtractors": {"code": "EXTRACT(jsonPayload.code)"},
        **changes,
    }
    return LogMetric(json_format.ParseDict(fields, LogMetric.pb()()))


def policy(*conditions: dict[str, Any], **changes: Any) -> monitoring_v3.AlertPolicy:
    fields = {"displayName": "closes", "combiner": "OR", "conditions": list(conditions), **changes}
    return monitoring_v3.AlertPolicy(json_format.ParseDict(fields, monitoring_v3.AlertPolicy.pb()()))


def more_than(threshold: float, code: str = "1011", **changes: Any) -> dict[str, Any]:
    return {
        "displayName": f"{code} more than {threshold}",
        "conditionThreshold": {
            "filter": f'metric.type="{_USER}closes" AND metric.labels.code="{code}"',
            "comparison": "COMPARISON_GT",
            "thresholdValue": threshold,
            "duration": "0s",
            "aggregations": [summed()],
            **changes,
        },
    }


def summed(period: str = "60s", aligner: str = "ALIGN_DELTA") -> dict[str, Any]:
    return {
        "alignmentPeriod": period,
        "perSeriesAligner": aligner,
        "crossSeriesReducer": "REDUCE_SUM",
        "groupByFields": ["resource.label.revision_name"],
    }


def test_an_alert_fires_while_there_are_too_many_and_ends(world: World, apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(2)))
    world.close(1011, times=2)
    world.close(1000, times=50)
    assert world.firing(1) == []
    world.close(1011)
    world.close(1011, "chat-two")
    assert world.firing(1) == [("closes", {"revision_name": "chat-one"})]
    assert world.firing(61) == []


def test_what_came_before_the_metric_does_not_count(world: World, apis: Apis) -> None:
    world.close(1011, times=9)
    world.now += 1
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(2)))
    assert world.firing() == []


def test_a_share_of_all(world: World, apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    whole = 'metric.type="logging.googleapis.com/user/closes"'
    share = more_than(0.1, denominatorFilter=whole, denominatorAggregations=[summed()])
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(share))
    world.close(1011, times=1)
    world.close(1000, times=9)
    assert world.firing(1) == []
    world.close(1011)
    assert [title for title, _ in world.firing(1)] == ["closes"]


def test_a_condition_holds_for_its_duration_before_it_fires(world: World, apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(0, duration="120s")))
    world.close(1011)
    assert world.firing(1) == []
    for _ in range(3):
        world.close(1011)
        fired = world.firing(40)
    assert len(fired) == 1
    world.evaluation = Evaluation(world.book)
    world.close(1011)
    assert world.firing(1) == []


def test_all_conditions_of_an_and_for_the_same_group(world: World, apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    both = policy(more_than(2), more_than(2, "1006"), combiner="AND")
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=both)
    world.close(1011, times=3)
    assert world.firing(1) == []
    world.close(1006, times=3)
    assert world.firing(1) == [("closes", {"revision_name": "chat-one"})]


@pytest.mark.parametrize(
    ("combiner", "fires"), [("AND", [("closes", {})]), ("AND_WITH_MATCHING_RESOURCE", [])]
)
def test_conditions_that_hold_for_different_revisions(
    world: World, apis: Apis, combiner: str, fires: list[object]
) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    both = policy(more_than(2), more_than(2, "1006"), combiner=combiner)
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=both)
    world.close(1011, times=3)
    world.close(1006, "chat-two", times=3)
    assert world.firing(1) == fires


def test_silence_after_something_was_seen(world: World, apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    absent = {
        "displayName": "silent",
        "conditionAbsent": {
            "filter": 'metric.type="logging.googleapis.com/user/closes"',
            "duration": "300s",
            "aggregations": [summed()],
        },
    }
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(absent))
    assert world.firing(1000) == []
    world.close(1000)
    assert world.firing(299) == []
    assert len(world.firing(2)) == 1


def test_disabled_policies_and_metrics_rest(world: World, apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes(disabled=True))
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(0)))
    world.close(1011, times=3)
    assert world.firing(1) == []
    apis.metrics.update_log_metric(metric_name=f"{PROJECT}/metrics/closes", metric=closes())
    (made,) = apis.policies.list_alert_policies(name=PROJECT)
    made.enabled = False
    apis.policies.update_alert_policy(update_mask={"paths": ["enabled"]}, alert_policy=made)
    world.close(1011, times=3)
    assert world.firing(1) == []
    made.enabled = True
    apis.policies.update_alert_policy(update_mask={"paths": ["enabled"]}, alert_policy=made)
    assert len(world.firing(1)) == 1


def test_other_conditions_are_kept_and_said_not_to_be_evaluated(world: World, apis: Apis) -> None:
    cpu = more_than(0.9)
    cpu["conditionThreshold"]["filter"] = (
        'metric.type="compute.googleapis.com/instance/cpu/utilization" AND resource.type="gce_instance"'
    )
    made = apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(cpu))
    assert apis.policies.get_alert_policy(name=made.name).conditions == made.conditions
    assert world.firing(1) == []
    assert "compute.googleapis.com/instance/cpu/utilization" in why_not(world)


@pytest.mark.parametrize(
    ("odd", "complaint"),
    [
        (more_than(0, filter="metric.type=one_of()"), "not one by name"),
        (more_than(0, filter=f'metric.type=one_of("{_USER}closes","{_USER}other")'), "not one by name"),
        (more_than(0, filter=""), "filter ''"),
        ({"displayName": "silence", "conditionAbsent": {"duration": "60s"}}, "filter ''"),
        (more_than(0, aggregations=[summed("0s", "ALIGN_RATE")]), "alignment period of 0s"),
        (more_than(0, aggregations=[summed("-60s", "ALIGN_RATE")]), "alignment period of -60s"),
    ],
)
def test_a_policy_that_makes_no_sense_silences_no_other(
    world: World, apis: Apis, odd: dict[str, Any], complaint: str
) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(odd))
    apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(0), displayName="second"))
    world.close(1011)
    assert [title for title, _ in world.firing(1)] == ["second"]
    assert complaint in why_not(world)


def why_not(world: World) -> str:
    (found,) = unevaluated(world.book)
    return found["why"]


def test_a_policy_of_a_metric_that_does_not_count_is_told(world: World, apis: Apis) -> None:
    share = more_than(
        0.5, denominatorFilter=f'metric.type="{_USER}whole"', denominatorAggregations=[summed()]
    )
    made = apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(share))
    assert why_not(world) == "log-based metric closes does not exist, or is disabled"
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    assert why_not(world) == "log-based metric whole does not exist, or is disabled"
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes("whole"))
    assert not list(unevaluated(world.book))
    made.enabled = False
    apis.policies.update_alert_policy(alert_policy=made)
    assert why_not(world) == "it is disabled"


def test_what_the_service_fills_in(world: World, apis: Apis) -> None:
    metric = apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    assert metric.metric_descriptor.type == "logging.googleapis.com/user/closes"
    assert apis.metrics.get_log_metric(metric_name=f"{PROJECT}/metrics/closes") == metric
    channel = apis.channels.create_notification_channel(
        name=PROJECT, notification_channel=monitoring_v3.NotificationChannel(type_="email")
    )
    assert channel.enabled
    assert channel.creation_record.mutate_time == channel.mutation_records[0].mutate_time
    alert = policy(more_than(0), notificationChannels=[channel.name])
    made = apis.policies.create_alert_policy(name=PROJECT, alert_policy=alert)
    assert made.enabled
    assert made.conditions[0].name.startswith(f"{made.name}/conditions/")
    world.now += 60
    made.display_name = "other"
    after = apis.policies.update_alert_policy(alert_policy=made)
    assert (after.display_name, after.creation_record) == ("other", made.creation_record)
    assert after.mutation_record.mutate_time > made.mutation_record.mutate_time


def test_a_mask_sets_what_it_names_and_nothing_beside_it(apis: Apis) -> None:
    """Of a message one field, of a map one key: the examples that UpdateAlertPolicyRequest gives."""
    made = apis.policies.create_alert_policy(
        name=PROJECT,
        alert_policy=policy(
            more_than(0), documentation={"content": "look", "mimeType": "text/markdown", "subject": "s"},
            userLabels={"team": "chat", "tier": "front", "gone": "1"},
        ),
    )  # fmt: skip
    change = monitoring_v3.AlertPolicy(
        name=made.name, display_name="not named", documentation={"content": "other", "mime_type": "not/named"},
        user_labels={"team": "search", "tier": "not named", "new": "1"},
    )  # fmt: skip
    paths = ["documentation.content", "user_labels.team", "user_labels.new", "user_labels.gone"]
    after = apis.policies.update_alert_policy(update_mask={"paths": paths}, alert_policy=change)
    assert dict(after.user_labels) == {"team": "search", "tier": "front", "new": "1"}
    wanted = monitoring_v3.AlertPolicy.Documentation(made.documentation)
    wanted.content = "other"
    assert after.documentation == wanted
    assert (after.display_name, after.conditions) == (made.display_name, made.conditions)
    assert apis.policies.get_alert_policy(name=made.name) == after


def test_what_a_mask_names_and_nobody_gives_is_cleared(apis: Apis) -> None:
    told = {"content": "look", "mimeType": "text/markdown"}
    made = apis.policies.create_alert_policy(
        name=PROJECT, alert_policy=policy(more_than(0), documentation=told, userLabels={"a": "1"})
    )
    bare = monitoring_v3.AlertPolicy(name=made.name)

    def updated(*paths: str) -> monitoring_v3.AlertPolicy:
        return apis.policies.update_alert_policy(update_mask={"paths": list(paths)}, alert_policy=bare)

    after = updated("documentation.content", "alert_strategy.auto_close")
    assert (after.documentation.content, after.documentation.mime_type) == ("", "text/markdown")
    assert "alert_strategy" not in after
    after = updated("documentation", "user_labels")
    assert "documentation" not in after
    assert not after.user_labels
    with pytest.raises(exceptions.InvalidArgument, match="at least one"):
        updated("conditions")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        ("documentation.nothing", "'nothing' is not a field of Documentation"),
        ("display_name.x", "'display_name', which is no message"),
        ("conditions.display_name", "'conditions', which is a list"),
        ("documentation.links.url", "'links', which is a list"),
        ("documentation.content.x.y", "'content', which is no message"),
        ("display_name,nothing", "'nothing' is not a field of AlertPolicy"),
    ],
)
def test_a_mask_that_names_no_field_changes_nothing(apis: Apis, path: str, complaint: str) -> None:
    made = apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(0)))
    change = monitoring_v3.AlertPolicy(name=made.name, display_name="other")
    with pytest.raises(exceptions.InvalidArgument, match=complaint):
        apis.policies.update_alert_policy(update_mask={"paths": path.split(",")}, alert_policy=change)
    assert apis.policies.get_alert_policy(name=made.name) == made


def test_a_channel_in_use_is_not_deleted(apis: Apis) -> None:
    channel = apis.channels.create_notification_channel(
        name=PROJECT, notification_channel=monitoring_v3.NotificationChannel(type_="email")
    )
    alert = policy(more_than(0), notificationChannels=[channel.name])
    made = apis.policies.create_alert_policy(name=PROJECT, alert_policy=alert)
    with pytest.raises(exceptions.FailedPrecondition, match="is used by"):
        apis.channels.delete_notification_channel(name=channel.name)
    apis.channels.delete_notification_channel(name=channel.name, force=True)
    assert not apis.policies.get_alert_policy(name=made.name).notification_channels


def test_everything_is_there_after_a_restart(world: World, apis: Apis, tmp_path: Path) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    made = apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(0)))
    again = AlertBook(tmp_path)
    assert again.policies.show(made.name) == monitoring_v3.AlertPolicy.pb(made)
    assert [metric.name for metric in again.counted()] == ["closes"]


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        (closes("no spaces please"), "metric id"),
        (closes(filter="jsonPayload.event=="), "filter: expected a value"),
        (closes(metricDescriptor={"labels": [{}]}), "are not the descriptor's labels"),
        (closes(labelExtractors={}), "are not the descriptor's labels"),
        (closes(labelExtractors={"code": "jsonPayload.code"}), "is not EXTRACT"),
        (closes(labelExtractors={"code": 'REGEXP_EXTRACT(jsonPayload.code, "(")'}), "label_extractors"),
        (closes(metricDescriptor={"metricKind": "GAUGE", "labels": [{"key": "code"}]}), "DELTA of INT64"),
    ],
)
def test_refused_metrics(apis: Apis, metric: LogMetric, complaint: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=complaint):
        apis.metrics.create_log_metric(parent=PROJECT, metric=metric)
    assert not list(apis.metrics.list_log_metrics(parent=PROJECT))


@pytest.mark.parametrize(
    ("alert", "complaint"),
    [
        (policy(), "conditions: 0"),
        (policy(more_than(0), combiner="COMBINE_UNSPECIFIED"), "combiner"),
        (policy(more_than(0), notificationChannels=["projects/p/notificationChannels/1"]), "does not exist"),
    ],
)
def test_refused_policies(apis: Apis, alert: monitoring_v3.AlertPolicy, complaint: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=complaint):
        apis.policies.create_alert_policy(name=PROJECT, alert_policy=alert)
    assert not list(apis.policies.list_alert_policies(name=PROJECT))


def test_unknown_names_pages_and_methods(apis: Apis) -> None:
    with pytest.raises(exceptions.NotFound):
        apis.policies.get_alert_policy(name=f"{PROJECT}/alertPolicies/1")
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    with pytest.raises(exceptions.AlreadyExists):
        apis.metrics.create_log_metric(parent=PROJECT, metric=closes())
    for number in range(4):
        apis.metrics.create_log_metric(parent=PROJECT, metric=closes(f"m{number}"))
    pages = apis.metrics.list_log_metrics(request={"parent": PROJECT, "page_size": 2}).pages
    assert [len(page.metrics) for page in pages] == [2, 2, 1]
    with pytest.raises(exceptions.MethodNotImplemented, match="VerifyNotificationChannel"):
        apis.channels.verify_notification_channel(name=f"{PROJECT}/notificationChannels/1", code="1")


def test_a_slash_in_the_id_of_a_metric(apis: Apis) -> None:
    apis.metrics.create_log_metric(parent=PROJECT, metric=closes("chat/closes"))
    name = f"{PROJECT}/metrics/chat%2Fcloses" if isinstance(apis, Apis) else f"{PROJECT}/metrics/chat/closes"
    got = apis.metrics.get_log_metric(metric_name=name)
    assert (got.name, got.metric_descriptor.type) == (
        "chat/closes",
        "logging.googleapis.com/user/chat/closes",
    )
    apis.metrics.update_log_metric(metric_name=name, metric=closes("chat/closes", description="later"))
    assert [one.description for one in apis.metrics.list_log_metrics(parent=PROJECT)] == ["later"]
    apis.metrics.delete_log_metric(metric_name=name)
    assert not list(apis.metrics.list_log_metrics(parent=PROJECT))


def test_an_update_under_a_mask_leaves_the_rest(apis: Apis) -> None:
    given = monitoring_v3.NotificationChannel(type_="email", display_name="old", description="stays")
    made = apis.channels.create_notification_channel(name=PROJECT, notification_channel=given)
    change = monitoring_v3.NotificationChannel(name=made.name, type_="sms", display_name="new")
    mask = {"paths": ["type", "display_name"]}
    after = apis.channels.update_notification_channel(update_mask=mask, notification_channel=change)
    assert (after.type_, after.display_name, after.description) == ("sms", "new", "stays")
    with pytest.raises(exceptions.InvalidArgument, match="nothing"):
        apis.channels.update_notification_channel(
            update_mask={"paths": ["nothing"]}, notification_channel=change
        )


def test_a_metric_that_is_updated_and_not_there_is_made(apis: Apis) -> None:
    apis.metrics.update_log_metric(metric_name=f"{PROJECT}/metrics/closes", metric=closes())
    assert [one.name for one in apis.metrics.list_log_metrics(parent=PROJECT)] == ["closes"]
    with pytest.raises(exceptions.InvalidArgument, match="metric id"):
        apis.metrics.update_log_metric(metric_name=f"{PROJECT}/metrics/a b", metric=closes())


def test_writers_beside_each_other_get_names_of_their_own(apis: Apis) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(
            threads.map(
                lambda _: apis.policies.create_alert_policy(name=PROJECT, alert_policy=policy(more_than(0))),
                range(12),
            )
        )
    assert len({each.name for each in made}) == 12


REF = ServiceRef("p", "here", "chat")


def test_what_the_program_declares_is_accepted_and_evaluated(world: World, apis: Apis) -> None:
    for one in lasting.declared(REF):
        inputs = {key: value for key, value in one.inputs.items() if key != "project"}
        if one.type == lasting.METRIC:
            made = LogMetric(json_format.ParseDict(inputs, LogMetric.pb()()))
            apis.metrics.create_log_metric(parent=PROJECT, metric=made)
        else:
            alert = monitoring_v3.AlertPolicy(json_format.ParseDict(inputs, monitoring_v3.AlertPolicy.pb()()))
            apis.policies.create_alert_policy(name=PROJECT, alert_policy=alert)
    assert not list(unevaluated(world.book))
    world.close(1000, times=90)
    world.close(1011, "chat-two", times=4)
    for outcome in ("ok", "timeout"):
        for _ in range(4):
            world.logs.line(
                SERVICE, "chat-two", "stdout", json.dumps({"event": "agent_run", "outcome": outcome})
            )
    world.logs.line(SERVICE, "chat-two", "stderr", "TypeError: Object of type State is not JSON serializable")
    found = sorted(world.firing(1))
    assert found == [
        ("chat: log lines that JSON refused", {"revision_name": "chat-two"}),
        ("chat: sockets closed with 1011", {"revision_name": "chat-two"}),
        ("chat: sockets without an outcome", {"revision_name": "chat-two"}),
    ]
    assert world.firing(301) == []
