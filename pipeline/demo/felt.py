"""What the crowd of users felt: counted by the users themselves, the demo's ground truth."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Felt:
    """Counts since the crowd came.

    Args:
        failures: what went wrong ("closed 1011", "no answer") to how often.
        by_revision: conversations by the revision that took them ("?" for those that nobody took).
        failed_by_revision: the bad ones among them.
        first_failed_at: revision to the moment of its first bad conversation, seconds since the epoch.
    """

    conversations: int = 0
    ok: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    by_revision: Mapping[str, int] = field(default_factory=dict)
    failed_by_revision: Mapping[str, int] = field(default_factory=dict)
    first_failed_at: Mapping[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.conversations - self.ok

    def since(self, earlier: Felt) -> Felt:
        """What was felt after an earlier count."""
        return Felt(
            self.conversations - earlier.conversations,
            self.ok - earlier.ok,
            _minus(self.failures, earlier.failures),
            _minus(self.by_revision, earlier.by_revision),
            _minus(self.failed_by_revision, earlier.failed_by_revision),
            {r: at for r, at in self.first_failed_at.items() if r not in earlier.first_failed_at},
        )

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Felt:
        return cls(**json.loads(line))


def _minus(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(now) - Counter(before))
