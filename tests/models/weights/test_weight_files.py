import io
import os
import pickle
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from rsseg_tf.errors import ModelError
from rsseg_tf.models.weights import keras_file
from rsseg_tf.models.weights.keras_file import read_keras_weights
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.models.weights.safetensors_file import read_safetensors
from rsseg_tf.models.weights.torch_file import from_bfloat16, read_torch_file
from tests.models.weights.weight_files import write_safetensors, write_torch

RNG = np.random.default_rng(0)
ARRAYS = {
    "a.weight": RNG.normal(size=(2, 3, 4)).astype(np.float32),
    "half": RNG.normal(size=5).astype(np.float16),
    "count": np.array(7),
    "turned": np.asfortranarray(RNG.normal(size=(2, 3)).astype(np.float32)).copy(order="C").T,
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before zip"])
def test_a_torch_file_reads_as_it_was_written(tmp_path, legacy):
    arrays = {name: np.ascontiguousarray(array) for name, array in ARRAYS.items()}

    found = read_torch_file(write_torch(tmp_path / "a.pth", arrays, legacy=legacy))

    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_a_safetensors_file_reads_as_it_was_written(tmp_path):
    found = read_safetensors(write_safetensors(tmp_path / "a.safetensors", ARRAYS))

    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_bfloat16_is_the_upper_half_of_float32():
    values = np.array([1.0, -2.5, 0.0], np.float32)

    np.testing.assert_array_equal(from_bfloat16((values.view(np.uint32) >> 16).astype(np.uint16)), values)


class Malicious:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "payload",
    [
        Malicious(os.system, "touch {witness}"),
        Malicious(eval, "open('{witness}', 'w')"),
        Malicious(getattr, "", "join"),
        Malicious(io.open, "{witness}", "w"),
    ],
    ids=["os.system", "eval", "getattr", "open"],
)
@pytest.mark.parametrize("layout", ["zip", "before zip"])
def test_a_pickle_that_would_run_something_is_refused(tmp_path, payload, layout):
    witness, path = tmp_path / "witness", tmp_path / "evil.pth"
    function, arguments = payload.call
    armed = Malicious(function, *(text.replace("{witness}", str(witness)) for text in arguments))
    content = pickle.dumps({"weight": armed}, protocol=2)
    if layout == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", content)
    else:
        path.write_bytes(b"".join(pickle.dumps(x, protocol=2) for x in (0x1950A86A20F9469CFC6C, 1001, {})) + content)

    with pytest.raises(ModelError, match="was not run") as caught:
        read_torch_file(path)

    assert getattr(function, "__name__", "") in caught.value.message
    assert not witness.exists()


def test_dotted_names_reach_nothing_through_what_is_allowed(tmp_path):
    path = tmp_path / "evil.pth"
    content = b"\x80\x04\x8c\x0bcollections\x8c\x20OrderedDict.__init__.__globals__\x93."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)

    with pytest.raises(ModelError, match=r"OrderedDict\.__init__"):
        read_torch_file(path)


@pytest.mark.parametrize("state", [{"function": "x", "name": "x"}, (None, {"function": "x", "name": "x"})])
@pytest.mark.parametrize("name", ["torch._utils\n_rebuild_tensor_v2", "torch\nFloatStorage"])
def test_a_pickle_changes_nothing_that_it_may_name(tmp_path, name, state):
    path = tmp_path / "evil.pth"
    pushed = pickle.dumps(state, protocol=2)[2:-1]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02c" + name.encode() + b"\n" + pushed + b"b.")
    good = write_torch(tmp_path / "good.pth", {"a": np.ones(3, np.float32)})

    with pytest.raises(ModelError, match=r"evil\.pth"):
        read_torch_file(path)

    assert read_torch_file(good)["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("shape", [(1000,), (2, 2, 2)])
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path, monkeypatch, shape):
    import tests.models.weights.weight_files as writer

    def lying(self, storage, _strides, rebuild):
        self._arguments = (rebuild, (storage, 0, shape, (1,) * len(shape), False, {}))

    monkeypatch.setattr(writer.Tensor, "__init__", lying)
    path = write_torch(tmp_path / "a.pth", {"a": np.zeros(4, np.float32)})

    with pytest.raises(ModelError, match="beyond its storage"):
        read_torch_file(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}.", b"\x80\x02" + b"j\xff\xff\xff\x7f."])
def test_a_damaged_torch_file_is_named(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)

    with pytest.raises(ModelError, match=r"a\.pth") as caught:
        read_torch_file(tmp_path / "a.pth")
    assert "fetch it again" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 16,
        (5 * 20000 + 1 + 20000).to_bytes(8, "little") + b'{"a":' * 20000 + b"1" + b"}" * 20000,
        b"\x02\0\0\0\0\0\0\0[]",
        b'\x3f\0\0\0\0\0\0\0{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}   ',
    ],
)
def test_a_damaged_safetensors_file_is_named(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)

    with pytest.raises(ModelError, match=r"a\.safetensors") as caught:
        read_safetensors(tmp_path / "a.safetensors")
    assert "fetch it again" in caught.value.hint


def test_keras_weights_read_by_name_and_without_names_by_number(tmp_path):
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        for key in ("conv2d", "conv2d_1"):
            file[f"layers/{key}/vars/0"] = np.ones(3)
        file["layers/conv2d_1/vars"].attrs["name"] = "second"
        file["optimizer/vars/0"] = np.zeros(1)

    assert set(read_keras_weights(path)) == {"conv2d", "second"}


def test_whatever_h5py_raises_names_the_file(tmp_path):
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = np.ones(3)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])

    with pytest.raises(ModelError, match=r"a\.weights\.h5.*truncated"):
        read_keras_weights(path)


@pytest.mark.parametrize(
    ("does", "message"),
    [("kill -SEGV $$", "crashes the HDF5 library"), ("exec sleep 60", "was not read within")],
    ids=["crash", "hang"],
)
def test_a_file_that_ends_or_holds_up_the_library_is_an_error(tmp_path, monkeypatch, does, message):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{does}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(keras_file, "TIMEOUT_S", 0.2)
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.ones(3)

    with pytest.raises(ModelError, match=message) as caught:
        read_keras_weights(tmp_path / "a.weights.h5")
    assert "fetch it again" in caught.value.hint


@pytest.mark.parametrize("is_crafted", [False, True], ids=["the library crashes", "other bytes, right checksum"])
def test_the_weights_within_a_keras_file_are_read_elsewhere_first(tmp_path, monkeypatch, is_crafted):
    path = tmp_path / "a.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(200, name="dense")]).save(path)
    if is_crafted:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        weights = members["model.weights.h5"]
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content if content != weights else content[: len(content) // 2])
    else:
        python = tmp_path / "python"
        python.write_text("#!/bin/sh\nkill -SEGV $$\n")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(keras.saving, "load_model", None)

    with pytest.raises(ModelError, match="damaged" if is_crafted else "crashes the HDF5 library") as caught:
        load_keras_model(path)
    assert "save it again" in caught.value.hint


def test_an_hdf5_file_is_not_read_here_before_it_was_read_elsewhere(tmp_path, monkeypatch):
    """A damaged one never reaches the library in this process."""
    opened = []
    monkeypatch.setattr(keras_file.h5py, "File", lambda path: opened.append(path))
    (tmp_path / "a.weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))

    with pytest.raises(ModelError, match=r"a\.weights\.h5"):
        read_keras_weights(tmp_path / "a.weights.h5")
    assert opened == []


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x89HDF\r\n\x1a\n"], ids=["empty", "other", "cut off"])
def test_a_file_that_is_not_hdf5_is_named(tmp_path, content):
    (tmp_path / "a.weights.h5").write_bytes(content)

    with pytest.raises(ModelError, match=r"a\.weights\.h5") as caught:
        read_keras_weights(tmp_path / "a.weights.h5")
    assert "fetch it again" in caught.value.hint


@pytest.mark.parametrize("group", ["", "model_weights/"], ids=["weights", "whole model"])
def test_the_layout_of_keras_2_reads_by_name(tmp_path, group):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[f"{group}stem/stem/kernel:0"] = np.ones(3)
        file[f"{group}stem"].attrs["weight_names"] = [b"stem/kernel:0"]
        file.create_group(f"{group}relu").attrs["weight_names"] = []
        file[group or "/"].attrs["layer_names"] = [b"stem", b"relu"]

    assert {name: np.shape(arrays) for name, arrays in read_keras_weights(path).items()} == {"stem": (1, 3)}


def test_hdf5_without_weights_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.ones(3)

    with pytest.raises(ModelError, match="holds no weights of Keras"):
        read_keras_weights(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("module", "hint"),
    [("no_such_library.src.layers", "pip install no-such-library"), ("tests.layers", "register_keras_serializable")],
)
def test_classes_of_others_are_named_with_the_package_that_is_missing(tmp_path, module, hint):
    class Block(keras.layers.Layer):
        __module__ = module

    path = tmp_path / "a.keras"
    keras.Sequential([keras.Input((3,)), Block()]).save(path)
    with pytest.raises(ModelError, match=rf"not Keras' own: {module}.Block") as caught:
        load_keras_model(path)
    assert hint in caught.value.hint


def test_python_code_in_a_file_is_not_run_and_the_hint_says_what_to_do(tmp_path):
    x = keras.Input((8, 8, 3))
    made = keras.Model(x, keras.layers.Lambda(lambda values: 2 * values)(x))
    made.save(tmp_path / "a.keras")
    with pytest.raises(ModelError, match="`Lambda` layer: Python code") as caught:
        load_keras_model(tmp_path / "a.keras")
    assert "a layer of Keras" in caught.value.hint
