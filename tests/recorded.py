"""A service's life as the real Cloud Run Admin API v2 was recorded to answer it, told in values of our own.

The recording is of 2024: create, poll, read, PATCH without mask and etag, poll, read, DELETE, poll. Names, numbers and
times are nobody's; which fields are there, which are not yet, and what the server fills in, is what was seen.
"""

from __future__ import annotations

from typing import Any

ASKED: dict[str, Any] = {
    "ingress": "INGRESS_TRAFFIC_ALL",
    "labels": {"team": "agents"},
    "launchStage": "GA",
    "template": {
        "containers": [{"image": "good", "env": [{"name": "GREETING", "value": "hello]"}]}],
        "scaling": {"maxInstanceCount": 2},
    },
    "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}],
}

#: The template as it is shown from the first answer on: what was asked, and the server's own values.
SHOWN_TEMPLATE: dict[str, Any] = {
    "scaling": {"maxInstanceCount": 2},
    "timeout": "300s",
    "maxInstanceRequestConcurrency": 80,
    "containers": [
        {
            "image": "good",
            "env": [{"name": "GREETING", "value": "hello]"}],
            "resources": {"limits": {"cpu": "1000m", "memory": "512Mi"}, "cpuIdle": True},
            "ports": [{"name": "http1", "containerPort": 8080}],
            "startupProbe": {
                "timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": 8080},
            },
        }
    ],
}  # fmt: skip

#: What the second write sends: all that the first read showed, clients' own part, with nulls, and two changes.
CHANGED: dict[str, Any] = {
    **ASKED,
    "template": {
        **SHOWN_TEMPLATE,
        "scaling": {"maxInstanceCount": 3},
        "containers": [
            {
                **SHOWN_TEMPLATE["containers"][0],
                "env": [{"name": "GREETING", "value": "[good day"}],
                "startupProbe": {
                    **SHOWN_TEMPLATE["containers"][0]["startupProbe"],
                    "grpc": None,
                    "httpGet": None,
                },
            }
        ],
    },
}

_ALWAYS = {"name", "uid", "generation", "labels", "createTime", "updateTime", "creator", "lastModifier", "launchStage",
           "template", "traffic", "terminalCondition", "etag"}  # fmt: skip
_OBSERVED = {"ingress", "observedGeneration", "conditions", "latestReadyRevision", "latestCreatedRevision",
             "trafficStatuses", "uri"}  # fmt: skip

#: Which fields each answer has.
FIELDS = {
    "created, accepted": _ALWAYS | {"reconciling"},
    "settled": _ALWAYS | _OBSERVED,
    "changed, accepted": _ALWAYS | _OBSERVED | {"reconciling"},
    "deleted, accepted": _ALWAYS | _OBSERVED | {"reconciling", "deleteTime", "expireTime"},
    "deleted": _ALWAYS | _OBSERVED | {"deleteTime", "expireTime"},
}

#: Where this local Cloud Run differs from the recording, and why.
ALLOWED = {
    "urls": "the API has it since; the recording is older",
    "conditions.lastTransitionTime": "one time for all conditions here: when the service settled",
}
