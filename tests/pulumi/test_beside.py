"""Through Pulumi's engine: three hands, each in the last moment of an apply, at every stage at which there is one.

Which stages there are, and why no others, stands in ``tests/beside.py``; the same cases in process in ``tests/test_beside.py``.
"""

from __future__ import annotations

from functools import partial

import grpc
import pytest
from msgspec.structs import replace
from pulumi import automation

from infra import program
from infra.settings import Settings
from pipeline.cloudrun.pulumi.apply import PulumiCli
from pipeline.cloudrun.pulumi.home import LocalHome
from tests.beside import HANDS, STAGES, Beside, holds
from tests.pulumi.bench import Bench


@pytest.fixture
def case(bench: Bench) -> Beside:
    def cli(channel: grpc.Channel) -> PulumiCli:
        return replace(bench.cli, home=LocalHome(bench.folder, channel))

    def bare(channel: grpc.Channel, settings: Settings) -> str:
        """As from a second checkout: the state is that of the first deployment, and nothing refreshes it.

        What slipped in is told: CLI 3.200 ends well with a warning, later ones fail.
        """
        ours = cli(channel)
        with ours._stack(settings, partial(program.run, ours.read, ours.etag)) as stack:
            try:
                told = stack.up(refresh=False, color="never").stdout
            except automation.CommandError as error:
                told = str(error)
        return told

    settings = bench.settings()
    bench.cli.apply(settings)
    return Beside(bench.cloud, settings, cli, bare)


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize("stage", STAGES)
def test_whoever_writes_beside_an_apply(case: Beside, stage: str, hand: str) -> None:
    holds(case, stage, hand)
