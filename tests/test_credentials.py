"""Which values of a configuration are secret: enough of them, and not the words that output is made of."""

from __future__ import annotations

import base64
import json
import random
import secrets as secrets_module
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from pipeline.config import yamltree
from pipeline.credentials import looks_random, of_config, of_environment
from pipeline.redact import REDACTED, Redactor
from pipeline.secret_names import is_secret_name, secrets_of

SECRET = "hunter2-Passw0rd"


def learnt(text: str, **environment: str) -> tuple[str, ...]:
    return of_config(yamltree.parse(text, "spillway.yaml").value, environment)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("container: {env: {DB_PASSWORD: S}}", id="a variable of the container"),
        pytest.param("images: {good: {env: {API_KEY: S}}}", id="a variable of an image"),
        pytest.param("images: {good: {command: [run, --token, S]}}", id="a flag's value"),
        pytest.param("images: {good: {command: [run, --api-key=S]}}", id="a flag with its value"),
        pytest.param("images: {good: {command: [env, AUTH_TOKEN=S, run]}}", id="an assignment"),
        pytest.param("scenarios: {a: {headers: {Authorization: Bearer S}}}", id="a header's credential"),
        pytest.param("scenarios: {a: {headers: {X-Api-Key: S}}}", id="a header"),
        pytest.param("scenarios: {a: {headers: {Cookie: sid=1; S}}}", id="a cookie"),
        pytest.param("scenarios: {a: {path: /ws?token=S}}", id="a query"),
        pytest.param("scenarios: {a: {path: '/ws?x=1&access_token=S#f'}}", id="a later part of a query"),
        pytest.param("scenarios: {a: {http: [{path: /login?password=S}]}}", id="a step's query"),
        pytest.param("scenarios: {a: {http: [{path: /me, body: {user.token: S}}]}}", id="an expected body"),
        pytest.param("scenarios: {a: {send: {type: auth, token: S}}}", id="a message"),
        pytest.param("scenarios: {a: {send: [{x: [{y: {clientSecret: S}}]}]}}", id="deep inside messages"),
        pytest.param("scenarios: {a: {send: {auth: {value: S}}}}", id="below a secret key"),
        pytest.param("scenarios: {a: {send: {credentials: [S]}}}", id="in a list below a secret key"),
        pytest.param("scenarios: {a: {send: {session: S}}}", id="a session"),
        pytest.param("scenarios: {a: {send: {sessionId: S}}}", id="a session's id"),
        pytest.param("scenarios: {a: {expect: [{type: ok, token: S}]}}", id="an expected field"),
        pytest.param("scenarios: {a: {never: [{type: error, secret: S}]}}", id="a key of a later version"),
        pytest.param("scenarios: {a: {send: {url: 'wss://x/y?api_key=S'}}}", id="an address in a message"),
    ],
)  # fmt: skip
def test_what_is_learnt(text: str) -> None:
    assert SECRET in learnt(text.replace("S}", SECRET + "}").replace("S]", SECRET + "]").replace("S,", SECRET + ",")
                            .replace("S'", SECRET + "'").replace("S#", SECRET + "#"))  # fmt: skip


def test_what_comes_from_the_environment_is_secret_whatever_it_is_called() -> None:
    text = 'scenarios: {a: {path: "/ws?u=${env:WHO}", send: {type: "${env:KIND}", text: "as ${env:ADA}, ${user}"}}}'
    assert set(learnt(text, WHO="ada lovelace", KIND="plainword", ADA="xyzzyx", OTHER="untold")) == {
        "ada lovelace", "plainword", "xyzzyx",
    }  # fmt: skip
    assert learnt('scenarios: {a: {send: {"${env:WHO}": [{"x${env:ADA}": 1}]}}}', WHO="ada lovelace", ADA="xyzzyx") == (
        "xyzzyx", "ada lovelace",
    )  # fmt: skip


def test_a_number_below_a_secret_name_is_one() -> None:
    assert learnt("scenarios: {a: {send: {otp: 123456, password: true}}}") == ("123456",)


ORDINARY = {
    "ENVIRONMENT": "production", "LOG_LEVEL": "info", "PORT": "8080", "DEBUG": "true", "REGION": "us-central1",
    "MODEL": "gpt-4o-mini-2024-07-18", "OTHER_MODEL": "claude-sonnet-4-20250514", "MAX_TOKENS": "128000",
    "DATABASE": "projects/acme/locations/us-central1/instances/agents-1/databases/agents-2",
    "BACKEND": "https://agents-7f3a.example.com:8443/api/v1/agents?limit=100", "AUTH_MODE": "none", "AUTH": "disabled",
    "IMAGE": "us-docker.pkg.dev/acme/repo/agent-chat@sha256:" + "1f" * 32, "GIT_COMMIT": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "TENANT": "3f2b8c1e-9a4d-4f6b-8e21-7c5d0a9b6e13", "FACTORY": "AgentOrchestratorServiceProviderFactoryV2",
    "GREETING": "Hello, how can I help you today? It is 12:30 on 2026-11-27.", "TOKEN_URL": "https://auth.example.com/token",
    "AUTHOR": "Jane Austen", "TOKENIZER": "cl100k_base", "SECRETARY": "Ada Lovelace", "HOME": "/srv/agents/run-2026-11-27",
    "SESSION": "ubuntu", "KEYBOARD": "qwerty-us-1", "PASSWORD_FILE": "/run/secrets/database", "COOKIE_NAME": "agent_session",
}  # fmt: skip


def test_ordinary_values_stay_readable() -> None:
    assert of_environment(ORDINARY) == ()


def test_ordinary_messages_stay_readable() -> None:
    assert learnt(
        "scenarios: {a: {path: '/ws?agent=triage&session=${uuid}&limit=100', within: 10s, "
        "send: {type: execute_agent, payload: {agent: triage, text: hello there, token: basic, auth: {type: bearer}}}, "
        "expect: [agent_started, {type: auth_ok, save: {token: data.token}}]}}"
    ) == ()  # fmt: skip


def test_random_values_are_told_from_words() -> None:
    dice = random.Random(7)
    alphabets = {
        "urlsafe": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        "hex": "0123456789abcdef",
        "base36": "0123456789abcdefghijklmnopqrstuvwxyz",
    }
    for name, alphabet in alphabets.items():
        made = ["".join(dice.choices(alphabet, k=40)) for _ in range(1000)]
        assert sum(map(looks_random, made)) > 970, name
    assert looks_random(f"prefix:{secrets_module.token_hex(32)}")


@pytest.mark.parametrize(
    "spell",
    [
        lambda s: s,
        lambda s: quote(s, safe=""),
        lambda s: quote(s, safe="").lower(),
        quote_plus,
        lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
        lambda s: json.dumps(s)[1:-1],
        lambda s: json.dumps(json.dumps({"k": s})),
        lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
        lambda s: json.dumps(s)[1:-1].replace("<", "\\u003c").replace("&", "\\u0026"),
        lambda s: repr(s)[1:-1],
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
        lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
        lambda s: base64.b64encode(b"u:" + s.encode() + b"@h").decode(),
        lambda s: base64.b64encode(b"u" + s.encode() + b"@h").decode(),
    ],
)
@pytest.mark.parametrize("secret", ['a/b<c&d"e\\f g', "é+ü?~ß=>>>", "six666", "it's (a) *pass*!"])
def test_a_secret_is_hidden_in_every_spelling(secret: str, spell: Callable[[str], str]) -> None:
    text = f"before {spell(secret)} after"
    assert REDACTED in Redactor(secret).text(text)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("token", True), ("accessToken", True), ("ACCESS_TOKEN", True), ("authtoken", True), ("PGPASSWORD", True),
        ("api_key", True), ("apiKey", True), ("x-api-key", True), ("client_secret", True), ("Set-Cookie", True),
        ("Proxy-Authorization", True), ("jwt", True), ("private_key", True), ("credentials", True), ("passphrase", True),
        ("max_tokens", False), ("tokenizer", False), ("author", False), ("authority", False), ("secretary", False),
        ("token_type", False), ("key", False), ("keyboard", False), ("compass", False), ("TOKEN_FILE", False), ("", False),
    ],
)  # fmt: skip
def test_names(name: str, is_secret: bool) -> None:
    assert is_secret_name(name) is is_secret
    assert secrets_of({name: "value"}) == (("value",) if is_secret else ())


def test_learning_again_changes_nothing() -> None:
    redactor = Redactor("hunter22")
    before = redactor.text("hunter22")
    redactor.learn("hunter22", "hunter22 ")
    assert redactor.text("hunter22") == before == REDACTED
