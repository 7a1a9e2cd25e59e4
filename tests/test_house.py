"""The house keeps its shape: who may import whom, which packages are shipped, what the pure core may touch."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path

import pytest

from bench.house import PACKAGES, imports, modules

ROOT = Path(__file__).parent.parent

PURE = (
    "infra.asked",
    "infra.compose",
    "infra.deployment",
    "infra.document",
    "infra.guard",
    "infra.settings",
    "pipeline.model",
    "pipeline.core.actions",
    "pipeline.core.codec",
    "pipeline.cloudrun.log_filter",
    "checks.finding",
    "pipeline.core.plan",
    "pipeline.core.verification",
    "pipeline.probe.command",
    "pipeline.core.plausible",
    "pipeline.judging.clients",
    "pipeline.judging.cohorts",
    "pipeline.judging.counts",
    "pipeline.judging.evidence",
    "pipeline.judging.exposure",
    "pipeline.judging.instances",
    "pipeline.judging.bound",
    "pipeline.judging.certification",
    "pipeline.judging.intake",
    "pipeline.judging.judge",
    "pipeline.judging.judgement",
    "pipeline.judging.probes",
    "pipeline.judging.judgestate",
    "pipeline.judging.metrics",
    "pipeline.judging.offices",
    "pipeline.judging.population",
    "pipeline.judging.reading",
    "pipeline.judging.sockets",
    "pipeline.judging.spans",
    "pipeline.core.promoted",
    "pipeline.core.rollout",
    "pipeline.core.decision",
    "pipeline.core.differs",
    "pipeline.core.draining",
    "pipeline.core.earliest",
    "pipeline.core.fleet",
    "pipeline.core.drift",
    "pipeline.core.intent",
    "pipeline.core.pin",
    "pipeline.core.soak",
    "pipeline.driving.due",
    "pipeline.driving.pace",
    "pipeline.judging.sequential",
    "pipeline.judging.terms",
    "pipeline.judging.trials",
    "pipeline.units",
    "pipeline.doctor.answer",
    "pipeline.scaffold.dockerfile",
    "pipeline.scaffold.watchdog",
    "pipeline.report.document",
    "pipeline.report.writes",
    "pipeline.report.journal_lines",
    "pipeline.report.chart",
    "pipeline.report.banner",
    "pipeline.report.notes",
    "pipeline.report.advice",
    "pipeline.report.checklist",
    "pipeline.report.tally",
    "pipeline.report.timeline",
    "pipeline.report.facts",
    "pipeline.report.left",
    "pipeline.report.figures",
    "pipeline.report.gates",
    "pipeline.report.examples",
    "pipeline.report.junit",
    "pipeline.redact",
    "pipeline.secret_names",
    "pipeline.spellings",
    "pipeline.credentials",
    "pipeline.config.conversation",
    "pipeline.config.expectation",
    "pipeline.config.fields",
    "pipeline.config.framing_key",
    "pipeline.config.known_runs",
    "pipeline.config.steps_section",
    "pipeline.framing.automaton",
    "pipeline.framing.choice",
    "pipeline.framing.patterns",
    "pipeline.framing.centrifugo",
    "pipeline.framing.event_stream",
    "pipeline.framing.fields",
    "pipeline.framing.graphql",
    "pipeline.framing.json_text",
    "pipeline.framing.message_pack",
    "pipeline.framing.names",
    "pipeline.framing.plain_text",
    "pipeline.framing.protocol",
    "pipeline.framing.signalr",
    "pipeline.framing.socket_io",
    "pipeline.telemetry.lines",
    "pipeline.telemetry.order",
    "pipeline.telemetry.settings",
    "pipeline.telemetry.words",
    "pipeline.probe.effects",
    "pipeline.view.flow",
    "pipeline.view.keys",
    "pipeline.probe.ask",
    "pipeline.probe.close_class",
    "pipeline.probe.conversation",
    "pipeline.probe.course",
    "pipeline.probe.machine",
    "pipeline.probe.filling",
    "pipeline.probe.http_text",
    "pipeline.probe.order",
    "pipeline.probe.probe_report",
    "pipeline.probe.request_log",
    "pipeline.probe.result_lines",
    "pipeline.probe.matching",
    "pipeline.probe.route",
    "pipeline.probe.scenario",
    "pipeline.probe.server_errors",
    "pipeline.probe.steps",
    "pipeline.probe.summary",
    "pipeline.probe.templates",
    "pipeline.probe.transcript",
    "pipeline.probe.times",
    "pipeline.probe.verdict",
    "pipeline.local.front.balancer",
    "pipeline.local.images.dockerignore",
    "pipeline.local.run.output_lines",
    "pipeline.local.control.etags",
    "pipeline.local.control.state",
    "pipeline.local.control.writes",
    "pipeline.local.provider.fields",
    "pipeline.local.scheduler.cron",
    "infra.slipped",
)
IMPURE_LIBRARIES = (
    "asyncio", "google", "grpc", "os", "pathlib", "pulumi", "pulumi_gcp", "random", "requests", "secrets", "socket",
    "subprocess", "time", "websockets",
)  # fmt: skip
LIBRARY_HOMES = {
    "google": ("pipeline.cloudrun", "pipeline.local", "pipeline.rpc"),
    "grpc": (
        "pipeline.cloudrun",
        "pipeline.local",
        "pipeline.rpc",
        "infra.live",
        "pipeline.app.wiring",
        "pipeline.app.programs",
    ),  # live, wiring and programs: the type alone
    "pulumi": (
        "infra",
        "pipeline.cloudrun.stack",
        "pipeline.cloudrun.pulumi",
        "pipeline.local.provider.engine",
    ),
    "pulumi_gcp": ("infra",),
    "typer": ("pipeline.cli",),
    "websockets": ("pipeline.probe", "pipeline.demo", "pipeline.local"),
}
#: package -> what it may never import, and why.
FORBIDDEN = {
    "checks": ("pipeline", "infra"),  # parses code; knows no cloud
    "infra": (
        "checks",
        "pipeline.driving.acts",
        "pipeline.driving.engine",
        "pipeline.cli",
        "pipeline.local",
        "pipeline.judging.bound",
        "pipeline.judging.certification",
        "pipeline.judging.intake",
        "pipeline.judging.judge",
        "pipeline.judging.judgement",
        "pipeline.judging.probes",
        "pipeline.core.rollout",
        "pipeline.core.decision",
    ),
    "pipeline.local": (
        "pipeline.driving.acts",
        "pipeline.driving.engine",
        "pipeline.judging.bound",
        "pipeline.judging.certification",
        "pipeline.judging.intake",
        "pipeline.judging.judge",
        "pipeline.judging.judgement",
        "pipeline.judging.probes",
        "pipeline.core.rollout",
        "pipeline.core.decision",
        "pipeline.judging.evidence",
        "pipeline.core.record",
    ),
    "pipeline.app": ("typer", "rich", "pipeline.cli"),  # what a command does, whoever asks for it
    "pipeline.driving": (
        "pipeline.local",
        "pipeline.cloudrun",
        "pipeline.cli",
    ),  # ports only; never the ingress's truth
    "pipeline.judging.evidence": ("pipeline.local",),
    "pipeline.telemetry": ("pipeline", "infra", "checks"),  # runs inside other people's services
    "pipeline.framing": ("pipeline", "infra", "checks"),  # telemetry brings it along
}
#: what a package may import all the same
BROUGHT_ALONG = {"pipeline.telemetry": "pipeline.framing"}


ALL = modules(ROOT)


@cache
def imports_of(module: str) -> frozenset[str]:
    return imports(ALL[module], ALL)


def is_under(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_what_says_pure_is_in_the_list_and_there() -> None:
    said = {
        name for name, path in ALL.items()
        if "PURE" in (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    }  # fmt: skip
    assert sorted(said - set(PURE)) == []
    assert sorted(set(PURE) - said) == []


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_touch_nothing(module: str) -> None:
    touched = {i for i in imports_of(module) if any(is_under(i, bad) for bad in IMPURE_LIBRARIES)}
    assert not touched
    ours = {i for i in imports_of(module) if i.split(".")[0] in PACKAGES}
    assert ours <= {*PURE, "pipeline.errors"}, f"{module} imports something above the pure core"


@pytest.mark.parametrize("library", LIBRARY_HOMES)
def test_libraries_stay_at_home(library: str) -> None:
    strangers = [
        module
        for module in ALL
        if any(is_under(i, library) for i in imports_of(module))
        and not any(is_under(module, home) for home in LIBRARY_HOMES[library])
    ]
    assert not strangers


@pytest.mark.parametrize("package", FORBIDDEN)
def test_layers(package: str) -> None:
    broken = [
        f"{module} -> {imported}"
        for module in ALL
        if is_under(module, package)
        for imported in imports_of(module)
        if any(is_under(imported, bad) for bad in FORBIDDEN[package])
        and not any(is_under(imported, own) for own in (package, BROUGHT_ALONG.get(package, package)))
    ]
    assert not broken


def test_infra_knows_only_the_model_and_the_reader_of_the_pipeline() -> None:
    reader = {"pipeline.cloudrun.service", "pipeline.cloudrun.documents"}
    allowed = {
        "pipeline.model",
        "pipeline.errors",
        "pipeline.redact",
        "pipeline.secret_names",
        "pipeline.credentials",
        *reader,
    }
    ours = {i for m in ALL if is_under(m, "infra") for i in imports_of(m) if is_under(i, "pipeline")}
    assert ours <= allowed


def test_where_a_service_is_is_asked_of_its_ref() -> None:
    """``ServiceRef.is_local`` alone compares the project; the others give the project its name."""
    named = {m for m, path in ALL.items() if "LOCAL_PROJECT" in path.read_text(encoding="utf-8")}
    assert named == {"pipeline.model", "pipeline.config.environments_section", "pipeline.cli.local"}


def test_no_circles() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module in done:
            return
        for imported in sorted(imports_of(module) & ALL.keys()):
            visit(imported, (*path, module))
        done.add(module)

    for module in ALL:
        visit(module, ())


def test_package_list_is_the_folders() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {
        ".".join(p.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for p in (ROOT / package).rglob("__init__.py")
    }
    assert sorted(declared) == sorted(folders)


def test_top_level_is_what_was_agreed() -> None:
    agreed = {"Pulumi.yaml", "pyproject.toml", "README.md", "infra", "pipeline", "tests", "checks"}
    added = {"Makefile", "requirements.lock", "bench", "docs"}
    there = {p.name for p in ROOT.iterdir() if not p.name.startswith(".") and p.suffix != ".egg-info"}
    assert there - agreed - added <= {"build", "node_modules"}
    assert agreed <= there
