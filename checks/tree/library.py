"""What names outside of the tree are: classes that are written small, and what calls give whose name does not say it."""

from __future__ import annotations

#: numpy's scalars that are no numbers of Python; float64 is one
NUMPY_SCALARS = frozenset(
    f"numpy.{name}"
    for name in (
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "intp", "float16", "float32", "bool_",
        "complex64", "complex128", "datetime64", "timedelta64",
    )
)  # fmt: skip
#: what calling it gives, for names outside of the tree whose name does not say it; methods of instances too
RESULTS = {
    "hashlib.new": "hashlib.sha256",
    "hashlib.sha256.digest": "builtins.bytes",
    "hmac.new": "hashlib.sha256",
    "uuid.uuid1": "uuid.UUID",
    "uuid.uuid3": "uuid.UUID",
    "uuid.uuid4": "uuid.UUID",
    "uuid.uuid5": "uuid.UUID",
    "uuid.uuid7": "uuid.UUID",
    "os.urandom": "builtins.bytes",
    "secrets.token_bytes": "builtins.bytes",
    "builtins.str.encode": "builtins.bytes",
    "django.utils.timezone.now": "datetime.datetime",
    "datetime.datetime.date": "datetime.date",
    "datetime.datetime.time": "datetime.time",
    "datetime.date.today": "datetime.date",
    "datetime.date.fromisoformat": "datetime.date",
    "datetime.date.replace": "datetime.date",
    "pathlib.Path.cwd": "pathlib.Path",
    "pathlib.Path.home": "pathlib.Path",
    "pathlib.Path.resolve": "pathlib.Path",
    "builtins.type": "builtins.type",
    "ipaddress.ip_address": "ipaddress.IPv4Address",
    "re.compile": "re.Pattern",
    "numpy.argmax": "numpy.int64",
    "numpy.argmin": "numpy.int64",
}
RESULTS |= dict.fromkeys(
    (
        f"hashlib.{name}"
        for name in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s")
    ),
    "hashlib.sha256",
)
RESULTS |= dict.fromkeys(
    (
        f"datetime.datetime.{name}"
        for name in (
            "now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "fromisoformat", "strptime", "combine",
            "replace", "astimezone",
        )
    ),
    "datetime.datetime",
)  # fmt: skip
RESULTS |= dict.fromkeys(
    (
        f"builtins.{kind}.{name}"
        for kind in ("set", "frozenset")
        for name in ("union", "difference", "intersection", "copy")
    ),
    "builtins.set",
)
RESULTS |= dict.fromkeys(
    (
        "base64.b64encode", "base64.standard_b64encode", "base64.urlsafe_b64encode", "base64.b64decode",
        "base64.urlsafe_b64decode", "base64.b32encode", "base64.b16encode", "base64.b85encode", "base64.encodebytes",
        "binascii.hexlify", "binascii.unhexlify", "hmac.digest", "orjson.dumps", "pathlib.Path.read_bytes", "pickle.dumps",
        "struct.pack", "zlib.compress", "zlib.decompress", "gzip.compress", "gzip.decompress",
    ),
    "builtins.bytes",
)  # fmt: skip
RESULTS |= dict.fromkeys(
    (
        f"pathlib.Path.{name}"
        for name in (
            "absolute",
            "expanduser",
            "joinpath",
            "with_suffix",
            "with_name",
            "relative_to",
            "readlink",
        )
    ),
    "pathlib.Path",
)
#: attributes of instances that are no text and no number
ATTRIBUTES = {"pathlib.Path.parent": "pathlib.Path"}
LOWER_CASE_CLASSES = frozenset(
    {
        "builtins.set", "builtins.frozenset", "builtins.bytes", "builtins.bytearray",
        "builtins.complex", "collections.deque", "numpy.ndarray",
        "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta",
    }
) | NUMPY_SCALARS  # fmt: skip
RESULTS |= dict.fromkeys(
    (
        f"numpy.{name}"
        for name in (
            "array", "asarray", "zeros", "ones", "empty", "full", "arange", "linspace", "eye", "concatenate", "stack", "vstack",
            "hstack", "zeros_like", "ones_like", "frombuffer",
        )
    ),
    "numpy.ndarray",
)  # fmt: skip
#: what a field of a Django model holds
_DJANGO = {
    "DateTimeField": "datetime.datetime",
    "DateField": "datetime.date",
    "TimeField": "datetime.time",
    "DurationField": "datetime.timedelta",
    "DecimalField": "decimal.Decimal",
    "UUIDField": "uuid.UUID",
    "BinaryField": "builtins.bytes",
}
RESULTS |= {
    f"django.db.models.{middle}{name}": made for name, made in _DJANGO.items() for middle in ("", "fields.")
}
