"""Addresses behind which many people are: each of their sockets is a client.  PURE.

Theory of operation. A client counts once in a block, since what one person meets is no evidence of many. An address that
makes up more than a fifth of a well-filled block, on many sockets, is an office, whose people would otherwise be one.
That is fair while each of its sockets went to either revision as everybody's did. A load test of the candidate's tag, or
a bot that keeps one cookie, has thousands of sockets on one revision: held against the other's users they would say
whatever the bot does. Such an address is one client, however it fares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log

from pipeline.judging.sequential import against_stable, log_mean
from pipeline.judging.spans import Windows
from pipeline.judging.trials import Trial

_SHARE = 0.2
_NEEDS = 100  # trials in the block: below that, a fifth is a handful, and a handful can be one broken client
_SOCKETS = 20
_ONE_SIDED = log(20)


def offices(trials: Sequence[Trial]) -> set[str]:
    """Clients that may be many people behind one address."""
    if len(trials) < _NEEDS:
        return set()
    runs = Counter(t.client for t in trials)
    many = {client for client, n in runs.items() if n > _SHARE * len(trials)}
    return {c for c in many if len({t.session for t in trials if t.client == c}) >= _SOCKETS}


def split_offices(both: Sequence[tuple[int, Trial]], windows: Windows, *, is_alone: bool) -> set[str]:
    """Those whose sockets came to both revisions as everybody's did.

    Args:
        both: arm (1 is stable) and trial.
        is_alone: nothing is compared, so nothing was split.
    """
    found = offices([trial for _, trial in both])
    return found if is_alone else {c for c in found if not _is_one_sided(c, both, windows)}


def _is_one_sided(client: str, both: Sequence[tuple[int, Trial]], windows: Windows) -> bool:
    """How its runs ended is not asked, so that whom to count never depends on who fails."""
    accepts = {(arm, t.client == client, t.session, t.accepted) for arm, t in both if t.accepted is not None}
    sockets = Counter((windows.of(at), is_own, arm) for arm, is_own, _, at in accepts)
    ratios = []
    for window in {window for window, _, _ in sockets}:
        own_c, own_b, rest_c, rest_b = (sockets[window, own, arm] for own in (True, False) for arm in (0, 1))
        if own_c and not (own_b or rest_b):
            return True  # nobody came to stable, so nobody can say that it came to either
        own, rest = own_c + own_b, rest_c + rest_b
        ratios.append((against_stable(own, own_c, rest, rest_c), against_stable(own, own_b, rest, rest_b)))
    sides = [tuple(map(sum, zip(*side, strict=True))) for side in zip(*ratios, strict=True)]
    return any(log_mean(side) >= _ONE_SIDED for side in sides)
