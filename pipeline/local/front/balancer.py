"""Where a load balancer in front of the services leads a request: by a URL mask on the host, or by a header.  PURE.

    [TAG.]SERVICE.localhost     the mask
    127.0.0.1, localhost        the only service there is
    X-Revision: TAG             where the host names no tag

Source: cloud.google.com/load-balancing/docs/negs/serverless-neg-concepts, URL masks; .../docs/https, X-Forwarded-For.
"""

from __future__ import annotations

from collections.abc import Iterable

HEADER = "x-revision"
ADDRESS = "192.0.2.1"  # the balancer's own, which it appends to X-Forwarded-For after its client's (RFC 5737)
_DOMAIN = ".localhost"


def plain_host(host: str) -> str:
    """The Host line without what the mask reads, as whoever checks it knows it."""
    name, colon, port = host.lower().rpartition(":")
    return f"localhost{colon}{port}" if name.endswith(_DOMAIN) else host


def led(host: str, revision: str, services: Iterable[str]) -> tuple[str, str]:
    """Service, by its resource name, and tag; both empty where nothing is meant.

    Args:
        host: of the request; revision: its header; services: that there are.
    """
    name = host.lower().rpartition(":")[0]
    known = {each.rpartition("/")[2]: each for each in services}
    if not name.endswith(_DOMAIN):
        return (next(iter(known.values())), revision) if len(known) == 1 else ("", "")
    tag, _, short = name.removesuffix(_DOMAIN).rpartition(".")
    return known.get(short, ""), tag or revision
