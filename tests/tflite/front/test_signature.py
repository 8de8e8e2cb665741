"""Files can be run by names, and are otherwise what they were."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from rsseg_tf.errors import ModelError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.number_formats import HEADS
from rsseg_tf.tflite.front.signature import with_signature
from rsseg_tf.tflite.metadata import embed_metadata, verify_seal
from tests.tflite.networks import METADATA


@pytest.mark.parametrize("name", ["int8.tflite", "float32.tflite", "sealed.tflite"])
@pytest.mark.parametrize("head", HEADS)
def test_a_file_runs_by_the_names_of_its_signature(models, tmp_path, name, head):
    path = tmp_path / "named.tflite"
    path.write_bytes(with_signature((models / name).read_bytes(), head=head))
    runner = TFLiteRunner(models / name)
    image = np.random.default_rng(0).integers(0, 256, (*runner.input_size, 3), dtype=np.uint8)

    native = Interpreter(model_path=str(path))
    by_name = native.get_signature_runner("serving_default")
    dtype = by_name.get_input_details()["image"]["dtype"]
    found = by_name(image=image[None].astype(dtype))

    assert native.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": [head]}}
    np.testing.assert_array_equal(found[head].argmax(axis=-1)[0], runner.classes(image))


def test_a_signature_is_replaced_and_the_same_each_time(models):
    once = with_signature((models / "int8.tflite").read_bytes(), head="logits")
    again = with_signature(with_signature(once, head="classes"), head="logits")
    assert with_signature((models / "int8.tflite").read_bytes(), head="logits") == once
    assert Interpreter(model_content=again).get_signature_list() == Interpreter(model_content=once).get_signature_list()


def test_a_sealed_file_says_which_bytes_it_had(models):
    named = with_signature((models / "int8.tflite").read_bytes(), head="logits")
    assert verify_seal(embed_metadata(named, METADATA))


@pytest.mark.parametrize("content", [b"", b"PK\3\4 and so on"])
def test_what_is_no_tflite_file_is_refused(content):
    with pytest.raises(ModelError, match="not a TFLite model"):
        with_signature(content, head="logits")
