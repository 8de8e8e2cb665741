import importlib.util
import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.models.deeplab import deeplab_v3_plus
from rsseg_tf.models.weights import published
from rsseg_tf.models.weights.names import NAMINGS
from rsseg_tf.models.weights.pretrained import initialize, load_keras_model
from tests.models import reference
from tests.models.weights.weight_files import random_state, write_safetensors, write_torch

SIZE = (64, 64, 3)
NETWORKS = {
    "resnet18": lambda state, x: reference.resnet(state, x, depths=(2, 2, 2, 2), bottleneck=False),
    "resnet34": lambda state, x: reference.resnet(state, x, depths=(3, 4, 6, 3), bottleneck=False),
    "resnet50": lambda state, x: reference.resnet(state, x, depths=(3, 4, 6, 3), bottleneck=True),
    "resnet101": lambda state, x: reference.resnet(state, x, depths=(3, 4, 23, 3), bottleneck=True),
    "mobilenet_v2": reference.mobilenet_v2,
    "efficientnet_lite0": reference.efficientnet_lite0,
}
SLOW = {"resnet34", "resnet50", "resnet101"}
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def normalized(backbone: str, pixels: np.ndarray) -> np.ndarray:
    if backbone == "efficientnet_lite0":
        return ((pixels - 127) / 128).astype(np.float32)
    return ((pixels / 255 - IMAGENET[0]) / IMAGENET[1]).astype(np.float32)


def features(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer("aspp_1x1_conv").input)(pixels))


def resnet18() -> keras.Model:
    return deeplab_v3_plus("resnet18", 3, SIZE)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    return deeplab_v3_plus("efficientnet_lite0", 3, SIZE)


@pytest.fixture(scope="module")
def state(small) -> dict[str, np.ndarray]:
    return random_state(small, NAMINGS["efficientnet_lite0"][0])


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in NETWORKS]
)
def test_features_are_the_source_models(tmp_path, backbone):
    """At stride 16 every second feature is one of the original's at stride 32."""
    model = deeplab_v3_plus(backbone, 3, SIZE)
    state = random_state(model, NAMINGS[backbone][0])
    pixels = np.random.default_rng(1).uniform(0, 255, (1, *SIZE)).astype(np.float32)

    initialize(model, str(write_torch(tmp_path / "a.pth", state)), backbone=backbone)

    expected = NETWORKS[backbone](state, normalized(backbone, pixels))
    # TensorFlow's `same` padding at even sizes puts the original's window one further.
    first = 1 if backbone == "efficientnet_lite0" else 0
    ours = features(model, pixels)[:, first::2, first::2]
    assert ours.shape == expected.shape
    assert expected.std() > 0.01
    np.testing.assert_allclose(ours, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("write", [write_safetensors, lambda path, arrays: write_torch(path, arrays, legacy=True)])
def test_every_kind_of_file_gives_the_same_weights(tmp_path, small, state, write):
    initialize(small, str(write_torch(tmp_path / "a.pth", state)), backbone="efficientnet_lite0")
    expected = small.get_layer("stage3_block1_depthwise_conv").get_weights()[0]
    name = "b.safetensors" if write is write_safetensors else "b.pth"
    other = {key: array + np.float32(1) if array.ndim else array for key, array in state.items()}

    initialize(small, str(write(tmp_path / name, other)), backbone="efficientnet_lite0")

    found = small.get_layer("stage3_block1_depthwise_conv").get_weights()[0]
    np.testing.assert_allclose(found, expected + 1, rtol=1e-6)


def test_the_normalization_goes_with_the_file(tmp_path):
    timm = NAMINGS["efficientnet_lite0"][1]
    model = deeplab_v3_plus("efficientnet_lite0", 3, SIZE)
    path = write_torch(tmp_path / "timm.pth", random_state(model, timm))

    initialize(model, str(path), backbone="efficientnet_lite0")
    model.save(tmp_path / "model.keras")

    normalize = load_keras_model(tmp_path / "model.keras").get_layer("normalise")
    np.testing.assert_allclose(np.asarray(normalize(np.full((1, 1, 1, 3), 255.0))), 1.0, rtol=1e-6)


def test_what_does_not_fit_is_named_in_one_message(tmp_path, small, state):
    wrong = dict(state)
    del wrong["_bn0.bias"]
    wrong["_blocks.3._bn1.weight"] = np.zeros(5, np.float32)
    wrong["surplus.weight"] = np.zeros(1, np.float32)
    before = [weight.copy() for weight in small.get_weights()]

    with pytest.raises(ModelError) as caught:
        initialize(small, str(write_torch(tmp_path / "a.pth", wrong)), backbone="efficientnet_lite0")

    for name in ("1 missing (_bn0.bias)", "surplus.weight", "_blocks.3._bn1.weight (5,)"):
        assert name in caught.value.message
    assert all(np.array_equal(old, new) for old, new in zip(before, small.get_weights(), strict=True))


def test_a_checkpoint_of_data_parallel_training_is_unwrapped(tmp_path, small, state):
    wrapped = {f"module.{name}": array for name, array in state.items()}

    assert initialize(small, str(write_torch(tmp_path / "a.pth", wrapped)), backbone="efficientnet_lite0") == 96


def hub_file(path, model, *, with_names: bool):
    """A `.weights.h5` as KerasHub's preset of the same network is."""
    naming = NAMINGS["resnet18"][1]
    state = random_state(model, naming)
    counts: dict[str, int] = {}
    with h5py.File(path, "w") as file:
        for layer in model.layers:
            if layer.weights and layer.name.startswith(("stem", "stage")):
                kind = "conv2d" if layer.name.endswith("conv") else "batch_normalization"
                counts[kind] = counts.get(kind, -1) + 1
                group = file.create_group(f"layers/{kind}{f'_{counts[kind]}' if counts[kind] else ''}/vars")
                if with_names:
                    group.attrs["name"] = naming.module(layer.name)
                for index, variable in enumerate(layer.weights):
                    group[str(index)] = state[naming.key(layer.name, variable.name)]
    return state


@pytest.mark.parametrize("with_names", [True, False], ids=["Keras 3.10 and later", "earlier"])
def test_a_keras_hub_preset_fits(tmp_path, with_names):
    model = resnet18()
    state = hub_file(tmp_path / "model.weights.h5", model, with_names=with_names)

    initialize(model, str(tmp_path / "model.weights.h5"))

    found = model.get_layer("stage2_block1_shortcut_conv").get_weights()[0]
    np.testing.assert_array_equal(found, state["stack1_block0_0_conv.0"])


def test_imagenet_asks_keras_hub_for_the_preset(tmp_path, monkeypatch):
    import kagglehub

    model, asked = resnet18(), []
    hub_file(tmp_path / "model.weights.h5", model, with_names=False)
    monkeypatch.setattr(
        kagglehub, "model_download", lambda *where: asked.append(where) or str(tmp_path / "model.weights.h5")
    )

    assert initialize(model, "imagenet", backbone="resnet18") == 40
    assert asked == [("keras/resnetv1/keras/resnet_18_imagenet/3", "model.weights.h5")]


def test_a_closed_network_says_how_to_get_the_file(monkeypatch):
    import kagglehub

    def closed(*_where):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(kagglehub, "model_download", closed)
    with pytest.raises(ModelError, match=r"resnet_50_imagenet.*no route") as caught:
        published.imagenet_file("resnet50")
    assert "model.weights=PATH" in caught.value.hint


def test_weights_without_a_keras_host_say_where_they_are(small, monkeypatch):
    with pytest.raises(ModelError, match="resnet34") as caught:
        published.imagenet_file("resnet34")
    assert "torchvision" in caught.value.hint
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModelError) as caught:
        initialize(small, "imagenet", backbone="efficientnet_lite0")
    assert "rsseg-tf[imagenet]" in caught.value.hint


def test_weights_are_taken_over_by_name_where_shapes_agree(tmp_path):
    source = resnet18()
    source.save(tmp_path / "source.keras")
    source.save_weights(tmp_path / "source.weights.h5")
    for name in ("source.keras", "source.weights.h5"):
        model = deeplab_v3_plus("resnet18", 5, (96, 64, 3))
        before = model.get_layer("classifier").get_weights()[0]

        copied = initialize(model, str(tmp_path / name))

        assert copied > 40
        np.testing.assert_array_equal(
            model.get_layer("stem_conv").get_weights()[0], source.get_layer("stem_conv").get_weights()[0]
        )
        np.testing.assert_array_equal(model.get_layer("classifier").get_weights()[0], before)


@pytest.mark.parametrize("numbers", [(2, 0, 1), (1, None, 0, None), (0,)])
def test_the_head_is_taken_over_class_by_class(tmp_path, numbers):
    source = resnet18()
    source.save(tmp_path / "source.keras")
    model = deeplab_v3_plus("resnet18", len(numbers), SIZE)
    before = model.get_layer("classifier").get_weights()

    initialize(model, str(tmp_path / "source.keras"), classes=numbers)

    after, given = (each.get_layer("classifier").get_weights() for each in (model, source))
    for array, own, theirs in zip(after, before, given, strict=True):
        for place, number in enumerate(numbers):
            expected = own[..., place] if number is None else theirs[..., number]
            np.testing.assert_array_equal(array[..., place], expected)


def test_weights_of_another_backbone_are_refused(tmp_path):
    deeplab_v3_plus("resnet50", 3, SIZE).save(tmp_path / "r50.keras")

    with pytest.raises(ModelError, match=r"only [\d,]+ of the [\d,]+ weights"):
        initialize(resnet18(), str(tmp_path / "r50.keras"))


def test_no_weights_change_nothing(small):
    assert initialize(small, "none") == 0


@pytest.mark.parametrize(
    ("weights", "hint"), [("imagenat", "did you mean `imagenet`?"), ("weights.onnx", "torch.save")]
)
def test_an_unknown_source_is_a_configuration_error(small, weights, hint):
    with pytest.raises(ConfigError, match=weights) as caught:
        initialize(small, weights)
    assert hint in caught.value.hint


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 not really")

    with pytest.raises(ModelError, match=r"broken\.keras"):
        load_keras_model(tmp_path / "broken.keras")


@pytest.mark.parametrize(("name", "near"), [("nowhere.keras", "Nowhere1.keras"), ("nowhere.pth", "now.pth")])
def test_a_missing_file_is_named_with_where_it_may_be(tmp_path, small, name, near):
    hints = []
    for path in (tmp_path / "folder" / name, tmp_path / name):
        with pytest.raises(ModelError, match=name) as caught:
            initialize(small, str(path))
        hints.append(caught.value.hint)
    (tmp_path / near).touch()
    with pytest.raises(ModelError) as caught:
        initialize(small, str(tmp_path / name))

    assert hints == [f"there is no folder `{tmp_path / 'folder'}`", f"searched in `{tmp_path}`"]
    assert caught.value.hint == f"did you mean `{tmp_path / near}`?"


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("write", [write_safetensors, write_torch])
def test_weights_that_are_not_finite_are_refused(tmp_path, small, state, write, value):
    broken = {**state, "_bn0.bias": np.full_like(state["_bn0.bias"], value)}
    name = "a.safetensors" if write is write_safetensors else "a.pth"

    with pytest.raises(ModelError, match=rf"{name}` .* not finite, in 1 of \d+ arrays \(_bn0\.bias\)") as caught:
        initialize(small, str(write(tmp_path / name, broken)), backbone="efficientnet_lite0")
    assert "earlier checkpoint" in caught.value.hint


@pytest.mark.parametrize("name", ["broken.keras", "broken.weights.h5"])
def test_weights_of_our_own_that_are_not_finite_are_refused(tmp_path, name):
    model, broken = resnet18(), resnet18()
    kernel, *rest = broken.get_layer("stem_conv").get_weights()
    broken.get_layer("stem_conv").set_weights([kernel * np.float32(np.nan), *rest])
    (broken.save if name.endswith(".keras") else broken.save_weights)(tmp_path / name)

    with pytest.raises(ModelError, match=rf"{name}` .* not finite, in 1 of \d+ arrays \(stem_conv\.0\)"):
        initialize(model, str(tmp_path / name))


def test_a_file_that_unpacks_to_far_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model.weights.h5", "w") as member:
        for _ in range(30):
            member.write(bytes(10_000_000))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")

    with pytest.raises(ModelError, match=r"would unpack to 0\.3 GB"):
        load_keras_model(path)


def test_a_file_whose_table_of_contents_names_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "model.weights.h5"):
            archive.writestr(name, "{}")
    content = bytearray(path.read_bytes())
    size_in_the_file = content.rindex(b"PK\x01\x02") + 20
    struct.pack_into("<I", content, size_in_the_file, 2_000_000_000)
    path.write_bytes(content)

    with pytest.raises(ModelError, match="names more than it holds"):
        load_keras_model(path)
