"""A Google Cloud project, as far as ``doctor`` asks about it: APIs, permissions, quotas, a repository of images.

Google's REST interfaces, by their documented addresses; no client library of each is needed for one question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from msgspec import Struct, field

from pipeline.errors import AccessError, PlatformUnavailable, RequestRejected
from pipeline.rpc import login

_TIMEOUT_S = 10.0
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOG_READS = "logging.googleapis.com/read_requests"


class Transport(Protocol):
    """``requests.Session``, as far as it is used."""

    def request(self, method: str, url: str, **options: Any) -> Any: ...


class Identity(Struct, frozen=True):
    """Who we are. Args: email: empty where the credentials do not tell."""

    kind: str
    email: str

    @property
    def member(self) -> str:
        """As IAM writes it."""
        kind = "serviceAccount" if self.email.endswith(".gserviceaccount.com") else "user"
        return f"{kind}:{self.email}" if self.email else "user:YOU"


class Project(Struct):
    """Args: base: of an API's addresses, by its short name."""

    name: str
    transport: Transport
    base: Callable[[str], str] = "https://{}.googleapis.com".format
    _dates: list[datetime] = field(default_factory=list)

    def enabled(self, apis: Iterable[str]) -> set[str]:
        """Those of these APIs that are enabled. Args: apis: ``run``, ``logging`` ... Raises as ``_ask``."""
        wanted = [f"projects/{self.name}/services/{api}.googleapis.com" for api in apis]
        query = "&".join(f"names={name}" for name in wanted)
        found = self._ask("GET", "serviceusage", f"v1/projects/{self.name}/services:batchGet?{query}")
        return {
            str(each["name"]).rpartition("/")[2].partition(".")[0]
            for each in found.get("services", ())
            if each.get("state") == "ENABLED"
        }

    def granted(self, permissions: Iterable[str]) -> set[str]:
        """Those that we have on the project."""
        return self._test("cloudresourcemanager", f"v1/projects/{self.name}", permissions)

    def granted_on(self, service: str, permissions: Iterable[str]) -> set[str]:
        """Those that we have on a service of Cloud Run, by its full name."""
        return self._test("run", f"v2/{service}", permissions)

    def may_act_as(self, account: str) -> bool:
        """Whether a revision of ours may run as this service account."""
        name = "iam.serviceAccounts.actAs"
        return name in self._test("iam", f"v1/projects/-/serviceAccounts/{account}", [name])

    def may_pull(self, location: str, project: str, repository: str) -> bool:
        """Whether we may read a repository of images."""
        name = "artifactregistry.repositories.downloadArtifacts"
        place = f"v1/projects/{project}/locations/{location}/repositories/{repository}"
        return name in self._test("artifactregistry", place, [name])

    def log_reads_a_minute(self) -> int | None:
        """What Logging grants the project; None where it does not say."""
        metrics = f"v1beta1/projects/{self.name}/services/logging.googleapis.com/consumerQuotaMetrics"
        buckets = (
            bucket
            for metric in self._ask("GET", "serviceusage", metrics).get("metrics", ())
            if metric.get("metric") == _LOG_READS
            for limit in metric.get("consumerQuotaLimits", ())
            for bucket in limit.get("quotaBuckets", ())
        )
        return next((int(each["effectiveLimit"]) for each in buckets if "effectiveLimit" in each), None)

    def time(self) -> datetime | None:
        """Google's time, as the last answer had it; aware."""
        self._ask("GET", "run", f"v2/projects/{self.name}/locations?pageSize=1")
        return self._dates[-1] if self._dates else None

    def _test(self, api: str, resource: str, permissions: Iterable[str]) -> set[str]:
        body = {"permissions": sorted(permissions)}
        return set(self._ask("POST", api, f"{resource}:testIamPermissions", body).get("permissions", ()))

    def _ask(self, method: str, api: str, path: str, body: object = None) -> Mapping[str, Any]:
        """Raises: AccessError, RequestRejected, PlatformUnavailable."""
        import requests
        from google.auth import exceptions

        what = f"{api}.googleapis.com"
        try:
            answer = self.transport.request(method, f"{self.base(api)}/{path}", json=body, timeout=_TIMEOUT_S)
        except exceptions.GoogleAuthError as error:
            raise login.refused(error, what) from error
        except requests.RequestException as error:
            raise PlatformUnavailable(f"{what}: no answer", f"{type(error).__name__}: {error}") from error
        if date := answer.headers.get("Date"):
            self._dates.append(parsedate_to_datetime(date))
        if answer.ok:
            made = answer.json()
            return made if isinstance(made, dict) else {}
        said = _message(answer)
        if answer.status_code in (401, 403):
            raise AccessError(f"{what}: not allowed", said, _fix(api, said, self.name))
        if answer.status_code == 429 or answer.status_code >= 500:
            raise PlatformUnavailable(f"{what}: no answer", said)
        raise RequestRejected(f"{what}: refused", said)


def _message(answer: Any) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


def _fix(api: str, said: str, project: str) -> str:
    if "has not been used" in said or "disabled" in said:
        return f"gcloud services enable {api}.googleapis.com --project {project}"
    return "gcloud auth application-default login, as somebody who may"


def open_project(name: str) -> tuple[Project, Identity]:
    """With the default credentials, refreshed once. Raises AccessError."""
    from google.auth import exceptions
    from google.auth.transport.requests import AuthorizedSession, Request

    try:
        credentials = login.default(scopes=[_SCOPE])
        credentials.refresh(Request())
    except exceptions.GoogleAuthError as error:
        raise login.refused(error, "oauth2.googleapis.com") from error
    email = getattr(credentials, "service_account_email", "") or getattr(credentials, "account", "")
    session: Any = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return Project(name, session), Identity(type(credentials).__module__.rpartition(".")[2], str(email or ""))
