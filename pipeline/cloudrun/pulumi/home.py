"""What Pulumi's CLI is told by its environment, and where its state is.

On the local Cloud Run all of it lies in the state folder: the backend, a home of its own (so that nobody's login or
plugins play a part), and the passphrase of its secrets. In the cloud all of it is the user's.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
from msgspec import Struct

from pipeline import private
from pipeline.redact import SINK

_QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_SKIP_CONFIRMATIONS": "true"}


class CloudHome(Struct, frozen=True):
    """The user's own backend and the real plugin.

    Args:
        project: where ``Pulumi.STACK.yaml`` may say who keeps the stack's secrets, and hold settings of the plugin.
    """

    project: Path
    is_local = False

    @contextmanager
    def opened(self, stack: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """A folder to work in, and what to add to the environment."""
        with TemporaryDirectory(prefix="spillway-") as folder:
            settings = self.project / f"Pulumi.{stack}.yaml"
            if settings.is_file():
                shutil.copy(settings, folder)
            yield folder, _QUIET


class LocalHome(Struct, frozen=True):
    """``pulumi/`` in a local Cloud Run's state folder.

    Args:
        channel: to that local Cloud Run, for its provider.
    """

    folder: Path
    channel: grpc.Channel
    is_local = True

    @contextmanager
    def opened(self, stack: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """As in the cloud; the provider answers as long as the block lasts. Raises OSError."""
        from pipeline.local.provider.engine import PACKAGE, serving

        work = self.folder / "pulumi" / "work" / stack
        private.make_folder(work)
        with serving(self.channel) as port:
            yield str(work), {**self.environment(), "PULUMI_DEBUG_PROVIDERS": f"{PACKAGE}:{port}"}

    def environment(self) -> dict[str, str]:
        """All but the provider. Raises OSError."""
        ours = self.folder / "pulumi"
        for part in ("backend", "home"):
            private.make_folder(ours / part)
        return {
            **_QUIET,
            "PULUMI_BACKEND_URL": (ours / "backend").absolute().as_uri(),
            "PULUMI_HOME": str(ours / "home"),
            "PULUMI_CONFIG_PASSPHRASE": self._passphrase(),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }

    def _passphrase(self) -> str:
        """Of this state folder; made when it is first needed."""
        file = self.folder / "pulumi" / "passphrase"
        if not os.path.exists(file):
            private.write(file, secrets.token_urlsafe(24))
        text = file.read_text(encoding="utf-8").strip()
        SINK.learn(text)
        return text
