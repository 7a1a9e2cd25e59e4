"""Cases of where values are kept, and of what there is beside enums and times; each expression is also run for real.

A kind has a head, expressions that ``json.dumps`` refuses and expressions that it takes. Both make a tree of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from checks.settings import JsonSafeLogs, Settings
from tests.checks_corpus.corpus import Case, marked
from tests.checks_corpus.encoders import KINDS

HEAD = """\
import json
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Iterator, Literal

from app.kinds import Phase, Text

"""


_SEEMING = """\
import enum
from typing import NamedTuple


class Place(NamedTuple):
    x: int


class Corner(Place, enum.Enum):
    LEFT = Place(1)


class Direct(enum.EnumMeta):
    def __getattribute__(cls, name: str) -> Any:
        found = super().__getattribute__(name)
        return found.value if isinstance(found, cls) else found


class Kind(enum.Enum, metaclass=Direct):
    A = "a"


class Given(enum.Enum):
    A = "a"

    def __get__(self, instance: Any, owner: Any) -> Any:
        return self.value


class Known(enum.Enum, metaclass=enum.EnumMeta):
    A = "a"


@dataclass
class Row:
    at: datetime

    def __post_init__(self) -> None:
        self.at = self.at.isoformat()


def direct():
    return json.dumps(Kind.A)  #?


def given():
    return json.dumps(Given.A)  #?


def row():
    return json.dumps(Row(datetime.now()).at)  #?


def record():
    return json.dumps(asdict(Row(datetime.now())))  #?


def handed():
    found = {"at": datetime.now()}
    make_plain(found)
    return json.dumps(found)  #?


def make_plain(found):
    found["at"] = str(found["at"])


def joined():
    found = {"at": datetime.now()}
    found |= {"at": "now"}
    return json.dumps(found)


def in_place():
    found = {"at": datetime.now(), "id": 1}
    return json.dumps(dict(found, at="now"))


def beside():
    found = {"at": datetime.now(), "id": 1}
    return json.dumps(dict(found, id="now"))  #!


"""


_OBJECTS = """\
import functools
from abc import ABC
from functools import partial

pretty = partial(json.dumps, indent=2)
dense = functools.partial(json.dumps, separators=(",", ":"))
safe = partial(json.dumps, default=str)
without_keys = functools.partial(json.dumps, skipkeys=True)


class Plain:
    def __init__(self, at=None):
        self.at = at


class Below(Plain, ABC):
    def told(self):
        return self.at


class Words:
    OPEN = "open"


class Held(dict):
    def __init__(self):
        super().__init__(a=1)


class Made:
    def __new__(cls):
        return "made"

    def __init__(self):
        self.at = "now"


def annotated(plain: Plain):
    return json.dumps({"plain": plain})  #!


def named(word: Words):
    return json.dumps({"word": word})


def packed():
    return pretty({"at": datetime.now()})  #!


def packed_densely():
    return dense([Phase.OPEN])  #!


def packed_with_a_lambda():
    return pretty([lambda: 1])  #!


def packed_well():
    return safe({"at": datetime.now()}) + pretty({"at": str(datetime.now())}) + dense([Phase.OPEN.value])


def packed_without_keys():
    return without_keys({Phase.OPEN: 1}) + safe([lambda: 1])


"""


class Kind(NamedTuple):
    """Args: is_run: whether it is tried; a library that is not there cannot be."""

    name: str
    head: str
    refused: tuple[str, ...]
    taken: tuple[str, ...]
    doubted: tuple[str, ...] = ()
    is_run: bool = True


_MODELS = """\
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WrapSerializer, field_serializer, model_serializer


class Base(BaseModel):
    phase: Phase = Phase.OPEN


class Child(Base):
    count: int = 1


class Grandchild(Child):
    name: str = "a"


"""
_SERIALIZED = """\
class Plain(Base):
    @field_serializer("phase")
    def as_text(self, value: Phase) -> str:
        return value.name


class Inheriting(Plain):
    count: int = 1


class InJsonAlone(Base):
    @field_serializer("phase", when_used="json")
    def as_text(self, value: Phase) -> str:
        return value.name


class ByStar(Base):
    @field_serializer("*")
    def as_text(self, value: Any) -> str:
        return str(value)


class Whole(Base):
    @model_serializer
    def as_text(self) -> dict[str, str]:
        return {"phase": self.phase.name}


class Noted(BaseModel):
    phase: Annotated[Phase, PlainSerializer(lambda phase: phase.name)] = Phase.OPEN


class Wrapped(BaseModel):
    phase: Annotated[Phase, WrapSerializer(lambda phase, handler: phase.name)] = Phase.OPEN


class NotedForJson(BaseModel):
    phase: Annotated[Phase, PlainSerializer(lambda phase: phase.name, when_used="json")] = Phase.OPEN


class Dumped(Base):
    def model_dump(self, **options: Any) -> dict[str, str]:
        return {"phase": self.phase.name}


class Badly(Base):
    def model_dump(self, **options: Any) -> dict[str, Phase]:
        return {"phase": self.phase}


class Values(BaseModel):
    model_config = ConfigDict(use_enum_values=True, validate_default=True)
    phase: Phase = Phase.OPEN


class ValuesBelow(Values):
    count: int = 1


class ValuesByWord(BaseModel, use_enum_values=True, validate_default=True):
    phase: Phase = Phase.OPEN


class Partly(BaseModel):
    kind: ClassVar[Phase] = Phase.OPEN
    hidden: Phase = Field(default=Phase.OPEN, exclude=True)
    text: str = "a"


"""
_RECORDS = """\
@dataclass
class Base:
    phase: Phase = Phase.OPEN


@dataclass
class Child(Base):
    count: int = 1


class Undecorated(Child):
    extra = 2


@dataclass
class Fine:
    marks: ClassVar[set[int]] = {1}
    text: str = "a"


"""
_KEPT = """\
class Pool:
    kinds = (Phase.OPEN,)

    def __init__(self) -> None:
        self.details: dict[str, Any] = {}
        self.texts = {}
        self.rows = []
        self.phase = Phase.OPEN
        self.name = "a"

    def fill(self) -> "Pool":
        self.details["phase"] = Phase.OPEN
        self.texts["phase"] = Phase.OPEN.name
        return self

    def told(self) -> str:
        self.last = {}
        self.last["phase"] = self.phase
        return json.dumps(self.last)MARK

    def told_by_update(self) -> str:
        self.last = {"n": 1}
        self.last.update(phase=self.phase)
        return json.dumps(self.last)MARK

    def told_in_rows(self) -> str:
        self.rows.append(datetime.now())
        return json.dumps(self.rows)MARK

    def told_of_itself(self) -> str:
        return json.dumps(vars(self))MARK

    def told_well(self) -> str:
        self.last = {"phase": self.phase}
        self.last = {"phase": self.phase.name}
        return json.dumps(self.last)

    def told_after_another(self) -> str:
        self.told_phase = self.phase
        self.make_plain()
        return json.dumps([self.told_phase])

    def make_plain(self) -> None:
        self.told_phase = self.phase.name


class Plain:
    def __init__(self) -> None:
        self.name, self.size = "a", 1
        self.limit = 3


"""
_DICTS = """\
from types import MappingProxyType

BY_NAME = {"a": Phase.OPEN, "b": Phase.OPEN}
BY_PHASE = {Phase.OPEN: "open"}


def of(name: str, found: dict[str, Phase], turned: dict[Phase, str]) -> dict[str, Any]:
    rows = {"a": Phase.OPEN}
    return {
        "values": [value for key, value in rows.items()],
        "value": [value for value in found.values()],
        "turned": [phase for phase in turned],
        "keys": [key for key, value in rows.items()],
        "names": [name for name in found],
        "texts": [text for text in turned.values()],
        "again": {key: value.name for key, value in rows.items()},
        "copy": [*rows.copy()],
    }


def merged() -> str:
    rows = {"n": 1}
    rows.update(MappingProxyType({"a": 1}))
    names = ["a"]
    names.extend({"b"})
    return json.dumps([rows, names])


def merged_badly() -> str:
    rows = {}
    rows.update(BY_NAME)
    return json.dumps(rows)MARK


def extended_badly() -> str:
    rows = []
    rows.extend({Phase.OPEN})
    return json.dumps(rows)MARK


def each() -> Iterator[tuple[str, str, Any]]:
    for key, value in {"a": Phase.OPEN}.items():
        yield "value", json.dumps([value]), 0MARK
        yield "key", json.dumps([key]), 0
    for key in {"a": Phase.OPEN}:
        yield "alone", json.dumps([key]), 0


"""
_TUPLES = """\
def both() -> tuple[Phase, str]:
    return Phase.OPEN, "open"


def plainly():
    return "open", Phase.OPEN


def split():
    phase, text = both()
    return json.dumps({"text": text})


def split_badly():
    phase, text = both()
    return json.dumps({"phase": phase})MARK


def split_plainly():
    text, phase = plainly()
    return json.dumps([text])


def split_plainly_badly():
    text, phase = plainly()
    return json.dumps([phase])MARK


def paired():
    return [json.dumps(text) for text, phase in [("a", Phase.OPEN)]]


def paired_badly():
    return [json.dumps([phase]) for text, phase in [("a", Phase.OPEN)]]MARK


"""
_SETS = """\
PHASES = {Phase.OPEN}
NUMBERS = {1, 2}


def of(phases: set[Phase], numbers: frozenset[int]) -> None: ...


"""
_LAZY = """\
def rows():
    yield 1


def noted() -> Iterator[int]:
    yield 1


ROWS = {"a": 1}
ONES = [1, 2]


"""

KINDS_OF_VALUES = (
    Kind("inherited fields of models", _MODELS, (
        "Child().model_dump()", "Grandchild().model_dump()", "Child().dict()", "dict(phase=Child().phase)", "Grandchild()",
        "[Child().model_dump()]", "Child().model_dump(mode='python')", "Child().model_dump(by_alias=True)",
    ), (
        "Child().model_dump(mode='json')", "Child().model_dump_json()", "Child().count", "Child().phase.name",
        "Child().model_dump(exclude={'phase'})", "Child().model_dump(include={'count'})",
    )),
    Kind("serializers of models", _MODELS + _SERIALIZED, (
        "InJsonAlone().model_dump()", "NotedForJson().model_dump()", "Badly().model_dump()", "Plain().phase", "Noted().phase",
        "Plain()",
    ), (
        "Plain().model_dump()", "Inheriting().model_dump()", "ByStar().model_dump()", "Whole().model_dump()",
        "Noted().model_dump()", "Wrapped().model_dump()", "Dumped().model_dump()", "Values().model_dump()",
        "ValuesBelow().model_dump()", "ValuesByWord().model_dump()", "Partly().model_dump()",
        "InJsonAlone().model_dump(mode='json')",
    )),
    Kind("inherited fields of dataclasses", _RECORDS, (
        "asdict(Child())", "asdict(Undecorated())", "Child()", "Undecorated()", "vars(Child())", "Child().__dict__",
        "Child().phase", "[asdict(Child())]",
    ), (
        "asdict(Fine())", "vars(Fine())", "Child().count", "asdict(Child())['count']", "Undecorated().extra",
        "asdict(Child(), dict_factory=lambda pairs: {key: str(value) for key, value in pairs})",
    )),
    Kind("kept in the object", _KEPT.replace("MARK", "  #!"), (
        "Pool().fill().details", "Pool().__dict__", "vars(Pool())", "Pool().kinds[0]", "Pool().phase",
    ), (
        "vars(Plain())", "Plain().__dict__", "Pool().fill().texts", "Pool().name", "Plain().limit",
    )),
    Kind("items of dictionaries", _DICTS.replace("MARK", "  #!"), (
        "[value for key, value in BY_NAME.items()]", "[value for value in BY_NAME.values()]", "list(BY_NAME.values())",
        "[key for key in BY_PHASE]", "list(BY_PHASE)", "{key: value for key, value in BY_NAME.items()}",
        "{text: phase for phase, text in BY_PHASE.items()}", "[*BY_NAME.values()]", "dict(BY_NAME)", "{**BY_NAME}",
        "sorted([value for value in BY_NAME.values()], key=str)",
    ), (
        "[key for key, value in BY_NAME.items()]", "list(BY_NAME)", "list(BY_PHASE.values())", "[key for key in BY_NAME]",
        "{key: value.name for key, value in BY_NAME.items()}", "[text for phase, text in BY_PHASE.items()]", "len(BY_NAME)",
        "{phase.name: text for phase, text in BY_PHASE.items()}", "sorted(BY_NAME)", "[*BY_NAME]",
    )),
    Kind("places of tuples", _TUPLES.replace("MARK", "  #!"), (
        "both()", "both()[0]", "both()[False]", "plainly()[1]", "both()[-2]", "(1, Phase.OPEN)", "[(1, Phase.OPEN)]",
    ), (
        "both()[1]", "both()[True]", "plainly()[0]", "both()[-1]", "('a', Phase.OPEN)[0]", "('a', 1)", "plainly()[-2]",
    ), doubted=("list(both())",)),
    Kind("elements apart from their set", _SETS, (
        "PHASES", "NUMBERS", "list(PHASES)", "[phase for phase in PHASES]", "{number for number in [1]}", "set([1])",
        "frozenset('a')", "NUMBERS | {3}", "NUMBERS - {1}", "NUMBERS.union({3})", "sorted(PHASES, key=str)",
    ), (
        "sorted(NUMBERS)", "list(NUMBERS)", "[phase.name for phase in PHASES]", "sorted({phase.name for phase in PHASES})",
        "len(PHASES)", "tuple(NUMBERS)", "max(NUMBERS)", "[*NUMBERS]", "sum(NUMBERS)", "Phase.OPEN in PHASES",
    )),
    Kind("what only iterates", _LAZY, (
        "(one for one in [1])", "rows()", "noted()", "ROWS.values()", "ROWS.keys()", "ROWS.items()", "map(str, [1])",
        "filter(None, [1])", "zip([1], [2])", "enumerate([1])", "range(3)", "iter([1])", "reversed([1])",
        "[phase for phase in (Phase.OPEN for _ in [1])]", "list(enumerate([Phase.OPEN]))",
        "[phase for _, phase in zip([1], [Phase.OPEN])]", "[phase for _, phase in enumerate([Phase.OPEN])]",
    ), (
        "list(rows())", "list(ROWS.values())", "sorted(ROWS.keys())", "list(map(str, [Phase.OPEN]))", "list(range(3))",
        "sum(one for one in [1])", "','.join(name for name in ['a'])", "[n for n, phase in enumerate([Phase.OPEN])]",
        "dict(zip(['a'], [1]))", "list(reversed([1]))", "any(one for one in [1])", "tuple(rows())",
        "[n for n, phase in zip([1], [Phase.OPEN])]",
    )),
    Kind("classes", "class Mine: ...\n\n\nclass Told(str): ...\n\n\n", (
        "Phase", "Mine", "str", "type(1)", "[int]", "{'kind': dict}", "type(Mine())", "Told",
    ), (
        "Phase.__name__", "type(1).__name__", "str(type(1))", "Told('a')", "str(Mine)", "Mine.__name__", "repr(Phase)",
    )),
    Kind("numbers and others of the library", "import collections\nimport fractions\nimport ipaddress\nimport re\nimport types\n\n", (
        "1j", "complex(1, 2)", "fractions.Fraction(1, 2)", "collections.deque([1])", "re.compile('a')",
        "ipaddress.ip_address('127.0.0.1')", "types.SimpleNamespace(a=1)", "ipaddress.IPv4Address('127.0.0.1')",
        "types.MappingProxyType({})",
    ), (
        "abs(1j)", "list(collections.deque([1]))", "str(ipaddress.ip_address('127.0.0.1'))", "float(fractions.Fraction(1, 2))",
        "vars(types.SimpleNamespace(a=1))", "dict(types.MappingProxyType({}))", "collections.Counter('aa')",
        "collections.OrderedDict(a=1)", "re.compile('a').pattern",
    )),
    Kind("numpy", "import numpy as np\n\n", (
        "np.array([1])", "np.int64(1)", "np.float32(1)", "np.zeros(2)", "np.arange(3)", "np.bool_(True)", "[np.uint8(1)]",
        "np.argmax([1, 2])", "{'a': np.asarray([1.0])}",
    ), (
        "np.float64(1)", "np.array([1]).tolist()", "np.int64(1).item()", "int(np.int64(1))", "float(np.float32(1))",
        "np.zeros(2).tolist()", "list(map(int, np.arange(3)))", "len(np.zeros(2))", "str(np.array([1]))",
    )),
    Kind("enums of libraries", "import http\nimport signal\nimport uuid\n\nimport grpc\nfrom opentelemetry.trace import SpanKind\n\n", (
        "grpc.StatusCode.OK", "SpanKind.SERVER", "uuid.SafeUUID.safe", "[grpc.StatusCode.UNAVAILABLE]",
    ), (
        "http.HTTPStatus.OK", "signal.SIGTERM", "grpc.StatusCode.OK.name", "grpc.StatusCode.OK.value[0]", "SpanKind.SERVER.name",
        "http.HTTPStatus.OK.phrase",
    )),
    Kind("fields of Django's models", "from django.db import models\n\n\nclass Order(models.Model):\n    made = models.DateTimeField()\n    day = models.DateField()\n    price = models.DecimalField()\n    key = models.UUIDField()\n    raw = models.BinaryField()\n    name = models.CharField()\n    size = models.IntegerField()\n    kind = models.TextChoices('kind', 'A B')\n\n\n", (
        "Order().made", "Order().day", "Order().price", "Order().key", "Order().raw", "[Order().made]",
    ), (
        "Order().name", "Order().size", "Order().made.isoformat()", "str(Order().key)", "float(Order().price)",
    ), is_run=False),
    Kind("what is not only what it seems", _SEEMING, ("Known.A", "Known('a')", "Kind('a')", "[Known.A]"), (
        "Corner.LEFT", "[Corner.LEFT]", "Known.A.value",
    )),
    Kind("objects and functions", _OBJECTS, (
        "Plain()", "[Plain(1)]", "Below()", "{'deep': Plain()}", "lambda: 1", "[lambda x: x]",
    ), (
        "Plain('now').at", "vars(Plain())", "Held()", "Made()", "Words.OPEN", "(lambda: 1)()", "str(Plain())",
        "[word for word in (lambda: 'ab')()]",
    )),
    Kind("a key is not a value", "", (
        "{phase: 1 for phase in Phase}", "[phase for phase in {Phase.OPEN: 1}]", "{(1, 2): 1}", "{Phase.OPEN: 'a'}",
    ), (
        "{'a': Phase.OPEN}.keys() and 1", "[word for word in {'a': Phase.OPEN}]", "list({'a': Phase.OPEN})",
        "{Phase.OPEN: 'a'}[Phase.OPEN]", "sorted({'a': Phase.OPEN})", "list({Phase.OPEN: 'a'}.values())",
        "{Text.A: 1}", "{phase.name: 1 for phase in Phase}",
    )),
)  # fmt: skip


def _module(kind: Kind, expressions: list[tuple[str, str]]) -> str:
    lines = "".join(f"    print(json.dumps({{'field': {each}}})){mark}\n" for each, mark in expressions)
    return f"{HEAD}{kind.head}\ndef work():\n{lines}"


def cases() -> Iterator[Case]:
    """Two trees for each kind: what is refused, what is taken."""
    for kind in KINDS_OF_VALUES:
        bad = [*((each, "  #!") for each in kind.refused), *((each, "  #?") for each in kind.doubted)]
        for title, lines in (("refused", bad), ("taken", [(each, "") for each in kind.taken])):
            files = {"app/__init__.py": "", "app/kinds.py": KINDS, "app/user.py": _module(kind, lines)}
            yield marked(
                "json-safe-logs", f"{kind.name}: {title}", files, Settings(json_safe_logs=JsonSafeLogs())
            )
