"""A checksum within an ONNX file, over all of its bytes but its own digits; read without the package `onnx`."""

from __future__ import annotations

import hashlib

from rsseg_tf.errors import ModelError

SEAL = "rsseg_tf_seal"
"""Key of the metadata that holds it."""

BLANK = f'"{"0" * 64}"'
"""Its value while the checksum is taken: JSON, as every value there."""

_KEY = SEAL.encode()
_BEFORE = b"\n" + bytes([len(_KEY)]) + _KEY + b"\x12" + bytes([len(BLANK)])
"""What stands before its digits: field 1 of a protobuf message, the key, and the head of field 2, the value."""


def sealed(content: bytes) -> bytes:
    """Return a serialized ONNX file whose metadata hold `BLANK` under `SEAL`, with the checksum in its place.

    Raises:
        ModelError: if they do not.
    """
    start = _digits_at(content)
    if start < 0:
        raise ModelError("the ONNX file has no place for its checksum")
    blank = _with(content, start, BLANK)
    return _with(blank, start, f'"{hashlib.sha256(blank).hexdigest()}"')


def is_sealed(content: bytes) -> bool:
    """Return whether a file is byte for byte what `sealed` made; False for one without a checksum.

    Raises:
        ModelError: if it has one that does not fit its bytes.
    """
    start = _digits_at(content)
    if start < 0:
        return False
    if sealed(content) != content:
        raise ModelError("the model's bytes do not fit its checksum", hint="copy the file again, or export it again")
    return True


def _digits_at(content: bytes) -> int:
    """Return where the digits begin; −1 where there are none."""
    place = content.rfind(_BEFORE)
    start = place + len(_BEFORE)
    return start if place >= 0 and start + len(BLANK) <= len(content) else -1


def _with(content: bytes, start: int, digits: str) -> bytes:
    return content[:start] + digits.encode() + content[start + len(digits) :]
