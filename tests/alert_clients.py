"""The calls of Google's clients for metrics, policies and channels, over HTTP and JSON, where those have gRPC alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc
import requests
from google.api_core.exceptions import exception_class_for_grpc_status
from google.cloud import monitoring_v3
from google.cloud.logging_v2.types import LogMetric
from google.protobuf import json_format


class Http:
    """The three clients at one address."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self.metrics: Any = _Client(self, "v2", "metrics", "put", "log_metric", LogMetric)
        self.policies: Any = _Client(
            self, "v3", "alertPolicies", "patch", "alert_policy", monitoring_v3.AlertPolicy, plural="alert_policies"
        )  # fmt: skip
        self.channels: Any = _Client(
            self,
            "v3",
            "notificationChannels",
            "patch",
            "notification_channel",
            monitoring_v3.NotificationChannel,
        )

    def call(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        """The answer's JSON. Raises what Google's clients raise for the status that an error names."""
        with requests.Session() as session:
            session.trust_env = False
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = session.request(verb, f"{self._url}/{path}", params=query, json=body, headers=headers)
        if answer.status_code == 200:
            return answer.json()
        error = answer.json()["error"]
        assert error["code"] == answer.status_code
        raise exception_class_for_grpc_status(getattr(grpc.StatusCode, error["status"]))(error["message"])


class _Client:
    """One of them: ``create_X``, ``get_X``, ``list_Xs``, ``update_X`` and ``delete_X`` as Google spells them."""

    def __init__(
        self, http: Http, version: str, folder: str, verb: str, one: str, message: Any, plural: str = ""
    ) -> None:
        self._http, self._version, self._folder, self._verb, self._message = (
            http,
            version,
            folder,
            verb,
            message,
        )
        for name in ("create", "get", "update", "delete"):
            setattr(self, f"{name}_{one}", getattr(self, f"_{name}"))
        setattr(self, f"list_{plural or f'{one}s'}", self._list)

    def verify_notification_channel(self, *, name: str, code: str) -> Any:
        return self._http.call("post", f"{self._version}/{name}:verify", {"code": code})

    def _create(self, *, parent: str = "", name: str = "", **given: Any) -> Any:
        (message,) = given.values()
        path = f"{self._version}/{parent or name}/{self._folder}"
        return self._read(self._http.call("post", path, self._written(message)))

    def _get(self, **named: str) -> Any:
        (name,) = named.values()
        return self._read(self._http.call("get", self._path(name)))

    def _update(self, *, metric_name: str = "", update_mask: Any = None, **given: Any) -> Any:
        (message,) = given.values()
        query = {"updateMask": ",".join(map(_camel, update_mask["paths"]))} if update_mask else {}
        path = self._path(metric_name or message.name)
        return self._read(self._http.call(self._verb, path, self._written(message), **query))

    def _delete(self, *, force: bool = False, **named: str) -> None:
        (name,) = named.values()
        assert self._http.call("delete", self._path(name), **({"force": "true"} if force else {})) == {}

    def _list(self, *, parent: str = "", name: str = "", request: Any = None) -> _Listed:
        request = request or {"parent": parent or name}
        query = {"pageSize": request.get("page_size", 0)}
        return _Listed(self, f"{self._version}/{request['parent']}/{self._folder}", query)

    def _path(self, name: str) -> str:
        project, folder, own = re.fullmatch(r"(projects/[^/]+)/([^/]+)/(.+)", name).groups()  # type: ignore[union-attr]
        return f"{self._version}/{project}/{folder}/{quote(own, safe='')}"

    def _written(self, message: Any) -> Any:
        return json_format.MessageToDict(self._message.pb(message))

    def _read(self, found: Any) -> Any:
        return self._message(json_format.ParseDict(found, self._message.pb()()))


class _Listed:
    def __init__(self, client: _Client, path: str, query: dict[str, Any]) -> None:
        self._client, self._path, self._query = client, path, query

    @property
    def pages(self) -> Iterator[Any]:
        token = ""
        while True:
            found = self._client._http.call("get", self._path, **self._query, pageToken=token)
            yield _Page([self._client._read(one) for one in found.get(self._client._folder, ())])
            token = found.get("nextPageToken", "")
            if not token:
                return

    def __iter__(self) -> Iterator[Any]:
        return (one for page in self.pages for one in page.metrics)


class _Page:
    def __init__(self, metrics: list[Any]) -> None:
        self.metrics = metrics


def _camel(path: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), path)
