"""What a forked command finds imported already: all that a rollout and its way back need. No channel is opened here."""

from importlib import import_module

MODULES = """
infra.live infra.program
pipeline.cli.app pipeline.cli.catalogue pipeline.cli.driving pipeline.cli.gate pipeline.cli.main pipeline.cli.reporting
pipeline.cli.view pipeline.cloudrun.deploy pipeline.cloudrun.logs pipeline.cloudrun.service pipeline.cloudrun.stack
pipeline.config pipeline.engine pipeline.first pipeline.journal pipeline.local.channel pipeline.local.provider
pipeline.plan pipeline.probe.prober pipeline.promotion pipeline.report.render pipeline.restore pipeline.start
tests.faults.breaking tests.faults.forked
"""

for _name in MODULES.split():
    import_module(_name)
