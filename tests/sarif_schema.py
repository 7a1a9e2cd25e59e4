"""The parts of SARIF 2.1.0 that the checks emit, as a JSON schema: required properties, types and enumerations.

Every object is closed, so that a property which this schema does not know is a failure too.

Source: https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html (sections in brackets)
"""

from __future__ import annotations

from typing import Any


def closed(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def listed(item: Any, *, least: int = 0, unique: bool = False) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": least, "uniqueItems": unique}


TEXT = {"type": "string"}
SOME_TEXT = {"type": "string", "minLength": 1}
LEVEL = {"enum": ["none", "note", "warning", "error"]}  # [3.27.10]
COUNT = {"type": "integer", "minimum": 1}
PROPERTIES = {"type": "object"}  # a property bag [3.8] is open

MESSAGE = closed(("text",), text=SOME_TEXT)  # [3.11]
MULTIFORMAT = closed(("text",), text=SOME_TEXT)  # [3.12]
ARTIFACT_LOCATION = closed(  # [3.4]
    (),
    uri={"type": "string", "format": "uri-reference", "pattern": r"^[^\s\\]+$"},
    uriBaseId=SOME_TEXT,
    description=MESSAGE,
)
REGION = closed((), startLine=COUNT, startColumn=COUNT, endLine=COUNT, endColumn=COUNT)  # [3.30]
PHYSICAL_LOCATION = closed(("artifactLocation",), artifactLocation=ARTIFACT_LOCATION, region=REGION)  # [3.29]
LOCATION = closed((), physicalLocation=PHYSICAL_LOCATION, message=MESSAGE)  # [3.28]
THREAD_FLOW_LOCATION = closed((), location=LOCATION)  # [3.38]
THREAD_FLOW = closed(("locations",), locations=listed(THREAD_FLOW_LOCATION, least=1))  # [3.37]
CODE_FLOW = closed(("threadFlows",), threadFlows=listed(THREAD_FLOW, least=1))  # [3.36]

RESULT = closed(  # [3.27]
    ("message",),
    ruleId=SOME_TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=LEVEL,
    message=MESSAGE,
    locations=listed(LOCATION),
    codeFlows=listed(CODE_FLOW),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    properties=PROPERTIES,
)
DESCRIPTOR = closed(  # [3.49]
    ("id",),
    id=SOME_TEXT,
    shortDescription=MULTIFORMAT,
    fullDescription=MULTIFORMAT,
    defaultConfiguration=closed((), level=LEVEL),
)
DRIVER = closed(("name",), name=SOME_TEXT, rules=listed(DESCRIPTOR, unique=True))  # [3.19]
NOTIFICATION = closed(("message",), level=LEVEL, message=MESSAGE, locations=listed(LOCATION))  # [3.58]
INVOCATION = closed(  # [3.20]
    ("executionSuccessful",),
    executionSuccessful={"type": "boolean"},
    toolExecutionNotifications=listed(NOTIFICATION),
)
RUN = closed(  # [3.14]
    ("tool",),
    tool=closed(("driver",), driver=DRIVER),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    originalUriBaseIds={"type": "object", "additionalProperties": ARTIFACT_LOCATION},
    invocations=listed(INVOCATION, unique=True),
    results=listed(RESULT),
)
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **closed(
        ("version", "runs"),
        **{"$schema": {"type": "string", "format": "uri"}},
        version={"const": "2.1.0"},
        runs=listed(RUN),
    ),
}
