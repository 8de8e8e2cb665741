from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.errors import ModelError
from rsseg_tf.tflite.metadata import METADATA_NAME, ModelMetadata, embed_metadata, read_metadata, verify_seal
from tests.tflite.networks import METADATA, frame, tiny_model

channel = st.integers(0, 255)
classes = st.lists(st.tuples(st.text(), st.tuples(channel, channel, channel)), max_size=30)


@st.composite
def descriptions(draw: st.DrawFn) -> ModelMetadata:
    named = draw(classes)
    return ModelMetadata(
        class_names=tuple(name for name, _ in named),
        class_colors=tuple(color for _, color in named),
        input_size=draw(st.tuples(st.integers(1, 4096), st.integers(1, 4096))),
        fitting=draw(st.sampled_from(["crop", "resize"])),
        head=draw(st.sampled_from(["logits", "logits-low", "classes"])),
        ground_sampling_distance_m=draw(st.floats(0, 100)),
        overlap=draw(st.integers(0, 512)),
        hashes=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
        versions=draw(st.dictionaries(st.text(), st.text(), max_size=3)),
        notes=draw(st.dictionaries(st.text(), st.recursive(st.integers() | st.text(), st.lists), max_size=3)),
        layers=tuple(draw(st.lists(st.text(), max_size=3))),
        bands=tuple(draw(st.lists(st.integers(1, 16), max_size=4))),
        scale=draw(st.sampled_from([(), (0.0, 4095.0)])),
    )


def outputs(model: bytes) -> np.ndarray:
    native = Interpreter(model_content=model)
    native.allocate_tensors()
    native.set_tensor(native.get_input_details()[0]["index"], frame()[None])
    native.invoke()
    return native.get_tensor(native.get_output_details()[0]["index"])


@given(descriptions())
def test_what_goes_in_comes_out(metadata: ModelMetadata) -> None:
    assert read_metadata(embed_metadata(tiny_model(), metadata)) == metadata


def test_a_model_without_metadata_has_none() -> None:
    assert read_metadata(tiny_model()) is None


def test_the_model_still_gives_the_same_output() -> None:
    assert np.array_equal(outputs(tiny_model()), outputs(embed_metadata(tiny_model(), METADATA)))


def test_the_bytes_of_the_model_stay_at_a_multiple_of_sixteen() -> None:
    original, described = tiny_model(), embed_metadata(tiny_model(), METADATA)
    assert described.count(original[8:]) == 1
    assert (described.index(original[8:]) - 8) % 16 == 0


def test_other_metadata_stays() -> None:
    def names(model: bytes) -> list[bytes]:
        root = schema.Model.GetRootAs(model)
        return [root.Metadata(index).Name() for index in range(root.MetadataLength())]

    assert names(embed_metadata(tiny_model(), METADATA)) == [*names(tiny_model()), METADATA_NAME.encode()]


def test_embedding_again_replaces() -> None:
    other = ModelMetadata(class_names=(), class_colors=(), input_size=(1, 1))
    again = embed_metadata(embed_metadata(tiny_model(), METADATA), other)
    assert again == embed_metadata(tiny_model(), other)


def test_metadata_survives_a_tool_that_packs_the_file_again_and_can_be_replaced_there() -> None:
    import flatbuffers

    builder = flatbuffers.Builder()
    unpacked = schema.ModelT.InitFromPackedBuf(embed_metadata(tiny_model(), METADATA))
    builder.Finish(unpacked.Pack(builder), file_identifier=b"TFL3")
    packed = bytes(builder.Output())
    other = ModelMetadata(class_names=("a",), class_colors=((1, 2, 3),), input_size=(9, 9))
    assert read_metadata(packed) == METADATA
    assert verify_seal(packed) is False
    assert read_metadata(embed_metadata(packed, other)) == other


def test_a_seal_fits_the_file_it_was_put_on() -> None:
    assert verify_seal(embed_metadata(tiny_model(), METADATA)) is True
    assert verify_seal(tiny_model()) is False


def test_no_flipped_bit_goes_unnoticed() -> None:
    sealed = embed_metadata(tiny_model(), METADATA)
    for place in range(0, len(sealed), 7):
        damaged = bytearray(sealed)
        damaged[place] ^= 1 << place % 8
        assert not _passes(bytes(damaged)), place


def test_damaged_weights_are_named_as_damage() -> None:
    damaged = bytearray(embed_metadata(tiny_model(), METADATA))
    damaged[-200] ^= 1
    with pytest.raises(ModelError, match="checksum"):
        verify_seal(bytes(damaged))


@pytest.mark.parametrize("content", [b"", b"PNG", b"\0\0\0\0TFL3", b"\xff" * 64])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError):
        embed_metadata(content, METADATA)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fitting": "squeeze"},
        {"head": "tail"},
        {"class_names": ("one",)},
        {"input_size": (0, 5)},
        {"overlap": -1},
    ],
)
def test_senseless_metadata_cannot_be_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        ModelMetadata(**{"class_names": (), "class_colors": (), "input_size": (1, 1), **wrong})  # type: ignore[arg-type]


def _passes(model: bytes) -> bool:
    try:
        return verify_seal(model)
    except ModelError:
        return False
