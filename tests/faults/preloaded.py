"""What a forked command finds imported already: all that a rollout and its way back need. No channel is opened here."""

from importlib import import_module

MODULES = """
infra.live infra.program
pipeline.cli.app pipeline.app.images pipeline.app.drive pipeline.app.gate pipeline.cli.main pipeline.app.reporting
google.api_core.retry pipeline.view.live pipeline.cloudrun.client_errors pipeline.cloudrun.deploy pipeline.cloudrun.logs pipeline.cloudrun.service pipeline.cloudrun.stack
pipeline.config.schema pipeline.driving.engine pipeline.driving.first_deployment pipeline.report.journal pipeline.local.channel pipeline.local.provider.service
pipeline.core.plan pipeline.probe.prober pipeline.probe.round pipeline.driving.promote pipeline.report.render pipeline.driving.restore pipeline.driving.begin
tests.faults.breaking tests.faults.forked
"""

for _name in MODULES.split():
    import_module(_name)
