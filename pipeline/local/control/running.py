"""How a revision is run: its template as the data plane takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.local.control.state import DEFAULT_CONCURRENCY, Json, Revision, Service, seconds, serving
from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Mount, Probe, SecretFile
from pipeline.local.state_secrets import LATEST_VERSION

_BEYOND = {
    "vpc_access": "VPC access",
    "node_selector": "GPU",
    "encryption_key": "encryption key",
    "service_mesh": "service mesh",
}
#: Volumes of other kinds than emptyDir and secret.
_VOLUMES = {
    "cloud_sql_instance": "Cloud SQL volume",
    "nfs": "NFS volume",
    "gcs": "Cloud Storage volume",
}
_READABLE = 0o444
_KINDS = {"http_get": "http", "tcp_socket": "tcp", "grpc": "grpc"}


def instance_spec(service: Service, revision: Revision) -> InstanceSpec:
    """How to run one revision, with scaling of its own or else of the service."""
    template = revision.template
    own, of_service = template.get("scaling", {}), service.spec.get("scaling", {})
    # Cloud Run's 100 instances are too many for one machine, so it is 1 unless a number is asked for.
    low, high = (
        own.get(key) or of_service.get(key) or fallback
        for key, fallback in (("min_instance_count", 0), ("max_instance_count", 1))
    )
    containers = container_specs(template, revision.images)
    main = containers.pop(serving(template["containers"]))
    return InstanceSpec(
        service=service.name,
        revision=revision.name,
        container=main,
        sidecars=tuple(containers),
        concurrency=template.get("max_instance_request_concurrency", DEFAULT_CONCURRENCY),
        request_timeout_s=seconds(template["timeout"]),
        session_affinity=template.get("session_affinity", False),
        min_instances=low,
        max_instances=max(low, high),
        left_out=tuple(_left_out(template)),
    )


def _left_out(template: Json) -> Iterator[str]:
    """What is kept and shown, and nothing more."""
    yield from (words for key, words in _BEYOND.items() if template.get(key))
    for volume in template.get("volumes", ()):
        if not {"empty_dir", "secret"} & volume.keys():
            kind = next((words for key, words in _VOLUMES.items() if key in volume), "volume")
            yield f"{kind} '{volume.get('name', '')}'"
    for container in template["containers"]:
        below = [mount for mount in container.get("volume_mounts", ()) if mount.get("sub_path")]
        yield from (f"sub-path '{each['sub_path']}' of volume '{each.get('name', '')}'" for each in below)
        if container.get("working_dir"):
            yield f"working directory {container['working_dir']}"


def container_specs(template: Json, images: Mapping[str, str]) -> list[ContainerSpec]:
    """How to run each container of a template, of a revision's or a task's."""
    volumes = {each.get("name", ""): each for each in template.get("volumes", ())}
    return [_container(each, images, volumes) for each in template["containers"]]


def _container(container: Json, images: Mapping[str, str], volumes: Mapping[str, Json]) -> ContainerSpec:
    env, image = container.get("env", ()), container["image"]
    port = (container.get("ports") or [{}])[0].get("container_port", 0)
    return ContainerSpec(
        image=images.get(image, image),
        name=container.get("name", ""),
        command=tuple(container.get("command", ())),
        args=tuple(container.get("args", ())),
        env={each["name"]: each.get("value", "") for each in env if "value_source" not in each},
        secrets={each["name"]: _secret(each) for each in env if "value_source" in each},
        mounts=tuple(_mounts(container, volumes)),
        depends_on=tuple(container.get("depends_on", ())),
        startup=_probe(container.get("startup_probe"), port),
        liveness=_probe(container.get("liveness_probe"), port),
        readiness=_probe(container.get("readiness_probe"), port),
    )


def _mounts(container: Json, volumes: Mapping[str, Json]) -> Iterator[Mount]:
    for mount in container.get("volume_mounts", ()):
        name, path = mount.get("name", ""), mount.get("mount_path", "")
        volume = {} if mount.get("sub_path") else volumes.get(name, {})
        if "empty_dir" in volume:
            yield Mount(path, name)
        elif "secret" in volume:
            yield Mount(path, name, tuple(_files(volume["secret"])))


def _files(volume: Json) -> Iterator[SecretFile]:
    """Without items, the latest version under the secret's own name."""
    secret, mode = volume.get("secret", ""), volume.get("default_mode") or _READABLE
    for item in volume.get("items") or [{"path": secret.rpartition("/")[2]}]:
        version = item.get("version") or LATEST_VERSION
        yield SecretFile(item.get("path", ""), secret, version, item.get("mode") or mode)


def _secret(variable: Json) -> tuple[str, str]:
    found = variable["value_source"].get("secret_key_ref", {})
    return found.get("secret", ""), found.get("version") or LATEST_VERSION


def _probe(probe: Json | None, container_port: int) -> Probe | None:
    """One that says nothing of how asks by TCP. The container's port is another one on this machine: 0."""
    if probe is None:
        return None
    kind = next((each for each in _KINDS if each in probe), "tcp_socket")
    action = probe.get(kind, {})
    port = action.get("port", 0)
    return Probe(
        kind=_KINDS[kind],
        port=0 if port == container_port else port,
        path=action.get("path") or "/",
        headers=tuple(
            (each.get("name", ""), each.get("value", "")) for each in action.get("http_headers", ())
        ),
        service=action.get("service", ""),
        delay_s=probe.get("initial_delay_seconds", 0),
        timeout_s=probe.get("timeout_seconds") or 1,
        period_s=probe.get("period_seconds") or 10,
        failures=probe.get("failure_threshold") or 3,
    )
