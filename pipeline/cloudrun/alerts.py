"""Which lasting alerts watch a service: read from Cloud Monitoring, over Google's own messages and a channel."""

from __future__ import annotations

import grpc

from pipeline.cloudrun.faults import translated
from pipeline.model import ServiceRef
from pipeline.rpc.call import Call, Pages
from pipeline.rpc.cloud import Api
from pipeline.rpc.monitoring import gapic_version, monitoring_v3

API = Api(
    "monitoring.googleapis.com",
    ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/monitoring.read"),
    ("google.cloud.monitoring_v3.services.alert_policy_service", "AlertPolicyServiceClient"),
)
_TIMEOUT_S = 15.0
_PAGE = 1000  # a project has at most 2,000 policies; ours are told by their labels


def policies_of(ref: ServiceRef, channel: grpc.Channel | None = None) -> tuple[str, ...]:
    """Titles of the enabled alert policies that the Pulumi program declared for this service.

    Args:
        channel: to a local Cloud Run; None is the cloud.

    Raises: AccessError, PlatformUnavailable.
    """
    with translated(f"look for alert policies on {ref.service}"):
        call = Call(
            channel or API.channel(), "/google.monitoring.v3.AlertPolicyService/ListAlertPolicies",
            monitoring_v3.ListAlertPoliciesRequest, monitoring_v3.ListAlertPoliciesResponse.deserialize,
            gapic_version.__version__,
        )  # fmt: skip
        ours = {"spillway": ref.service, "location": ref.location}
        policies = Pages(call, "alert_policies")(
            name=f"projects/{ref.project}", page_size=_PAGE, timeout=_TIMEOUT_S
        )
        watching = (p for p in policies if p.enabled and ours.items() <= dict(p.user_labels).items())
        return tuple(sorted(p.display_name for p in watching))
