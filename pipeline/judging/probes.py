"""What probe conversations say of the candidate: bets of their own, never pooled with users.  PURE.

Theory of operation. Probes fail now and then for reasons of the network, so one failure is a reason to ask again and no
evidence. What is asked then, a few conversations with the candidate and as many with stable at the same moments, enters
as one block of the comparison of ``sequential.py``. That the asking began with a failure costs nothing: what follows
it is judged given what was seen before, and the failure itself does not count. H0: in every block the candidate fails no
more often than stable.

Nine tenths of the bet are staked on the comparison and one tenth on the limit test, which acts where no stable could be
asked (a first deployment). Both together are one bet, and a tenth of all bets of the rollout (``bound.py``): alone it
must reach 10/alpha. Two blocks of 5 of 5 against 0 of 5 come to 18,433. Nothing is held back for late faults: while
nothing fails nothing is lost.

A failure that was neither proved nor explained leaves a doubt: the stage passes once its conversations rule out at
1/beta that one in five fails.
"""

from __future__ import annotations

from math import inf, log

from msgspec import Struct, field, structs
from msgspec.structs import replace

from pipeline.judging import sequential
from pipeline.judging.counts import Counts
from pipeline.judging.sequential import Bets

LIMIT = 0.1  # failure rate of conversations that is allowed where no stable can be asked
DOUBTED = 0.2  # failure rate that must be ruled out once a conversation of the stage failed
_ON_STABLE, _ON_LIMIT = log(0.9), log(0.1)
_MOST = 10**9  # of conversations


class Round(Struct, frozen=True):
    """What one round showed.

    Args:
        ok, bad: conversations with the candidate at this stage, those of ``confirming`` among them.
        confirming: each block of conversations that followed a failure; without stable's where there is none.
        cause: how most of those with the candidate failed, in words; decides nothing.
    """

    ok: int = 0
    bad: int = 0
    confirming: tuple[Counts, ...] = ()
    cause: str = ""


class Probes(Struct, frozen=True):
    """All rounds of a rollout.

    Args:
        ok, bad: conversations with the candidate at this stage, in so many ``rounds``.
        confirming: all that followed failures, of the whole rollout.
        compared, limited: logarithms of the bets, one per effect size.
    """

    ok: int = 0
    bad: int = 0
    rounds: int = 0
    confirming: Counts = field(default_factory=Counts)
    compared: Bets = (0.0,) * len(sequential.ODDS)
    limited: Bets = (0.0,) * len(sequential.limit_grid(LIMIT))

    @property
    def log_e(self) -> float:
        """log of the whole bet, which began at 1."""
        parts = (
            _ON_STABLE + sequential.log_mean(self.compared),
            _ON_LIMIT + sequential.log_mean(self.limited),
        )
        return sequential.log_sum(parts)

    @property
    def words(self) -> str:
        """What followed failures, in figures."""
        c = self.confirming
        beside = (
            f"{c.stable_failures} of {c.stable_trials} on stable"
            if c.stable_trials
            else f"a limit of {LIMIT:.0%}"
        )
        return f"{c.candidate_failures} of {c.candidate_trials} probe conversations failed, against {beside}"


def observe(state: Probes, seen: Round) -> Probes:
    """Take one round in."""
    held = seen.ok + seen.bad > 0
    state = replace(state, ok=state.ok + seen.ok, bad=state.bad + seen.bad, rounds=state.rounds + held)
    for counts in seen.confirming:
        state = _played(state, counts)
    return state


def _played(state: Probes, counts: Counts) -> Probes:
    n, x, beside, failed = (
        counts.candidate_trials, counts.candidate_failures, counts.stable_trials, counts.stable_failures,
    )  # fmt: skip
    state = replace(state, confirming=state.confirming + counts)
    if beside:
        ratios = sequential.against_stable(n, x, beside, failed)
        return replace(state, compared=sequential.step(state.compared, ratios, -inf))
    ratios = sequential.against_limit(n, x, LIMIT)
    return replace(state, limited=sequential.step(state.limited, ratios, -inf))


def next_stage(state: Probes) -> Probes:
    """The next stage holds its own conversations; the bets go on."""
    return replace(state, ok=0, bad=0, rounds=0)


def doubt(state: Probes, beta: float) -> int:
    """Clean conversations that this stage still owes because some failed; 0 where there is nothing to doubt."""
    held = state.ok + state.bad
    if not state.bad or sequential.below_level(held, state.bad, DOUBTED) >= -log(beta):
        return 0
    return sequential.more_to_certify(held, state.bad, DOUBTED, beta)


def unsure(state: Probes, beta: float) -> str:
    """Why the stage may not pass for its probes, in words; empty when it may."""
    if not state.ok:
        return "no green probe round at this stage yet"
    owed = doubt(state, beta)
    if not owed:
        return ""
    c = state.confirming
    beside = f" ({c.stable_failures} of {c.stable_trials} on stable)" if c.stable_trials else ""
    held = state.ok + state.bad
    return f"{state.bad} of {held} probe conversations failed{beside}: {owed} more without a failure clear it"


def fits(state: Probes) -> bool:
    """Whether a state that was read has every bet, of the right size."""
    sizes = len(state.compared), len(state.limited)
    known = len(sequential.ODDS), len(sequential.limit_grid(LIMIT))
    c = state.confirming
    counts = state.ok, state.bad, state.rounds, *structs.astuple(c)
    if not all(0 <= count <= _MOST for count in counts):
        return False
    if c.candidate_failures > c.candidate_trials or c.stable_failures > c.stable_trials:
        return False
    return sizes == known and all(bet == bet for bet in (*state.compared, *state.limited))  # noqa: PLR0124 - NaN


def grown(bet: float) -> Probes:
    """As large, written down, as a rollout can make it."""
    compared, limited = (bet,) * len(sequential.ODDS), (bet,) * len(sequential.limit_grid(LIMIT))
    return Probes(_MOST, _MOST, _MOST, Counts(*(_MOST,) * 4), compared, limited)
