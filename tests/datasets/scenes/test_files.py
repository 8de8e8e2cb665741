import numpy as np
import pytest

from rsseg_tf.config import ScenesConfig, load_config
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.scenes.dataset import Scenes
from rsseg_tf.datasets.scenes.files import split_counts, write_scenes
from rsseg_tf.errors import ConfigError
from rsseg_tf.runs import file_hash

CONFIG = ScenesConfig(train=3, val=1, test=1, size=48)


def contents(folder):
    return {path.relative_to(folder): file_hash(path) for path in folder.rglob("*.png")}


def test_the_written_folder_reads_back_as_the_scenes_it_came_from(tmp_path):
    result = write_scenes(tmp_path / "it's", CONFIG, seed=3)
    written = open_dataset(load_config(tmp_path / "it's" / "dataset.yaml").data)
    generated = Scenes(CONFIG, seed=3)
    assert result["splits"] == {"train": 3, "val": 1, "test": 1}
    assert written.palette == generated.palette
    for split in ("train", "val", "test"):
        for theirs, ours in zip(written.samples(split), generated.samples(split), strict=True):
            for one, other in zip(written.read(theirs), generated.read(ours), strict=True):
                np.testing.assert_array_equal(one, other)


class Killed(BaseException):
    """Stands for a kill in the middle."""


def kill_after(count):
    def watch(done, _total):
        if done == count:
            raise Killed

    return watch


@pytest.mark.parametrize("count", [1, 4])
def test_a_stopped_call_goes_on_to_the_same_files(tmp_path, count):
    write_scenes(tmp_path / "whole", CONFIG, seed=0)
    with pytest.raises(Killed):
        write_scenes(tmp_path / "stopped", CONFIG, seed=0, progress=kill_after(count))
    assert not (tmp_path / "stopped/dataset.yaml").exists()
    write_scenes(tmp_path / "stopped", CONFIG, seed=0)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_finished_set_is_not_written_over(tmp_path):
    write_scenes(tmp_path / "a", CONFIG, seed=0)
    with pytest.raises(ConfigError, match="finished"):
        write_scenes(tmp_path / "a", CONFIG, seed=1)
    write_scenes(tmp_path / "a", CONFIG, seed=1, overwrite=True)
    write_scenes(tmp_path / "b", CONFIG, seed=1)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_no_scenes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no scenes"):
        write_scenes(tmp_path / "a", ScenesConfig(train=0, val=0, test=0), seed=0)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("count", [1, 9, 10, 200])
def test_splits_add_up_to_the_count(count):
    config = split_counts(count, size=64)
    assert config.train + config.val + config.test == count
    assert config.train >= 1
