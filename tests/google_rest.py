"""Google's REST interfaces as ``doctor`` asks them, behaving as they are documented: a project with what it grants.

A real HTTP server, so that the client, its errors and its headers are the real ones.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from pipeline.cloudrun.project import Project


@dataclass
class Google:
    """One project.

    Args:
        granted: permissions, by the resource that they are granted on; ``""`` is the project.
        refuses: status and message, by API.
        off: how far its clock is from ours.
    """

    name: str = "acme-prd"
    enabled: set[str] = field(default_factory=set)
    granted: dict[str, set[str]] = field(default_factory=dict)
    log_reads: int | None = 60
    refuses: dict[str, tuple[int, str]] = field(default_factory=dict)
    off: timedelta = timedelta(0)
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, query: str, body: Any) -> tuple[int, object]:
        api, _, rest = path.lstrip("/").partition("/")
        self.asked.append(f"{method} {api} {rest}")
        if api in self.refuses:
            code, message = self.refuses[api]
            return code, {"error": {"code": code, "message": message}}
        if rest.endswith(":testIamPermissions") and method == "POST":
            return self._tested(re.sub(r"^v\d/|:testIamPermissions$", "", rest), body["permissions"])
        if rest == f"v1/projects/{self.name}/services:batchGet":
            names = re.findall(r"names=([^&]+)", query)
            states = (
                ("DISABLED", "ENABLED")[name.rpartition("/")[2].partition(".")[0] in self.enabled]
                for name in names
            )
            return 200, {"services": [{"name": n, "state": s} for n, s in zip(names, states, strict=True)]}
        if rest.endswith("/consumerQuotaMetrics"):
            return 200, self._quota()
        if rest == f"v2/projects/{self.name}/locations":
            return 200, {"locations": []}
        return 404, {"error": {"code": 404, "message": f"{rest}: not found"}}

    def _tested(self, resource: str, permissions: list[str]) -> tuple[int, object]:
        key = "" if resource == f"projects/{self.name}" else resource
        if key and key not in self.granted:
            return 404, {"error": {"code": 404, "message": f"{resource}: not found"}}
        held = [name for name in permissions if name in self.granted.get(key, set())]
        return 200, {"permissions": held} if held else {}

    def _quota(self) -> dict[str, object]:
        buckets = [{"effectiveLimit": str(self.log_reads)}] if self.log_reads is not None else []
        limits = [{"quotaBuckets": buckets}]
        return {
            "metrics": [
                {"metric": "logging.googleapis.com/write_requests", "consumerQuotaLimits": [{"quotaBuckets": [{"effectiveLimit": "9"}]}]},
                {"metric": "logging.googleapis.com/read_requests", "consumerQuotaLimits": limits},
            ]
        }  # fmt: skip


@contextmanager
def serving(google: Google) -> Iterator[Project]:
    """The project, reached over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            code, said = google.answer(self.command, path, query, body)
            data = json.dumps(said).encode()
            self.send_response_only(code)
            self.send_header("Date", format_datetime(datetime.now(UTC) + google.off, usegmt=True))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - named by the standard library

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - likewise
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, requests.Session() as session:
        session.trust_env = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield Project(google.name, session, lambda api: f"http://127.0.0.1:{server.server_port}/{api}")
        finally:
            server.shutdown()
            thread.join()
