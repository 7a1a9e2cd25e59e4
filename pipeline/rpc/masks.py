"""The update masks that are sent to Cloud Run.

The API drops a path that it does not know, and a mask with nothing left replaces the whole service. So every path is held
to the client package's own Service, when this is imported.
"""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.field_mask_pb2 import FieldMask

from pipeline.rpc.run import run_v2

_SERVICE = run_v2.Service.pb().DESCRIPTOR


def checked(paths: Iterable[str]) -> FieldMask:
    """Raises ValueError for a path that a service does not have, and when there is none at all."""
    mask = FieldMask(paths=paths)
    unknown = [path for path in mask.paths if not FieldMask(paths=[path]).IsValidForDescriptor(_SERVICE)]
    if unknown or not mask.paths:
        raise ValueError(
            f"update_mask: {', '.join(unknown) or 'empty'}: the API would replace the whole service"
        )
    return mask


RECORD = checked(["annotations"])
RECORD_AND_TRAFFIC = checked(["annotations", "traffic"])
RECORD_TRAFFIC_AND_TEMPLATE = checked(["annotations", "traffic", "template"])
TEMPLATE = checked(["template"])
