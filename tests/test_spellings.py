"""How a secret may be spelt in URLs: as whoever writes them escapes it, and cheaply, since passing secrets are many."""

from __future__ import annotations

import random
import re
import sys
from urllib.parse import quote, quote_plus

import pytest

from pipeline.spellings import spellings

#: letters, what each kind of URL leaves as it is, and what must be escaped in all of them
LETTERS = "abzAZ09_.-~/ +!'()*;,?:@&=$#%\"<>é\u4e2d\n"


def lowered(url: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), url)


@pytest.mark.parametrize("seed", range(20))
def test_a_secret_is_found_however_a_url_or_one_inside_of_another_escapes_it(seed: int) -> None:
    secret = "".join(random.Random(seed).choices(LETTERS, k=seed))
    forms = set(spellings(secret))

    def escaped(text: str) -> set[str]:
        left = ("", "/", "!'()*~", ";,/?:@&=+$!'()*#~")
        every = "".join(f"%{byte:02X}" for byte in text.encode())
        made = {quote_plus(text), every, *(quote(text, safe=safe) for safe in left)}
        return made | {lowered(url) for url in made}

    for once in escaped(secret):
        assert once in forms
        assert escaped(once) <= forms


def test_a_long_secret_is_spelt_without_a_call_for_each_of_its_letters() -> None:
    secret, calls = "".join(random.Random(0).choices(LETTERS, k=1000)), 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        forms = list(spellings(secret))
    finally:
        sys.setprofile(None)
    assert len(forms) > 100
    assert calls < 5 * len(secret)
