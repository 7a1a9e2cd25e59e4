"""The candidate's template: what is live, and what is asked of it; what left the file is gone, what is foreign stays."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec.structs import replace

from infra.compose import MADE_ANNOTATION, Composed, compose, made_of
from infra.document import Doc, covers, differences, items, leaves, overlaid, without
from infra.settings import Settings, Template
from pipeline.errors import ConfigError
from pipeline.model import NONCE_VARIABLE, OWN_VARIABLES

LIVE: Doc = {
    "labels": {"team": "chat"},
    "timeout": "300s",
    "serviceAccount": "theirs@p",
    "volumes": [{"name": "tmp", "emptyDir": {}}],
    "containers": [
        {"name": "proxy", "image": "proxy:1"},
        {
            "name": "app",
            "image": "chat:1",
            "ports": [{"name": "http1", "containerPort": 9000}],
            "env": [
                {"name": "MODE", "value": "a"},
                {"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "k"}}},
            ],
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
            "startupProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 3},
        },
    ],
}


def settings(image: str = "chat:2", **template: Any) -> Settings:
    return Settings("p", "l", "chat", Template(image, **template))


def after(asked: Settings, base: Composed | None = None) -> Composed:
    """The next revision on one that was made, with its secret, as it is live."""
    return compose(asked, base.revision, base.with_nonce("hush")) if base else compose(asked, "chat-1", LIVE)


def changed(before: Doc, made: Composed) -> dict[str, tuple[Any, Any]]:
    found = {c.path: (c.before, c.after) for c in differences(before, made.template)}
    return {
        path: values
        for path, values in found.items()
        if MADE_ANNOTATION not in path and not path.endswith(".name")
    }


def test_only_the_image_changes_where_only_an_image_is_asked() -> None:
    assert changed(LIVE, after(settings())) == {"containers[app].image": ("chat:1", "chat:2")}


def test_what_is_asked_is_laid_over_what_is_live() -> None:
    asked = settings(env={"MODE": "b", "NEW": "1", "KEY": "plain"}, cpu="4", timeout_s=60)
    assert changed(LIVE, after(asked)) == {
        "containers[app].image": ("chat:1", "chat:2"),
        "containers[app].env[MODE].value": ("a", "b"),
        "containers[app].env[NEW].value": (None, "1"),
        "containers[app].env[KEY].valueSource.secretKeyRef.secret": ("k", None),
        "containers[app].env[KEY].value": (None, "plain"),
        "containers[app].resources.limits.cpu": ("2", "4"),
        "timeout": ("300s", "60s"),
    }


def test_what_left_the_file_is_gone_and_what_never_was_in_it_stays() -> None:
    fields = {
        "volumes": [{"name": "ours", "gcs": {"bucket": "b"}}],
        "containers": [{"name": "log", "image": "log:1"}],
    }
    first = after(settings(env={"OURS": "1"}, service_account="ours@p", fields=fields))
    second = after(settings("chat:3"), first)
    assert changed(LIVE, second) == {
        "containers[app].image": ("chat:1", "chat:3"),
        "serviceAccount": ("theirs@p", None),
    }
    assert second.cleared == ("serviceAccount",), "the provider's state would put it back"


def test_a_default_of_ours_comes_back_where_we_have_one() -> None:
    first = after(settings(timeout_s=60, port=80, startup_s=10, cpu="4"))
    second = after(settings("chat:3"), first)
    assert second.template["timeout"] == "3600s"
    main = second.template["containers"][1]
    assert main["ports"] == [{"name": "http1", "containerPort": 8080}]
    assert main["resources"]["limits"] == {"cpu": "1", "memory": "1Gi"}
    assert main["startupProbe"]["failureThreshold"] * main["startupProbe"]["periodSeconds"] == 240
    assert not second.cleared


def test_a_container_that_was_there_loses_what_we_set_and_stays() -> None:
    fields = {"containers": [{"name": "proxy", "args": ["-v"]}]}
    first = after(settings(fields=fields))
    assert first.template["containers"][0] == {"name": "proxy", "image": "proxy:1", "args": ["-v"]}
    assert after(settings("chat:3"), first).template["containers"][0] == LIVE["containers"][0]


def test_null_clears_what_is_somebody_elses() -> None:
    made = after(
        settings(fields={"serviceAccount": None, "volumes": None, "labels": {"team": None, "a": "b"}})
    )
    assert "serviceAccount" not in made.template
    assert "volumes" not in made.template
    assert made.template["labels"] == {"a": "b"}


@pytest.mark.parametrize(
    ("key", "gone"),
    [
        ("timeout", "timeout"), ("concurrency", "maxInstanceRequestConcurrency"), ("service_account", "serviceAccount"),
        ("min_instances", "scaling.minInstanceCount"), ("max_instances", "scaling.maxInstanceCount"),
        ("port", "containers[chat].ports"), ("cpu", "containers[chat].resources.limits.cpu"),
        ("memory", "containers[chat].resources.limits.memory"), ("startup", "containers[chat].startupProbe"),
    ],
)  # fmt: skip
def test_a_short_setting_that_is_cleared_leaves_nothing_and_all_else(key: str, gone: str) -> None:
    whole = {
        **LIVE, "timeout": "60s", "maxInstanceRequestConcurrency": 7, "serviceAccount": "a@b",
        "scaling": {"minInstanceCount": 1, "maxInstanceCount": 3},
        "containers": [{
            "name": "chat", "image": "chat:1", "ports": [{"name": "http1", "containerPort": 1}],
            "resources": {"limits": {"cpu": "2", "memory": "1Gi"}}, "startupProbe": {"tcpSocket": {}, "periodSeconds": 3},
        }],
    }  # fmt: skip
    made = compose(settings(cleared=(key,)), "chat-0", whole)
    kept = compose(settings(), "chat-0", whole)
    before, after = leaves(kept.template), leaves(made.template)
    lost = {path for path in before if path not in after}
    assert lost
    assert {covers(gone, path) for path in lost} == {True}
    assert {p: v for p, v in after.items() if "annotations" not in p}.items() <= before.items()
    new = compose(settings(cleared=(key,))).template
    tail = re.compile(rf"(^|\]\.){re.escape(gone.rpartition('].')[2])}\b")
    assert not any(tail.search(path) for path in leaves(new))


def test_one_of_several_takes_the_others_place() -> None:
    probe = {"startupProbe": {"httpGet": {"path": "/up"}}}
    made = after(
        settings(fields={"containers": [probe], "volumes": [{"name": "tmp", "nfs": {"server": "s"}}]})
    )
    assert made.template["containers"][1]["startupProbe"] == {"httpGet": {"path": "/up"}, "periodSeconds": 3}
    assert made.template["volumes"] == [{"name": "tmp", "nfs": {"server": "s"}}]


def test_a_mount_is_found_by_its_volume_and_by_its_place_where_a_volume_has_two() -> None:
    one = [{"name": "a", "mountPath": "/a"}]
    moved = overlaid({"volumeMounts": one}, {"volumeMounts": [{"name": "a", "mountPath": "/b"}]})
    assert moved == {"volumeMounts": [{"name": "a", "mountPath": "/b"}]}
    two = [*one, {"name": "a", "mountPath": "/b"}]
    more = overlaid(
        {"volumeMounts": two}, {"volumeMounts": [{"name": "a", "mountPath": "/b", "subPath": "s"}]}
    )
    assert more == {"volumeMounts": [one[0], {"name": "a", "mountPath": "/b", "subPath": "s"}]}


def test_asked_again_it_is_the_revision_itself() -> None:
    first = after(settings(env={"A": "1"}))
    again = after(settings(env={"A": "1"}), first)
    assert (again.revision, again.is_base) == (first.revision, True)
    assert again.template == first.with_nonce("hush")


def test_the_annotation_of_a_revision_that_was_made_by_hand_says_nothing() -> None:
    first = after(settings(env={"A": "1"}))
    copied = first.with_nonce("hush")
    assert made_of("chat-by-hand", copied) is None
    made = compose(settings(env={}), "chat-by-hand", copied)
    assert "containers[app].env[A].value" in leaves(made.template), "not ours to take away"
    assert f"containers[app].env[{NONCE_VARIABLE}].value" not in leaves(made.template)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        "1",
        '{"revision":"chat-1"}',
        '{"revision":"chat-1","asked":"x","keys":7}',
        '{"revision":"\ud800"',
        "[" * 100_000,
    ],
)
def test_an_annotation_that_cannot_be_read_says_nothing(said: str) -> None:
    assert made_of("chat-1", {"annotations": {MADE_ANNOTATION: said}}) is None


def test_another_scenario_makes_no_other_revision() -> None:
    first = after(settings(env={"A": "1"}))
    told = replace(settings(env={"A": "1"}), telemetry={"SPILLWAY_TELEMETRY": '{"within_s":3}'})
    again = compose(told, first.revision, first.with_nonce("hush", {"SPILLWAY_TELEMETRY": '{"within_s":2}'}))
    assert again.is_base


@pytest.mark.parametrize("name", OWN_VARIABLES)
def test_each_of_our_variables_is_new_in_a_new_revision(name: str) -> None:
    old = compose(settings(), "chat-1", LIVE).with_nonce("a", dict.fromkeys(OWN_VARIABLES[1:], "a"))
    made = compose(settings(env={"A": "1"}), "chat-1", old).with_nonce(
        "b", dict.fromkeys(OWN_VARIABLES[1:], "b")
    )
    (app,) = [each for each in made["containers"] if each.get("name") == "app"]
    assert [each["value"] for each in app["env"] if each["name"] == name] == ["b"]


def test_a_name_never_stands_for_two_contents_and_one_content_has_one() -> None:
    asked = settings(env={"A": "1"})
    one, two = compose(asked, "chat-1", LIVE), compose(asked, "chat-1", {**LIVE, "timeout": "301s"})
    assert one.revision != two.revision != compose(asked).revision
    secret = replace(one, template=LIVE).with_nonce("hush")
    assert compose(asked, "chat-1", secret).revision == one.revision
    told = replace(one, template=LIVE).with_nonce(
        "hush", {"SPILLWAY_TELEMETRY": "{}", "SPILLWAY_CLIENT": "{}"}
    )
    assert compose(asked, "chat-1", told).revision == one.revision, (
        "what the middleware is told is no content"
    )
    moved = {**LIVE, "labels": {**LIVE["labels"]}, "sessionAffinity": False}
    assert compose(asked, "chat-1", moved).revision == one.revision, "a zero is not set"


def test_a_candidate_that_was_given_up_leaves_nothing() -> None:
    after(settings("chat:bad", env={"EXTRA": "1"}))
    assert not [path for path in leaves(after(settings("chat:3")).template) if "EXTRA" in path]


def test_reserved_keys_are_left_to_cloud_run() -> None:
    notes = {"run.googleapis.com/launch": "x", "example.com/a": "y"}
    made = compose(settings(), "chat-1", {**LIVE, "annotations": notes})
    assert set(made.template["annotations"]) == {"example.com/a", MADE_ANNOTATION}


def test_the_image_of_the_container_that_serves_is_given_beside_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        after(settings(fields={"containers": [{"name": "app", "image": "x"}]}))
    assert "--image" in caught.value.fix


def test_a_label_with_the_name_of_a_field_is_a_label() -> None:
    live = {**LIVE, "labels": {"env": "a", "volumes": "", "connector": "c", "value": "d"}}
    made = compose(
        settings(fields={"labels": {"env": "b", "networkInterfaces": "e", "valueSource": "f"}}),
        "chat-1",
        live,
    )
    assert made.template["labels"] == live["labels"] | {
        "env": "b",
        "networkInterfaces": "e",
        "valueSource": "f",
    }
    gone = compose(settings(), made.revision, made.with_nonce("hush"))
    assert gone.template["labels"] == {"volumes": "", "connector": "c", "value": "d"}
    assert [c.path for c in differences({"labels": {"a": ""}}, {})] == ["labels.a"], "an empty label is one"


def test_two_containers_cannot_both_be_the_one_that_serves() -> None:
    for entries in ([{"name": "app"}, {}], [{"args": ["a"]}, {"name": "app"}]):
        with pytest.raises(ConfigError) as caught:
            after(settings(fields={"containers": entries}))
        assert "both be the container that serves" in caught.value.what
    with pytest.raises(ConfigError) as caught:
        compose(settings(fields={"containers": [{"name": "a"}, {"name": "b"}]}))
    assert "a and b" in caught.value.what


def test_a_container_that_is_not_there_yet_needs_an_image() -> None:
    with pytest.raises(ConfigError) as caught:
        after(settings(fields={"containers": [{"name": "aap", "args": ["a"]}]}))
    assert caught.value.what == "container.template.containers: aap has no image"
    assert "app" in caught.value.why


def test_the_keys_are_of_this_revision_and_read_back() -> None:
    fields = {
        "vpcAccess": {"connector": "c"},
        "containers": [{"name": "log", "image": "i"}, {"name": "proxy", "args": ["x"]}],
    }
    made = after(settings(env={"A": "1"}, concurrency=5, fields=fields))
    said = made_of(made.revision, json.loads(json.dumps(made.template)))
    assert said is not None
    assert set(said.keys) == {
        "maxInstanceRequestConcurrency", "vpcAccess.connector", "container.env[A]", "containers[log]", "containers[proxy].args",
    }  # fmt: skip


def test_paths() -> None:
    assert covers("a", "a.b")
    assert covers("a", "a[b].c")
    assert not covers("a", "ab")
    assert list(items("env", [{"name": "A"}, {}])) == ["A", "1"]
    assert without({"a": {"b": 1}, "c": 2}, ["a.b"]) == {"c": 2}
    assert leaves({"labels": {"x.y/z": "1"}, "emptyDir": {}, "n": 0}) == {
        "labels[x.y/z]": "1",
        "emptyDir": {},
    }


def test_two_askings_differ_when_anything_of_the_template_does() -> None:
    plain = settings()
    others = [
        settings("chat:3"),
        settings(env={"A": "1"}),
        settings(concurrency=80),
        settings(fields={"timeout": "1s"}),
    ]
    assert len({json.dumps(each.asked) for each in (plain, *others)}) == 5
    assert replace(plain, waive=("x",), deletion_protection=False).asked == plain.asked
