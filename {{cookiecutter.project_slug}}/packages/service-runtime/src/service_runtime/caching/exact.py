"""Query parameters in a form whose `repr()` differs whenever the values do.

The `repr()` of psycopg's wrappers is truncated, and that of a memoryview is an address.
"""

import ipaddress
import json
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any

from psycopg import Binary
from psycopg.types import numeric
from psycopg.types.json import Json, Jsonb
from psycopg.types.range import Range

# Types whose `repr()` is exact. Subclasses may have another one.
_EXACT = frozenset(
    {
        *(NoneType, bool, int, float, Decimal, str, bytes, uuid.UUID, date, timedelta),
        *(numeric.Int2, numeric.Int4, numeric.Int8, numeric.IntNumeric, numeric.Oid),
        *(numeric.Float4, numeric.Float8),
        *(ipaddress.IPv4Address, ipaddress.IPv4Interface, ipaddress.IPv4Network),
        *(ipaddress.IPv6Address, ipaddress.IPv6Interface, ipaddress.IPv6Network),
    }
)


def exact(value: Any) -> Any:
    """Return an object with the same `repr()` for equal parameters only.

    A value of an unknown type is replaced by a random one, so that its query is always a miss.
    """
    kind = type(value)
    if kind in _EXACT:
        return value
    if kind is list or kind is tuple:
        return kind(map(exact, value))
    return (kind, _content(value))


def _content(value: Any) -> Any:
    match value:
        case Enum():
            return value.name, exact(value.value)
        case str():
            return str.__str__(value)
        case datetime() | time():  # the `repr()` of a time zone may be an address
            return value.isoformat()
        case bytearray() | memoryview():
            return bytes(value)
        case dict():
            return [(exact(key), exact(item)) for key, item in value.items()]
        case Binary():
            return exact(value.obj)
        case Json() | Jsonb():
            return (value.dumps or json.dumps)(value.obj)
        case Range():
            return exact(value.lower), exact(value.upper), value.bounds
    return uuid.uuid4()
