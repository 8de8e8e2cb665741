"""A TFLite file with a new root table in front, which shares all tables of the old file but those that are new.

Packing a file again from Python objects would lose the 16-byte alignment of the weights, which the Python FlatBuffers
library does not keep; so the old file's bytes stay as they are, at offsets that keep their alignment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.runtime import schema

IDENTIFIER = b"TFL3"
ALIGNMENT = 16
BUFFERS_SLOT, METADATA_SLOT, SIGNATURES_SLOT = 4, 6, 7
"""Places of lists in the root table."""

GIVE = "give a .tflite file that export-tflite wrote"

_SLOTS = 10


@dataclass(frozen=True)
class Front:
    """What is being written in front of a file.

    Attributes:
        builder: takes new tables.
        root: of the old file.
        size: bytes of the old file and its padding.
    """

    builder: Any
    root: Any
    size: int

    def buffers(self) -> list[int]:
        """Return the offset of each buffer of the old file."""
        return [self.size - self.root.Buffers(index)._tab.Pos for index in range(self.root.BuffersLength())]

    def metadata(self) -> list[int]:
        """Return the offset of each metadata entry of the old file."""
        return [self.size - self.root.Metadata(index)._tab.Pos for index in range(self.root.MetadataLength())]


def with_root(original: bytes, added: Callable[[Front], Mapping[int, int]], *, room: int = 0) -> bytes:
    """Return a file with the tables of `original` and others.

    FlatBuffers are built from the end and refer forward only, so the old file is laid into the builder as if it had
    just been written, and the new tables refer to it by its offsets.

    Args:
        original: the old file.
        added: writes new tables; returns place in the root table → offset of what is there now.
        room: about how many bytes they will be.

    Raises:
        ModelError: if it holds no graph, or keeps weights outside its flatbuffer.
    """
    tail = original + bytes(padding(len(original)))
    builder = flatbuffers.Builder(len(tail) + room + 4096)
    builder.head -= len(tail)
    builder.Bytes[builder.head :] = tail
    builder.minalign = ALIGNMENT

    root = schema.Model.GetRootAs(original)
    _refuse_what_cannot_be_kept(root)
    fields = {**_fields(root, len(tail)), **added(Front(builder, root, len(tail)))}

    builder.StartObject(_SLOTS)
    builder.PrependUint32Slot(0, root.Version(), 0)
    for slot, offset in sorted(fields.items()):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject(), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def padding(size: int) -> int:
    """Return how many bytes a file of `size` lacks to keep the alignment of what is behind it."""
    return -size % ALIGNMENT


def aligned_buffer(builder: Any, data: bytes) -> int:
    """Write a buffer table whose bytes begin at a multiple of 16, as kernels expect of weights."""
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    vector = builder.EndVector()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, vector)
    offset: int = schema.BufferEnd(builder)
    return offset


def offsets_vector(builder: Any, offsets: Sequence[int]) -> int:
    """Write a list of tables."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    vector: int = builder.EndVector()
    return vector


def _fields(root: Any, size: int) -> dict[int, int]:
    """Return the slot in the root table → offset from the end, of everything that it refers to."""
    table = root._tab
    places = {slot: table.Offset(4 + 2 * slot) for slot in range(1, _SLOTS)}
    return {slot: size - table.Indirect(table.Pos + place) for slot, place in places.items() if place}


def _refuse_what_cannot_be_kept(root: Any) -> None:
    if not root.SubgraphsLength():
        raise ModelError("not a TFLite model: it holds no graph", hint=GIVE)
    if any(root.Buffers(index).Offset() > 1 for index in range(root.BuffersLength())):
        raise ModelError("the model keeps its weights outside the flatbuffer (a file above 2 GB)")
