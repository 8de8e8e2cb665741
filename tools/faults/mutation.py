"""Sound files changed at random, so that the same number always makes the same file."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_WORDS = (
    *(b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b"9" * 40, b'""', b"[]", b"{}", b"[" * 3000),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b'"',
        b"'",
        b"\\",
        b"\n",
        b"\t",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
    ),
    *(
        b"&a ",
        b"*a",
        b"!!python/name:os ",
        b"<<: ",
        b"- ",
        b"? ",
        b"#",
        b"..",
        b"/",
        b"\\ud800",
        b"0x1F",
        b"1_000",
        b".inf",
    ),
)
_INTEGERS = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 3, 2.5, 10**15, 10**30, 1e300, -0.5, float("nan"), float("inf"), "", "x", "../..", "a\nb"),
    *("\0", "\ud800", "<b>", [], [3], [[]], {}, {"a": None}, [["x"]], "9" * 5000),
)

Change = Callable[[bytes, random.Random], bytes]


def mutated(content: bytes, *, suffix: str, seed: str) -> bytes:
    """Return a sound file with one to four changes; archives and pictures are changed within, too.

    Args:
        content: of the sound file.
        suffix: of its name.
        seed: names the case.
    """
    rng = random.Random(seed)
    change = _WITHIN.get(suffix)
    if change is not None and rng.random() < 0.7:
        return change(content, rng)
    return _changed(content, rng)


def _changed(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(content, rng)
    return content


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(len(content) + 1)


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b"\0"
    place = rng.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]


def _set(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.randbytes(1) + content[place + 1 :]


def _number(content: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    value = (rng.choice(_INTEGERS) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    place = _place(content, rng)
    return content[:place] + value + content[place + size :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _drop(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + content[place + rng.choice((1, 2, 8, 64)) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    place, size = _place(content, rng), rng.choice((1, 4, 16, 200))
    return content[:place] + content[place : place + size] * rng.choice((2, 3, 50)) + content[place + size :]


def _move(content: bytes, rng: random.Random) -> bytes:
    here, there, size = _place(content, rng), _place(content, rng), rng.choice((1, 4, 16))
    return content[:there] + content[here : here + size] + content[there + size :]


def _word(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + rng.choice(_WORDS) + content[place + rng.choice((0, 1, 4)) :]


_CHANGES: tuple[Change, ...] = (_flip, _set, _number, _cut, _drop, _repeat, _move, _word)


def _places(value: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in items:
        yield from _places(item, (*where, step))


def _edited_json(content: bytes, rng: random.Random) -> bytes:
    """Put another value into one or two places of a document, or take it out."""
    document: Any = json.loads(content)
    for _ in range(rng.choice((1, 1, 2))):
        where = rng.choice(list(_places(document)))
        if not where:
            return json.dumps(rng.choice(_ODD)).encode()
        holder = document
        for step in where[:-1]:
            holder = holder[step]
        if rng.random() < 0.2:
            del holder[where[-1]]
        else:
            holder[where[-1]] = copy.deepcopy(rng.choice(_ODD))
    return json.dumps(document).encode()


def _edited_archive(content: bytes, rng: random.Random) -> bytes:
    """Change one member, and pack all anew so that the checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = rng.choice([name for name in members for _ in range(3 if name.endswith(("pkl", "info.npy")) else 1)])
    members[chosen] = _changed(members[chosen], rng)
    return _packed(members)


def _packed(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, inside in members.items():
            archive.writestr(name, inside)
    return packed.getvalue()


def _edited_torch(content: bytes, rng: random.Random) -> bytes:
    return _edited_archive(content, rng) if content.startswith(b"PK") else _changed(content, rng)


def _edited_picture(content: bytes, rng: random.Random) -> bytes:
    """Change the inside of one chunk of a PNG, and its checksum with it; pixels before they are packed."""
    chunks, place = [], 8
    while place < len(content):
        (size,) = struct.unpack_from(">I", content, place)
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + size]))
        place += 12 + size
    chosen = rng.randrange(len(chunks))
    kind, inside = chunks[chosen]
    if kind == b"IDAT" and rng.random() < 0.5:
        inside = zlib.compress(_changed(zlib.decompress(inside), rng))
    else:
        inside = _changed(inside, rng)
    chunks[chosen] = kind, inside
    whole = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return content[:8] + b"".join(whole)


def _edited_metadata(content: bytes, rng: random.Random) -> bytes:
    """Change the description inside a `.tflite`, most often without a change of its length."""
    begin = content.find(b'{"')
    end = content.rfind(b"}") + 1
    if begin < 0 or rng.random() < 0.3:
        return _changed(content, rng)
    inside = _changed(content[begin:end], rng)
    return content[:begin] + inside[: end - begin].ljust(end - begin) + content[end:]


def _edited_network(content: bytes, rng: random.Random) -> bytes:
    """Change a member of a `.keras` file; most often one of its documents, in a value."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    documents = [name for name in members if name.endswith(".json")]
    if rng.random() < 0.4:
        return _edited_archive(content, rng)
    chosen = rng.choice(documents)
    return _packed({**members, chosen: _edited_json(members[chosen], rng)})


def _edited_tiff(content: bytes, rng: random.Random) -> bytes:
    """Change a field of one entry of the first directory of a TIFF, or the values that an entry points at."""
    order = "<" if content.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, directory)
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2))):
        entry = directory + 2 + 12 * rng.randrange(count)
        _, _, values, pointed = struct.unpack_from(f"{order}HHII", content, entry)
        fields = (entry, 2), (entry + 2, 2), (entry + 4, 4), (entry + 8, 4), (entry + 8, 2)
        where, size = rng.choice((*fields, (pointed, 8), (pointed + 8 * (values // 2), 8)))
        if where + size <= len(content):
            number = rng.choice(_INTEGERS) if rng.random() < 0.7 else rng.randrange(2**64)
            changed[where : where + size] = (number % 256**size).to_bytes(size, "little" if order == "<" else "big")
    return bytes(changed)


_WITHIN: Mapping[str, Change] = {
    ".geojson": _edited_json,
    ".json": _edited_json,
    ".keras": _edited_network,
    ".npz": _edited_archive,
    ".pth": _edited_torch,
    ".png": _edited_picture,
    ".tflite": _edited_metadata,
    ".tif": _edited_tiff,
}
