"""``container: template:`` and ``service:``: the API's own words, and a complaint with its place for what is none."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import schema, template_section
from pipeline.config.template_section import SERVICE, TEMPLATE
from pipeline.credentials import of_config
from pipeline.errors import ConfigError

HEAD = """\
service: chat
environments: {staging: {project: acme-stg, region: us-central1}}
scenarios:
  run: {path: /ws, send: {type: hello}, expect: [done]}
container:
"""

WHOLE = """
  template:
    labels: {tier: front}
    service_account: chat@p.iam.gserviceaccount.com
    timeout: 5m
    maxInstanceRequestConcurrency: 20
    vpc_access: {connector: projects/p/locations/l/connectors/c, egress: ALL_TRAFFIC}
    node_selector: {accelerator: nvidia-l4}
    service_mesh: null
    volumes:
      - {name: key, secret: {secret: key, items: [{path: k, version: "3"}]}}
      - {name: sql, cloud_sql_instance: {instances: [p:l:db]}}
      - {name: bucket, gcs: {bucket: b, mount_options: [implicit-dirs]}}
    containers:
      - env: [{name: TOKEN, value_source: {secret_key_ref: {secret: token, version: latest}}}]
        command: [/serve]
        volume_mounts: [{name: key, mount_path: /key}]
        liveness_probe: {http_get: {path: /live}, period_seconds: 7}
        source_code: {cloud_storage_source: {bucket: b, object: o, generation: 7}}
      - {name: proxy, image: "proxy@sha256:1", resources: {limits: {cpu: 500m}, cpuIdle: yes}}
  service: {description: a chat, custom_audiences: [https://a], scaling: {scaling_mode: AUTOMATIC}}
"""


def test_what_is_written_in_either_spelling_is_the_apis_json() -> None:
    container = schema.parse(HEAD + WHOLE).container
    made = template_section.as_document(TEMPLATE, container.template)
    first, proxy = made.pop("containers")
    assert made == {
        "labels": {"tier": "front"}, "serviceAccount": "chat@p.iam.gserviceaccount.com", "timeout": "300s",
        "maxInstanceRequestConcurrency": 20, "nodeSelector": {"accelerator": "nvidia-l4"}, "serviceMesh": None,
        "vpcAccess": {"connector": "projects/p/locations/l/connectors/c", "egress": "ALL_TRAFFIC"},
        "volumes": [
            {"name": "key", "secret": {"secret": "key", "items": [{"path": "k", "version": "3"}]}},
            {"name": "sql", "cloudSqlInstance": {"instances": ["p:l:db"]}},
            {"name": "bucket", "gcs": {"bucket": "b", "mountOptions": ["implicit-dirs"]}},
        ],
    }  # fmt: skip
    assert first["env"] == [
        {"name": "TOKEN", "valueSource": {"secretKeyRef": {"secret": "token", "version": "latest"}}}
    ]
    assert first["sourceCode"]["cloudStorageSource"] == {"bucket": "b", "object": "o", "generation": "7"}
    assert first["livenessProbe"] == {"httpGet": {"path": "/live"}, "periodSeconds": 7}
    assert proxy["resources"] == {"limits": {"cpu": "500m"}, "cpuIdle": True}
    assert template_section.as_document(SERVICE, container.service) == {
        "description": "a chat", "customAudiences": ["https://a"], "scaling": {"scalingMode": "AUTOMATIC"},
    }  # fmt: skip


def complaint(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        schema.parse(HEAD + text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("  template:\n    servce_account: x\n", "7:5", "did you mean service_account?"),
        ("  template:\n    serviceAcount: x\n", "7:5", "did you mean serviceAccount?"),
        ("  template:\n    volumes:\n      - {name: v, emptydir: {}}\n", "8:19", "did you mean empty"),
        ("  template:\n    timeout: 300\n", "7:5", "timeout"),
        ("  template:\n    max_instance_request_concurrency: '80'\n", "7:5", "must be a whole number"),
        ("  template:\n    session_affinity: 1\n", "7:5", "must be true or false"),
        ("  template:\n    containers: {image: x}\n", "7:5", "must be a list"),
        ("  template:\n    containers: [x]\n", "7:18", "must be a mapping"),
        ("  template:\n    containers:\n      - command: [1]\n", "8:19", "must be text"),
        ("  template:\n    labels: {a: 1}\n", "7:14", "must be text"),
        ("  template:\n    vpc_access: {egress: ALL_TRAFIC}\n", "7:18", "did you mean ALL_TRAFFIC?"),
        ("  template:\n    revision: chat-1\n", "7:5", "named after its content"),
        ("  template:\n    containers: [{image: x}]\n", "7:19", "--image"),
        ("  template:\n    containers: [{env: [{value: x}]}]\n", "7:25", "needs a name"),
        ("  template:\n    containers: [{env: [{name: SPILLWAY_NONCE}]}]\n", "7:25", "Spillway's own"),
        ("  template:\n    containers: [{env: [{name: SPILLWAY_TELEMETRY}]}]\n", "7:25", "Spillway's own"),
        ("  env: {SPILLWAY_CLIENT: x}\n", "6:9", "Spillway's own"),
        ("  template:\n    annotations: {run.googleapis.com/x: a}\n", "7:19", "namespace"),
        ("  template:\n    annotations: {spillway.revision/made: a}\n", "7:19", "Spillway's own"),
        ("  service:\n    labels: {serving.knative.dev/x: a}\n", "7:14", "namespace"),
        ("  service:\n    etag: x\n", "7:5", "takes it from nobody"),
        ("  service:\n    template: {}\n", "7:5", "under container:"),
        ("  service:\n    traffic: []\n", "7:5", "the rollout moves it"),
        ("  service:\n    client: gcloud\n", "7:5", "Cloud Run's tools"),
        ("  service:\n    ingress: INGRESS_TRAFFIC_NONE\n", "7:5", "cannot be rolled out to"),
        ("  service:\n    default_uri_disabled: true\n", "7:5", "must stay enabled"),
        ("  service:\n    ingres: INGRESS_TRAFFIC_ALL\n", "7:5", "did you mean ingress?"),
        ("  waive: ['']\n", "6:11", "must not be empty"),
    ],
)  # fmt: skip
def test_a_complaint_has_its_place_and_says_what_was_meant(text: str, place: str, told: str) -> None:
    error = complaint(text)
    assert error.what.startswith(f"spillway.yaml:{place}: container.")
    assert told in error.what


@pytest.mark.parametrize(
    ("short", "field"),
    [
        ("timeout: 5m", "timeout: 60s"),
        ("concurrency: 8", "max_instance_request_concurrency: 9"),
        ("service-account: a", "serviceAccount: b"),
        ("min-instances: 1", "scaling: {min_instance_count: 2}"),
        ("max-instances: 1", "scaling: {maxInstanceCount: 2}"),
        ("port: 80", "containers: [{ports: [{container_port: 81}]}]"),
        ("cpu: '1'", "containers: [{resources: {limits: {cpu: '2'}}}]"),
        ("memory: 1Gi", "containers: [{name: chat, resources: {limits: {memory: 2Gi}}}]"),
        ("startup: 9s", "containers: [{startup_probe: {tcp_socket: {}}}]"),
        ("env: {A: '1'}", "containers: [{env: [{name: A, value: '2'}]}]"),
    ],
)
def test_what_is_said_twice_is_refused(short: str, field: str) -> None:
    schema.parse(f"{HEAD}  template: {{{field}}}\n")
    error = complaint(f"  {short}\n  template: {{{field}}}\n")
    assert "already: leave one of them out" in error.what
    assert error.what.startswith("spillway.yaml:7:")


def test_two_keys_of_one_field_go_together() -> None:
    text = "  cpu: '1'\n  env: {A: '1'}\n  template: {containers: [{resources: {limits: {memory: 1Gi}}, env: [{name: B, value: b}]}]}\n"
    assert schema.parse(HEAD + text).container.cpu == "1"


def test_a_secret_in_the_apis_words_is_a_secret() -> None:
    env: list[dict[str, Any]] = [
        {"name": "API_TOKEN", "value": "open-sesame"},
        {"name": "DB", "value_source": {"secret_key_ref": {"secret": "database-login"}}},
    ]
    tree = {"container": {"template": {"containers": [{"env": env}]}}}
    assert of_config(tree, {}) == ("open-sesame",)


def test_to_let_a_field_go_is_no_other_rollout_and_to_name_one_is() -> None:
    def fingerprint(text: str) -> str:
        return schema.parse(f"{HEAD}  {text}\n").fingerprint()

    plain = fingerprint("deletion-protection: true")
    assert fingerprint("waive: [scaling]") == plain
    assert fingerprint("concurrency: 80") != plain
    assert fingerprint("template: {session_affinity: true}") != plain


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("{max_instance_request_concurrency: 1, maxInstanceRequestConcurrency: 2}", "6:51", "twice"),
        ("{containers: [{working_dir: /a, workingDir: /b}]}", "6:45", "twice"),
        ("{max_instance_request_concurrency: 99999999999}", "6:14", "at most 2147483647, got 99999999999"),
        ("{containers: [{ports: [{container_port: -1}]}]}", "6:37", "at least 0"),
        ("{volumes: [{name: a, secret: {secret: s}, empty_dir: {}}]}", "6:55", "excludes secret"),
        ("{volumes: [{name: a, secret: {secret: s}}, {name: a, empty_dir: {}}]}", "6:56", "a stands here twice"),
        ("{volumes: [{secret: {secret: s}}]}", "6:24", "a volume needs a name"),
        ("{containers: [{volume_mounts: [{mount_path: /a}]}]}", "6:44", "a mount needs a name"),
        ("{containers: [{volume_mounts: [{name: a, mount_path: /a}, {name: a, mountPath: /a}]}]}", "6:71", "twice"),
        ("{containers: [{env: [{name: A, value: a}, {name: A, value: b}]}]}", "6:55", "A stands here twice"),
        ("{containers: [{env: [{name: A, value: a, value_source: {secret_key_ref: {secret: t}}}]}]}", "6:54", "excludes value"),
        ("{containers: [{startup_probe: {http_get: {path: /}, tcp_socket: {port: 1}}}]}", "6:65", "excludes httpGet"),
        ("{containers: [{name: a, image: x}, {name: a, image: y}]}", "6:48", "a stands here twice"),
        ("{containers: [{command: [a]}, {args: [b]}]}", "6:43", "a container without a name stands here twice"),
        ("{containers: [{name: [a]}]}", "6:28", "must be text"),
        ("{containers: [{volume_mounts: [{name: {}, mount_path: [a]}]}]}", "6:45", "must be text"),
        ("{vpc_access: {connector: c, network_interfaces: [{network: n}]}}", "6:41", "excludes connector"),
    ],
)  # fmt: skip
def test_of_two_wishes_for_one_thing_none_wins_in_silence(text: str, place: str, told: str) -> None:
    error = complaint(f"  template: {text}\n")
    assert error.what.startswith(f"spillway.yaml:{place}: container.template."), error.what
    assert told in error.what


def test_a_volume_may_be_mounted_at_two_places_and_null_excludes_nothing() -> None:
    text = (
        "  template: {vpc_access: {connector: null, network_interfaces: [{network: n}]},"
        " containers: [{volume_mounts: [{name: a, mount_path: /a}, {name: a, mount_path: /b}]}]}\n"
    )
    assert schema.parse(HEAD + text).container.template


@pytest.mark.parametrize(
    ("written", "sent"),
    [("14d", "1209600s"), ("1234567s", "1234567s"), ("1.5s", "1.500s"), ("100ms", "0.100s"), ("5m", "300s")],
)
def test_a_duration_is_sent_to_the_last_digit_as_the_api_writes_it(written: str, sent: str) -> None:
    text = f"  template: {{encryption_key_shutdown_duration: {written}}}\n"
    made = template_section.as_document(TEMPLATE, schema.parse(HEAD + text).container.template)
    assert made == {"encryptionKeyShutdownDuration": sent}


def test_a_short_key_with_underscores_is_the_same_key() -> None:
    assert (
        "leave one of them out" in complaint("  service_account: a\n  template: {service_account: b}\n").what
    )


@pytest.mark.parametrize("short", [*template_section._SHORT, "min_instances"])
def test_null_for_a_short_key_clears_what_it_stands_for(short: str) -> None:
    container = schema.parse(f"{HEAD}  {short}: null\n").container
    assert container.cleared == (short.replace("-", "_"),)
    assert schema.parse(f"{HEAD}  env: {{}}\n").container.cleared == ()


def test_null_and_a_value_for_one_field_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"container\.memory says resources\.limits\.memory already"):
        schema.parse(
            f"{HEAD}  memory: null\n  template: {{containers: [{{resources: {{limits: {{memory: 1Gi}}}}}}]}}\n"
        )
