"""Changes to a file that keep enough of its structure to get past the first check: numbers, counts, keys, lines, cells.

Every function takes the content and a generator of random numbers, and returns changed content.
"""

from __future__ import annotations

import binascii
import json
import re
import struct
from collections.abc import Callable
from random import Random

Mutation = Callable[[bytes, Random], bytes]

NUMBERS = [
    *("0", "-1", "1", "2", "3", "255", "256", "65535", "65536", "2147483648", "4294967296", "9223372036854775808"),
    *(
        "18446744073709551615",
        "100000000000",
        "-0.0",
        "0.5",
        "1e-320",
        "1e30",
        "1e308",
        "-1e308",
        "1e999",
        "nan",
        "inf",
    ),
    *("-inf", "NaN", "Infinity", "0x10", "1_0", "1e", "--1", "", "١", "9" * 5000),
]
TEXTS = [
    "",
    "-",
    "../../etc/passwd",
    "/etc/passwd",
    "a" * 300,
    "\0",
    "\x1b[2J",
    "é",
    "\ud800",
    "true",
    "null",
    "http://x/y",
]
VALUES = [
    *(None, True, False, 0, -1, 1, 2, 3, 1.5, 1e308, float("nan"), float("inf"), 10**30, -(10**30), 10**400),
    *("", "1", "a", "../../x", "\ud800", [], {}, [[]], [None], {"": None}, [1, 2], [0] * 40, "a" * 300),
]
INTEGERS = [
    0,
    1,
    2,
    3,
    127,
    128,
    255,
    256,
    32767,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**40,
    2**63 - 1,
    2**63,
    2**64 - 1,
]
FLOATS = [0.0, -0.0, 1.0, -1.0, 1e-300, 1e30, -1e30, 1e300, float("inf"), float("-inf"), float("nan")]
_NUMBER = re.compile(rb"[-+]?\d[\d.]*(?:[eE][-+]?\d+)?")


def mutate_text(content: bytes, random: Random) -> bytes:
    """A number, a word, a cell or a line of it."""
    kind = random.randrange(8)
    if kind < 3:
        places = list(_NUMBER.finditer(content))
        if places:
            place = random.choice(places)
            return content[: place.start()] + random.choice(NUMBERS).encode() + content[place.end() :]
    if kind == 3:
        places = list(re.finditer(rb"[A-Za-z_][\w]*", content))
        if places:
            place, other = random.choice(places), random.choice(places)
            word = other[0] if random.random() < 0.5 else random.choice(TEXTS).encode("utf-8", "surrogatepass")
            return content[: place.start()] + word + content[place.end() :]
    separator = b"\n" if kind < 6 else random.choice([b",", b"\t", b" ", b";", b"="])
    parts = content.split(separator)
    _shuffle(parts, random)
    return separator.join(parts)


def mutate_binary(content: bytes, random: Random) -> bytes:
    """A whole number or a float of a usual width, of either byte order; or the end, or a piece of it."""
    if not content:
        return bytes(random.randrange(256) for _ in range(random.randrange(64)))
    position = random.randrange(len(content))
    order, kind = random.choice("<>"), random.randrange(8)
    if kind < 4:
        width = random.choice([1, 2, 4, 8])
        value = random.choice(INTEGERS) if random.random() < 0.6 else len(content) + random.randrange(-9, 9)
        new = struct.pack(f"{order}Q", value % 256**width << (64 - 8 * width if order == ">" else 0))[:width]
    elif kind == 4:
        with_width = random.choice("fd")
        value = random.choice(FLOATS)
        new = struct.pack(order + with_width, value if with_width == "d" or abs(value) < 1e38 else float("inf"))
    elif kind == 5:
        return content[:position]
    else:
        start = random.randrange(len(content))
        piece = content[start : start + random.choice([1, 8, 24, 64])]
        return content[:position] + piece + content[position + random.choice([0, len(piece)]) :]
    return content[:position] + new + content[position + len(new) :]


def mutate_json(content: bytes, random: Random) -> bytes:
    """One value of the document."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return mutate_text(content, random)
    kind = random.randrange(10)
    if kind == 0:
        return mutate_text(content, random)
    if kind == 1:
        return b"[" * random.choice([10, 70, 300, 5000]) + content
    return json.dumps(_changed(document, random)).encode("utf-8", "surrogatepass")


def _changed(value, random: Random, depth: int = 0):
    """The value with one thing in it replaced, left out, doubled or renamed."""
    if depth > 20 or not isinstance(value, list | dict) or not value or random.random() < 0.15:
        return random.choice(VALUES)
    if isinstance(value, list):
        items = list(value)
        if random.random() < 0.3:
            _shuffle(items, random)
        else:
            index = random.randrange(len(items))
            items[index] = _changed(items[index], random, depth + 1)
        return items
    key = random.choice(list(value))
    kind = random.randrange(8)
    if kind == 0:
        return {name: item for name, item in value.items() if name != key}
    if kind == 1:
        return {(random.choice(TEXTS) if name == key else name): item for name, item in value.items()}
    if kind == 2:
        return value | {key: value[random.choice(list(value))]}
    return value | {key: _changed(value[key], random, depth + 1)}


def _shuffle(parts: list, random: Random) -> None:
    if not parts:
        return
    first, second = random.randrange(len(parts)), random.randrange(len(parts))
    kind = random.randrange(4)
    if kind == 0:
        del parts[first]
    elif kind == 1:
        parts.insert(first, parts[second])
    elif kind == 2:
        parts[first], parts[second] = parts[second], parts[first]
    else:
        del parts[min(first, second) : max(first, second)]


def mutate_yaml(content: bytes, random: Random) -> bytes:
    """As text, or with the tags, anchors and indicators that only YAML has."""
    if random.random() < 0.7:
        return mutate_text(content, random)
    pieces = [
        *(
            b"&a ",
            b"*a",
            b"<<: *a\n",
            b"!!binary ",
            b"!!timestamp ",
            b"!!float ",
            b"!!int ",
            b"!!bool ",
            b"!!set ",
            b"!!omap ",
        ),
        *(
            b"!!python/object/apply:os.system ",
            b"!!opencv-matrix",
            b"? ",
            b"- ",
            b"{",
            b"}",
            b"[",
            b"]",
            b"|",
            b">",
            b"---\n",
        ),
        *(
            b"%YAML 9.9\n",
            b"2001-99-99",
            b"12:30:45",
            b"0b",
            b"0o9",
            b"~",
            b".inf",
            b".nan",
            b"\xff",
            b"\xef\xbb\xbf",
            b": ",
        ),
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
    ]
    position = random.randrange(len(content) + 1)
    return content[:position] + random.choice(pieces) + content[position:]


def mutate_safetensors(content: bytes, random: Random) -> bytes:
    """The header's JSON or the JSON in its metadata, the stated length kept right; or any bytes."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], content[8 + length :]
    kind = random.randrange(6)
    if kind == 0 or not header:
        return mutate_binary(content, random)
    if kind < 3:
        header = mutate_json(header, random)
    elif kind < 5:
        try:
            document = json.loads(header)
            about = document["__metadata__"]
            key = random.choice(list(about))
            about[key] = mutate_json(about[key].encode(), random).decode("utf-8", "replace")
            header = json.dumps(document).encode()
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
            header = mutate_json(header, random)
    else:
        data = mutate_binary(data, random)
    return len(header).to_bytes(8, "little") + header + data


def mutate_png(content: bytes, random: Random) -> bytes:
    """Bytes, with the header chunk's check sum put right half of the time."""
    changed = bytearray(mutate_binary(content, random))
    if len(changed) >= 33 and random.random() < 0.7:
        if random.random() < 0.5:
            place = random.choice([16, 20])
            changed[place : place + 4] = struct.pack(">I", random.choice(INTEGERS) % 2**32)
        changed[29:33] = struct.pack(">I", binascii.crc32(changed[12:29]))
    return bytes(changed)


def mutate_tar(content: bytes, random: Random) -> bytes:
    """Bytes of a member, or a field of a header with the check sum put right."""
    headers = [start for start in range(0, len(content) - 511, 512) if content[start + 257 : start + 262] == b"ustar"]
    if not headers or random.random() < 0.3:
        return mutate_binary(content, random)
    start = random.choice(headers)
    header = bytearray(content[start : start + 512])
    kind = random.randrange(4)
    if kind == 0:
        name = random.choice([*TEXTS, "000000.rgb.png", "000001.meta.json", "000000", "000000.rgb.png/"])
        header[:100] = name.encode("utf-8", "surrogatepass")[:100].ljust(100, b"\0")
    elif kind == 1:
        size = random.choice(
            [b"77777777777\0", b"\x80" + b"\0" * 4 + b"\xff" * 7, b"\xff" * 12, b"00000000000\0", b"x" * 12]
        )
        header[124:136] = size
    elif kind == 2:
        header[156:157] = random.choice([b"0", b"1", b"2", b"5", b"S", b"x", b"g", b"L", b"K", b"V", b"\0", b"7"])
    else:
        place = random.randrange(512)
        header[place] = random.randrange(256)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return content[:start] + bytes(header) + content[start + 512 :]
