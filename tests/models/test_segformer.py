"""SegFormer-B0 computes what its authors' does, has as many weights, loses heads, and takes published files."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from rsseg_tf import pruning
from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.models.frame import NORMALIZE
from rsseg_tf.models.segformer import segformer_b0
from rsseg_tf.models.weights.names import NAMINGS
from rsseg_tf.models.weights.pretrained import initialize
from tests.models import reference
from tests.models.weights.weight_files import random_state, write_safetensors, write_torch

SIZE = (64, 96, 3)
HUGGING_FACE, AUTHORS = NAMINGS["mit_b0"]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return segformer_b0(5, SIZE, width=0.25)


def authors_state(model: keras.Model) -> dict[str, np.ndarray]:
    """Random arrays as the authors' file holds them: linear layers have two axes, keys and values are one layer."""
    state = {}
    for name, array in random_state(model, AUTHORS).items():
        is_linear = name.endswith("weight") and not any(part in name for part in ("patch", "dwconv", "sr", "norm"))
        state[name] = array[:, :, 0, 0] if is_linear and array.ndim == 4 else array
    for name in [name for name in state if ".k." in name]:
        halves = [state.pop(name), state.pop(name.replace(".k.", ".v."))]
        state[name.replace(".k.", ".kv.")] = np.concatenate(halves)
    return state


def authors_decoder(model: keras.Model) -> dict[str, np.ndarray]:
    """The decoder's weights as the authors' has them: one layer that reads the four maps, the smallest first."""
    state, joined = {}, []
    for number, stride in enumerate((4, 8, 16, 32), 1):
        kernel, bias = model.get_layer(f"decoder_{stride}_linear").get_weights()
        state |= {f"linear_c{number}.proj.weight": kernel[0, 0].T, f"linear_c{number}.proj.bias": bias}
        joined.insert(0, model.get_layer(f"decoder_{stride}_join").get_weights()[0][0, 0].T)
    names = ("weight", "bias", "running_mean", "running_var")
    norm = zip(names, model.get_layer("decoder_bn").get_weights(), strict=True)
    kernel, bias = model.get_layer("classifier").get_weights()
    state |= {"linear_pred.weight": kernel[0, 0].T, "linear_pred.bias": bias}
    return {
        **state,
        "linear_fuse.conv.weight": np.concatenate(joined, 1),
        **{f"linear_fuse.bn.{k}": v for k, v in norm},
    }


def test_it_computes_what_the_authors_does(model, tmp_path):
    pruning.randomize(model)
    state = authors_state(model)
    pixels = np.random.default_rng(1).uniform(0, 255, (1, *SIZE)).astype(np.float32)

    taken = initialize(model, str(write_torch(tmp_path / "mit_b0.pth", state)), backbone="mit_b0")

    normalized = keras.Model(model.input, model.get_layer(NORMALIZE).output)(pixels).numpy()
    expected = reference.segformer(authors_decoder(model), reference.mit_b0(state, normalized))
    found = keras.Model(model.input, model.get_layer("classifier").output)(pixels).numpy()
    assert taken == sum(layer.name.startswith("stage") for layer in model.layers if layer.weights)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_hugging_faces_file_gives_the_same(model, tmp_path):
    authors = authors_state(model)
    initialize(model, str(write_torch(tmp_path / "a.pth", authors)), backbone="mit_b0")
    expected = model.get_weights()
    theirs = {name: np.asarray(array + 1, np.float32) for name, array in random_state(model, HUGGING_FACE).items()}

    initialize(model, str(write_safetensors(tmp_path / "b.safetensors", theirs)), backbone="mit_b0")

    assert "segformer.encoder.block.2.1.attention.self.value.weight" in theirs
    first, last = (model.get_layer(name).get_weights()[0] for name in ("stage1_embed_conv", "stage4_norm"))
    np.testing.assert_allclose(first, expected[0] + 1, rtol=1e-6)
    assert last.min() > 1


def test_it_has_the_parameters_of_the_published_one():
    """NVlabs/SegFormer's `mit_b0` and its head of 256 channels, counted by layer; 3.8 M in the paper's table 1."""
    encoder, before = 0, 3
    for width, kernel, reduction in ((32, 7, 8), (64, 3, 4), (160, 3, 2), (256, 3, 1)):
        encoder += kernel**2 * before * width + width + 2 * width
        attention = 4 * (width**2 + width) + (reduction**2 * width**2 + 3 * width) * (reduction > 1)
        perceptron = 4 * width**2 + 4 * width + 10 * 4 * width + 4 * width**2 + width
        encoder += 2 * (attention + perceptron + 4 * width) + 2 * width
        before = width
    head = sum((width + 1) * 256 for width in (32, 64, 160, 256)) + 4 * 256 * 256 + 2 * 256 + 257 * 19
    model = segformer_b0(19, SIZE)
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    stages = sum(layer.count_params() for layer in model.layers if layer.name.startswith("stage"))

    assert stages == encoder == 3_319_392
    assert trainable == encoder + head == 3_719_027


def test_heads_widths_and_perceptrons_go(model):
    families = [(family.members, len(family)) for family in pruning.find_groups(model).families]
    block = "stage3_block2_attention"
    assert ({f"{block}_query": 8, f"{block}_key": 8, f"{block}_value": 8}, 5) in families
    assert ({f"{block}_query": 5, f"{block}_key": 5}, 8) in families
    assert ({f"{block}_value": 5}, 8) in families
    assert ({"stage1_block1_attention_query": 1, "stage1_block1_attention_key": 1}, 8) in families
    assert ({"stage1_block1_attention_value": 1}, 8) in families
    assert ({"stage4_block1_mlp_expand": 1}, 256) in families
    assert ({f"decoder_{stride}_join": 1 for stride in (32, 16, 8, 4)}, 256) in families


@pytest.mark.parametrize(
    ("width", "error", "message"), [(1.0, ModelError, "no Keras host"), (0.5, ConfigError, "come at full width")]
)
def test_imagenet_weights_are_to_be_fetched(model, width, error, message):
    with pytest.raises(error, match=message):
        initialize(model, "imagenet", backbone="mit_b0", width=width)
