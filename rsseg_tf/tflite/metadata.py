"""What a `.tflite` says about itself: classes, input, origin, as JSON in a named metadata buffer.

The buffer is put in front of the model (`rsseg_tf.tflite.front.root`), whose bytes stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rsseg_tf.errors import ModelError
from rsseg_tf.number_formats import HEADS
from rsseg_tf.tflite.front.root import (
    BUFFERS_SLOT,
    GIVE,
    IDENTIFIER,
    METADATA_SLOT,
    Front,
    aligned_buffer,
    offsets_vector,
    padding,
    with_root,
)
from rsseg_tf.tflite.runtime import schema

METADATA_NAME = "rsseg_tf"
FITTINGS = ("crop", "resize")


@dataclass(frozen=True)
class ModelMetadata:
    """What a model file says about itself.

    Attributes:
        class_names: by class id.
        class_colors: RGB of each class, 0 to 255.
        input_size: height and width in pixels of what the network sees.
        fitting: `crop` for tiles of `input_size`, `resize` for whole images resized to it.
        head: `logits` at full size, `logits-low` before the last resize, or `classes`.
        ground_sampling_distance_m: meters per pixel, 0 where unknown.
        overlap: pixels that neighboring tiles share.
        hashes: `model` and `data` → SHA-256 of what the file was made from.
        versions: package → version that made it.
        notes: anything else that JSON can hold, such as the calibration summary.
        layers: of the Keras model that the file was made from, in topological order.
        bands: of an image, from 1, that the network sees, first red, green and blue; empty where the image says.
        scale: the values of an image that become 0 and 255, two for all bands or two for each in turn; empty for 8-bit
            values as they are.
    """

    class_names: tuple[str, ...]
    class_colors: tuple[tuple[int, int, int], ...]
    input_size: tuple[int, int]
    fitting: str = "crop"
    head: str = "logits"
    ground_sampling_distance_m: float = 0.0
    overlap: int = 0
    hashes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()
    scale: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no exporter writes, so that a broken file is noticed when it is opened."""
        if len(self.class_names) != len(self.class_colors):
            raise ModelError(
                f"the model's metadata has {len(self.class_names)} class names but {len(self.class_colors)} colors"
            )
        for name, value, known in (("fitting", self.fitting, FITTINGS), ("head", self.head, HEADS)):
            if value not in known:
                raise ModelError(f"the model's metadata has {name} `{value}`, known are {', '.join(known)}")
        if min(self.input_size) < 1 or self.overlap < 0:
            raise ModelError(f"the model's metadata has input size {self.input_size} and overlap {self.overlap}")


def embed_metadata(model: bytes, metadata: ModelMetadata) -> bytes:
    """Return the model file `model` with `metadata` inside, in place of any that was there.

    Every byte of the graph, its weights and other metadata stays as it was, at an offset that
    keeps its alignment. The same arguments give the same bytes.

    Raises:
        ModelError: if `model` is not a TFLite file, or keeps weights outside its flatbuffer.
    """
    original = _without_embedding(model)
    try:
        return _prepend(original, _to_json(metadata, original))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"not a TFLite model, or a damaged one: {error}", hint=GIVE) from error


def read_metadata(model: bytes) -> ModelMetadata | None:
    """Return the metadata inside a model file, or None where there is none.

    Raises:
        ModelError: if `model` is not a TFLite file, or its metadata is damaged.
    """
    document = _read_document(model)
    return None if document is None else metadata_of(document["metadata"])


def metadata_in(content: bytes, *, path: Path) -> ModelMetadata | None:
    """Return what `read_metadata` does, and name `path` in errors."""
    try:
        return read_metadata(content)
    except ModelError as error:
        raise ModelError(f"`{path}`: {error.message}", hint=error.hint) from error


def verify_seal(model: bytes) -> bool:
    """Return whether `model` is, byte for byte, a file that `embed_metadata` wrote: no storage or copy damaged it.

    Returns:
        False for a file without a seal: one from elsewhere, or that another tool has changed since.

    Raises:
        ModelError: if the file has a seal that does not fit its bytes.
    """
    document = _read_document(model)
    original = None if document is None else _sealed_part(model, document)
    if document is None or original is None:
        return False
    try:
        rebuilt = embed_metadata(original, metadata_of(document["metadata"]))
    except ModelError:
        return False
    if rebuilt != model and len(rebuilt) == len(model):
        raise ModelError("the model's bytes do not fit its checksum", hint="copy the file again, or export it again")
    return rebuilt == model


def _to_json(metadata: ModelMetadata, original: bytes) -> bytes:
    values = asdict(metadata)
    for later in ("layers", "bands", "scale"):  # files from before there were any are sealed without
        if not values[later]:
            del values[later]
    document = {
        "format": 1,
        "metadata": values,
        "original": {"bytes": len(original), "sha256": _seal(original, values)},
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True).encode()


def _seal(original: bytes, values: Mapping[str, Any]) -> str:
    """Return one hash over the model and what is said about it."""
    digest = hashlib.sha256(original)
    digest.update(json.dumps(values, sort_keys=True).encode())
    return digest.hexdigest()


def metadata_of(values: Mapping[str, Any]) -> ModelMetadata:
    """Return what the JSON values of a file's metadata say.

    Raises:
        ModelError: if something is missing, or of another kind.
    """
    try:
        height, width = (int(side) for side in values["input_size"])
        return ModelMetadata(
            class_names=tuple(str(name) for name in values["class_names"]),
            class_colors=tuple((int(red), int(green), int(blue)) for red, green, blue in values["class_colors"]),
            input_size=(height, width),
            fitting=str(values["fitting"]),
            head=str(values["head"]),
            ground_sampling_distance_m=float(values["ground_sampling_distance_m"]),
            overlap=int(values["overlap"]),
            hashes=dict(values["hashes"]),
            versions=dict(values["versions"]),
            notes=dict(values["notes"]),
            layers=tuple(str(name) for name in values.get("layers", ())),
            bands=tuple(int(band) for band in values.get("bands", ())),
            scale=tuple(float(value) for value in values.get("scale", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the model's metadata is damaged: {error!r}", hint="export the model again") from error


def _read_document(model: bytes) -> Mapping[str, Any] | None:
    if model[4:8] != IDENTIFIER:
        raise ModelError("not a TFLite model", hint=GIVE)
    try:
        root = schema.Model.GetRootAs(model)
        index = _metadata_buffer_index(root)
        if index is None:
            return None
        document = json.loads(root.Buffers(index).DataAsNumpy().tobytes())
        return {"metadata": dict(document["metadata"]), "original": dict(document["original"])}
    except Exception as error:  # a damaged flatbuffer raises whatever its bytes happen to ask for
        raise ModelError(f"the model's metadata is damaged: {error!r}", hint="export the model again") from error


def _metadata_buffer_index(root: Any) -> int | None:
    for position in range(root.MetadataLength()):
        entry = root.Metadata(position)
        if entry.Name() == METADATA_NAME.encode():
            return int(entry.Buffer())
    return None


def _without_embedding(model: bytes) -> bytes:
    """Return the file that an earlier `embed_metadata` was given, or `model` itself."""
    document = _read_document(model)
    original = None if document is None else _sealed_part(model, document)
    if document is None or original is None:
        return model
    return original if _seal(original, document["metadata"]) == document["original"]["sha256"] else model


def _sealed_part(model: bytes, document: Mapping[str, Any]) -> bytes | None:
    """Return the bytes that lie where an earlier `embed_metadata` put the file it was given."""
    size = document["original"].get("bytes")
    if not isinstance(size, int) or not 0 < size < len(model) - padding(size):
        return None
    start = len(model) - size - padding(size)
    return model[start : start + size]


def _prepend(original: bytes, document: bytes) -> bytes:
    """Return the file with the document in a named metadata buffer, new or in place of the one that is there."""

    def added(front: Front) -> dict[int, int]:
        buffers, entries = front.buffers(), front.metadata()
        index = _metadata_buffer_index(front.root)
        if index is None:
            entries.append(_metadata_entry(front.builder, len(buffers)))
            buffers.append(aligned_buffer(front.builder, document))
        else:
            buffers[index] = aligned_buffer(front.builder, document)
        return {
            BUFFERS_SLOT: offsets_vector(front.builder, buffers),
            METADATA_SLOT: offsets_vector(front.builder, entries),
        }

    return with_root(original, added, room=len(document))


def _metadata_entry(builder: Any, buffer_index: int) -> int:
    name = builder.CreateString(METADATA_NAME)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, name)
    schema.MetadataAddBuffer(builder, buffer_index)
    offset: int = schema.MetadataEnd(builder)
    return offset
