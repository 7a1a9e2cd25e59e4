"""In process: three hands, each in the last moment of an apply, at every stage at which there is one. See ``beside.py``."""

from __future__ import annotations

from functools import partial

import grpc
import pytest

from infra.live import read
from infra.settings import Settings, Template
from pipeline.cloudrun.stack import InProcess
from pipeline.errors import StaleWrite
from pipeline.local.provider.service import LocalProvider
from tests.beside import HANDS, STAGES, Beside, holds
from tests.contract.cloud import Cloud


@pytest.fixture
def case(cloud: Cloud) -> Beside:
    def program(channel: grpc.Channel) -> InProcess:
        return InProcess(LocalProvider(channel), partial(read, channel=cloud.channel))

    def bare(channel: grpc.Channel, settings: Settings) -> str:
        """Nobody has such a command without Pulumi's CLI; what it would do is the same."""
        try:
            program(channel).apply(settings)
        except StaleWrite as error:
            return error.what
        return ""

    settings = Settings("local", "here", cloud.fresh_id(), Template("good"), deletion_protection=False)
    program(cloud.channel).apply(settings)
    return Beside(cloud, settings, program, bare)


@pytest.mark.parametrize("hand", HANDS)
@pytest.mark.parametrize("stage", STAGES)
def test_whoever_writes_beside_an_apply(case: Beside, stage: str, hand: str) -> None:
    holds(case, stage, hand)
