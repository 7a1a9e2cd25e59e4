"""Calls of the REST face of the local Cloud Run, as HTTP clients of other makes send them, and what they are told."""

from __future__ import annotations

import json
from typing import Any

import requests

from tests.contract.cloud import OUR_PARENT, Cloud

SERVICES = f"/v2/{OUR_PARENT}/services"
SPEC: dict[str, Any] = {"template": {"containers": [{"image": "good"}]}}
JSON = {"Content-Type": "application/json"}


def call(cloud: Cloud, verb: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    """One call. ``body`` is sent as JSON, or as it is if it is bytes; ``path`` is not touched."""
    assert cloud.rest
    assert cloud.rest.credentials
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {**({} if data is None else JSON), **headers}
    with requests.Session() as session:
        session.trust_env = False
        asked = session.prepare_request(requests.Request(verb, cloud.rest.url, data=data, headers=given))
        asked.url = f"{cloud.rest.url}{path}"
        cloud.rest.credentials.apply(asked.headers)
        return session.send(asked, timeout=60)


def error(answer: requests.Response) -> dict[str, Any]:
    """The error of an answer, whose shape is Google's whatever went wrong."""
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    found = answer.json()["error"]
    assert set(found) == {"code", "message", "status", "details"}
    assert found["code"] == answer.status_code
    assert "Traceback" not in found["message"]
    return found


def refused(answer: requests.Response, code: int, status: str) -> str:
    found = error(answer)
    assert (found["code"], found["status"]) == (code, status), found
    return str(found["message"])


def made(cloud: Cloud, **fields: Any) -> str:
    """The path of a service that runs."""
    service_id = cloud.fresh_id()
    operation = call(cloud, "POST", f"{SERVICES}?serviceId={service_id}", {**SPEC, **fields}).json()
    assert call(cloud, "POST", f"/v2/{operation['name']}:wait", {"timeout": "60s"}).json()["done"]
    return f"{SERVICES}/{service_id}"


def get(cloud: Cloud, path: str) -> Any:
    answer = call(cloud, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()
