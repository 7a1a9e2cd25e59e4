"""Which method a verb and a path mean, by the HTTP rules of Google's APIs.

The descriptors of client packages have no services in them, so those of Cloud Run are read where its REST transports
keep them: ``_Base{Service}RestTransport._Base{Method}._get_http_options()``. The packages of Logging and Monitoring have
no REST transports, and that of Cloud Scheduler is not here; their rules are written down.
Source: ``google.api.http`` (http.proto) for templates, bodies and how a path is decoded; logging_metrics.proto,
alert_service.proto, notification_service.proto and cloudscheduler.proto for what is written down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from urllib.parse import unquote

from msgspec import Struct

from pipeline.local.api.methods import LONGRUNNING, PACKAGE, client_methods
from pipeline.local.control.state import Refused

_VARIABLE = re.compile(r"\{([\w.]+)=([^}]*)\}")
_SCHEDULED = "projects/*/locations/*/jobs/*"
_POLICY, _CHANNEL = "projects/*/alertPolicies/*", "projects/*/notificationChannels/*"
#: Method, verb, template and, where there is one, the field that is the body.
_WRITTEN = {
    "google.logging.v2.MetricsServiceV2": (
        ("ListLogMetrics", "get", "/v2/{parent=projects/*}/metrics"),
        ("GetLogMetric", "get", "/v2/{metric_name=projects/*/metrics/*}"),
        ("CreateLogMetric", "post", "/v2/{parent=projects/*}/metrics", "metric"),
        ("UpdateLogMetric", "put", "/v2/{metric_name=projects/*/metrics/*}", "metric"),
        ("DeleteLogMetric", "delete", "/v2/{metric_name=projects/*/metrics/*}"),
    ),
    "google.monitoring.v3.AlertPolicyService": (
        ("ListAlertPolicies", "get", "/v3/{name=projects/*}/alertPolicies"),
        ("GetAlertPolicy", "get", f"/v3/{{name={_POLICY}}}"),
        ("CreateAlertPolicy", "post", "/v3/{name=projects/*}/alertPolicies", "alert_policy"),
        ("UpdateAlertPolicy", "patch", f"/v3/{{alert_policy.name={_POLICY}}}", "alert_policy"),
        ("DeleteAlertPolicy", "delete", f"/v3/{{name={_POLICY}}}"),
    ),
    "google.monitoring.v3.NotificationChannelService": (
        ("ListNotificationChannelDescriptors", "get", "/v3/{name=projects/*}/notificationChannelDescriptors"),
        ("GetNotificationChannelDescriptor", "get", "/v3/{name=projects/*/notificationChannelDescriptors/*}"),
        ("ListNotificationChannels", "get", "/v3/{name=projects/*}/notificationChannels"),
        ("GetNotificationChannel", "get", f"/v3/{{name={_CHANNEL}}}"),
        ("CreateNotificationChannel", "post", "/v3/{name=projects/*}/notificationChannels", "notification_channel"),
        ("UpdateNotificationChannel", "patch", f"/v3/{{notification_channel.name={_CHANNEL}}}", "notification_channel"),
        ("DeleteNotificationChannel", "delete", f"/v3/{{name={_CHANNEL}}}"),
        ("SendNotificationChannelVerificationCode", "post", f"/v3/{{name={_CHANNEL}}}:sendVerificationCode", "*"),
        ("GetNotificationChannelVerificationCode", "post", f"/v3/{{name={_CHANNEL}}}:getVerificationCode", "*"),
        ("VerifyNotificationChannel", "post", f"/v3/{{name={_CHANNEL}}}:verify", "*"),
    ),
    "google.cloud.scheduler.v1.CloudScheduler": (
        ("ListJobs", "get", "/v1/{parent=projects/*/locations/*}/jobs"),
        ("GetJob", "get", f"/v1/{{name={_SCHEDULED}}}"),
        ("CreateJob", "post", "/v1/{parent=projects/*/locations/*}/jobs", "job"),
        ("UpdateJob", "patch", f"/v1/{{job.name={_SCHEDULED}}}", "job"),
        ("DeleteJob", "delete", f"/v1/{{name={_SCHEDULED}}}"),
        ("PauseJob", "post", f"/v1/{{name={_SCHEDULED}}}:pause", "*"),
        ("ResumeJob", "post", f"/v1/{{name={_SCHEDULED}}}:resume", "*"),
        ("RunJob", "post", f"/v1/{{name={_SCHEDULED}}}:run", "*"),
    ),
}  # fmt: skip
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


class Rule(Struct, frozen=True):
    """One way to call a method.

    Args:
        method: as in ``google.cloud.run.v2.Services/GetService``.
        path: what it matches; its groups are the values of ``fields``.
        fields: of the request, dotted, in the path.
        body: field of the request that the body is; ``*`` for all of it, empty for none.
    """

    method: str
    verb: str
    path: re.Pattern[str]
    fields: tuple[str, ...]
    body: str

    def values(self, match: re.Match[str]) -> Mapping[str, str]:
        """Fields of the request by what the path says of them. Raises Refused."""
        try:
            return dict(zip(self.fields, map(_decoded, match.groups()), strict=True))
        except UnicodeDecodeError as error:
            raise Refused("INVALID_ARGUMENT", "The path is not UTF-8.") from error


def rules() -> Iterator[Rule]:
    """All of them, operations of Cloud Run included. No two match the same verb and path."""
    yield from dict.fromkeys(_of_cloud_run())  # each service brings the operations along
    for service, methods in _WRITTEN.items():
        for method, verb, uri, *body in methods:
            yield _rule(f"{service}/{method}", {"method": verb, "uri": uri, "body": "".join(body)})


def _of_cloud_run() -> Iterator[Rule]:
    for service, methods in client_methods().items():
        if not service.startswith(f"{PACKAGE}."):
            continue
        name = service.rpartition(".")[2]
        folder = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
        module = import_module(f"google.cloud.run_v2.services.{folder}.transports.rest_base")
        for key, stub in vars(getattr(module, f"_Base{name}RestTransport")).items():
            method = key.removeprefix("_Base")
            owner = service if method in methods else LONGRUNNING
            for option in stub._get_http_options() if key.startswith("_Base") else ():  # noqa: SLF001
                yield _rule(f"{owner}/{method}", option)


def _rule(method: str, option: Mapping[str, str]) -> Rule:
    """A ``*`` is one segment; the last one holds no colon, which begins a custom verb."""
    template = option["uri"]
    path = _VARIABLE.sub(lambda variable: f"({variable[2].replace('*', '[^/]+')})", template)
    path = re.sub(r"\[\^/\]\+\)$", "[^/:]+)", path)
    fields = tuple(name for name, _ in _VARIABLE.findall(template))
    return Rule(method, option["method"].upper(), re.compile(path), fields, option.get("body", ""))


def _decoded(value: str) -> str:
    """A value of several segments: an encoded slash stays encoded, or it would look like another segment."""
    return "%2F".join(unquote(part, errors="strict") for part in _ENCODED_SLASH.split(value))
