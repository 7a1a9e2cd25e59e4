"""Cloud Monitoring's API v3: Google's messages, without its clients."""

from __future__ import annotations

from pipeline.rpc.deferred import defer

defer("google.cloud.monitoring_v3", "types")
from google.cloud.monitoring_v3 import gapic_version  # noqa: E402 - only now it is deferred
from google.cloud.monitoring_v3 import types as monitoring_v3  # noqa: E402

__all__ = ["gapic_version", "monitoring_v3"]
