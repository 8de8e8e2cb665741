"""What was saved comes back, and nothing else does."""

import zipfile

import keras
import numpy as np
import pytest

from rsseg_tf.checkpoint import load_arrays, read_arrays, save_arrays
from rsseg_tf.errors import RssegError

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.asarray(7, np.int64), np.zeros((0, 2))]
INFO = {"loop": 3, "share": 0.25, "names": ["ä", "b"]}


def test_arrays_and_facts_come_back_as_they_were(tmp_path):
    save_arrays(tmp_path / "state.npz", ARRAYS, INFO)

    arrays, info = read_arrays(tmp_path / "state.npz")

    assert info == INFO
    assert [(array.dtype, array.shape) for array in arrays] == [(array.dtype, array.shape) for array in ARRAYS]
    assert all((ours == theirs).all() for ours, theirs in zip(arrays, ARRAYS, strict=True))


def test_variables_take_the_values_that_were_saved(tmp_path):
    save_arrays(tmp_path / "state.npz", ARRAYS[:1], INFO)
    variable = keras.Variable(np.zeros((2, 3), np.float32))

    assert load_arrays(tmp_path / "state.npz", [variable]) == INFO
    np.testing.assert_array_equal(np.asarray(variable), ARRAYS[0])


def test_other_variables_are_refused_untouched(tmp_path):
    save_arrays(tmp_path / "state.npz", ARRAYS[:1], INFO)
    variable = keras.Variable(np.ones((3, 2), np.float32))

    with pytest.raises(RssegError, match="another network"):
        load_arrays(tmp_path / "state.npz", [variable])
    assert (np.asarray(variable) == 1).all()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"text"])
def test_a_damaged_file_is_told_by_its_name(tmp_path, content):
    (tmp_path / "state.npz").write_bytes(content)

    with pytest.raises(RssegError, match=r"state\.npz"):
        read_arrays(tmp_path / "state.npz")


def test_a_shape_beyond_all_numbers_is_damage(tmp_path):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 30 + ",), }\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    save_arrays(tmp_path / "state.npz", [], INFO)
    with zipfile.ZipFile(tmp_path / "state.npz", "a") as archive:
        archive.writestr("a0.npy", array)

    with pytest.raises(RssegError, match=r"state\.npz"):
        read_arrays(tmp_path / "state.npz")
