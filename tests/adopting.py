"""A service in production, as somebody made it through the Admin API: settings of every kind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from google.cloud import run_v2
from google.protobuf import json_format

from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image

FIELDS: dict[str, Any] = {
    "description": "the chat",
    "labels": {"team": "chat", "cost-centre": "42", "env": "production", "connector": "", "volumes": "3"},
    "annotations": {"example.com/owner": "chat", "containers": "", "policy": "a"},
    "binaryAuthorization": {"policy": "projects/p/platforms/cloudRun/policies/strict", "breakglassJustification": "none"},
    "scaling": {"minInstanceCount": 1, "maxInstanceCount": 4, "scalingMode": "AUTOMATIC"},
    "customAudiences": ["https://chat.example.com", "https://chat2.example.com"],
    "iapEnabled": True,
    "invokerIamDisabled": True,
    "multiRegionSettings": {"regions": ["europe-west1", "us-central1"]},
    "buildConfig": {"functionTarget": "main", "environmentVariables": {"A": "1"}, "serviceAccount": "b@p.example"},
    "launchStage": "BETA",
}  # fmt: skip
SECRET = "of-the-token-5"
#: The service under test answers neither, so they fail, and not before the test is over.
_PROBE = {"periodSeconds": 900, "timeoutSeconds": 3, "failureThreshold": 5}


def template(image: str) -> dict[str, Any]:
    """With three kinds of probes, secrets, two containers, every kind of volume and a network."""
    return {
        "labels": {"tier": "front", "env": "production", "value": "", "secret": "b"},
        "annotations": {"example.com/ticket": "CHAT-7"},
        "scaling": {"minInstanceCount": 0, "maxInstanceCount": 3},
        "vpcAccess": {
            "egress": "PRIVATE_RANGES_ONLY",
            "networkInterfaces": [{"network": "net", "subnetwork": "sub", "tags": ["chat", "front"]}],
        },
        "timeout": "1800s",
        "serviceAccount": "chat@p.iam.gserviceaccount.com",
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "encryptionKey": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "maxInstanceRequestConcurrency": 33,
        "serviceMesh": {"mesh": "projects/p/locations/global/meshes/m"},
        "sessionAffinity": True,
        "nodeSelector": {"accelerator": "nvidia-l4"},
        "gpuZonalRedundancyDisabled": True,
        "volumes": [
            {"name": "key", "secret": {"secret": "key", "defaultMode": 256, "items": [{"path": "k", "version": "3", "mode": 292}]}},
            {"name": "sql", "cloudSqlInstance": {"instances": ["p:l:db"]}},
            {"name": "tmp", "emptyDir": {"medium": "MEMORY", "sizeLimit": "64Mi"}},
            {"name": "share", "nfs": {"server": "10.0.0.2", "path": "/share", "readOnly": True}},
            {"name": "bucket", "gcs": {"bucket": "b", "readOnly": True, "mountOptions": ["implicit-dirs"]}},
        ],
        "containers": [
            {
                "name": "chat",
                "image": image,
                "env": [
                    {"name": "MODE", "value": "production"},
                    {"name": "API_TOKEN", "valueSource": {"secretKeyRef": {"secret": "token", "version": "5"}}},
                ],
                "resources": {"limits": {"cpu": "2000m", "memory": "1Gi"}, "startupCpuBoost": True},
                "ports": [{"name": "http1", "containerPort": 8080}],
                "volumeMounts": [
                    {"name": "key", "mountPath": "/key"},
                    {"name": "tmp", "mountPath": "/scratch", "subPath": "a"},
                    {"name": "tmp", "mountPath": "/other"},
                ],
                "startupProbe": {"tcpSocket": {"port": 8080}, "failureThreshold": 30, "periodSeconds": 2, "timeoutSeconds": 1},
                "livenessProbe": {**_PROBE, "httpGet": {"path": "/live", "httpHeaders": [{"name": "X-A", "value": "1"}]}},
                "readinessProbe": {**_PROBE, "grpc": {"port": 8080, "service": "ready"}},
                "dependsOn": ["proxy"],
            },
            {
                "name": "proxy",
                "image": "proxy",
                "command": ["sleep"],
                "args": ["86400"],
                "workingDir": "/srv",
                "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}},
            },
        ],
    }  # fmt: skip


def service(image: str, **changes: Any) -> run_v2.Service:
    """Args: changes: of the template."""
    made = run_v2.Service()
    json_format.ParseDict({**FIELDS, "template": {**template(image), **changes}}, run_v2.Service.pb(made))
    return made


def prepare(folder: Path) -> None:
    """What the template names, in the state folder of the local Cloud Run: secrets, and the proxy's image."""
    catalogue.write(folder, {"proxy": Image(("sleep", "86400"))})
    for secret, version, value in (("token", "5", SECRET), ("key", "3", "of-the-key-3")):
        kept = folder / "secrets" / secret
        kept.mkdir(parents=True, exist_ok=True)
        (kept / version).write_text(value)


def create(services: Any, parent: str, name: str, made: run_v2.Service) -> run_v2.Service:
    """Returns when it serves."""
    operation = services.create_service(parent=parent, service=made, service_id=name)
    return operation.result(timeout=timedelta(minutes=5).total_seconds())


def client_fields(message: Any, *without: str) -> dict[str, Any]:
    """A message of the Admin API as a document, without what Cloud Run says of it and these fields."""
    said = {
        "uid", "generation", "createTime", "updateTime", "observedGeneration", "conditions", "terminalCondition",
        "latestReadyRevision", "latestCreatedRevision", "trafficStatuses", "etag", "reconciling", "lastModifier",
        "creator", "name", "uri", "urls", "deleteTime", "expireTime",
    }  # fmt: skip
    found = json_format.MessageToDict(type(message).pb(message))
    return {key: value for key, value in found.items() if key not in said | set(without)}
