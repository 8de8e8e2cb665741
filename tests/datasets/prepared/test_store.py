"""Prepared pairs are what the files hold, whatever befell the store or the files since."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.config import DataConfig, FolderConfig
from rsseg_tf.datasets import open_dataset, write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import all_samples, check_dataset, require_sound
from rsseg_tf.datasets.examine import Examination
from rsseg_tf.datasets.images.resize import resized_image, resized_mask
from rsseg_tf.datasets.opening import open_prepared, open_sound, prepare_now
from rsseg_tf.datasets.prepared.entry import read_entry, write_entry
from rsseg_tf.datasets.prepared.prepare import prepare
from rsseg_tf.datasets.prepared.store import PreparedDataset, store_of
from rsseg_tf.errors import ConfigError, DataError, RssegError
from tests.datasets.images.formats import RGB, SHAPE, tiff
from tests.datasets.readers.layouts import write_csv
from tests.datasets.readers.test_uavid import write_uavid

SPLITS = ("train", "train", "val", "test", "train", "train", "train", "val", "train")


@pytest.fixture
def survey(tmp_path):
    """Nine pairs of different sizes."""
    rng = np.random.default_rng(0)
    rows = []
    for index, split in enumerate(SPLITS):
        height, width = 20 + index, 30 + 2 * index
        write_image(tmp_path / f"survey/i{index}.png", rng.integers(0, 256, (height, width, 3), np.uint8))
        write_image(tmp_path / f"survey/m{index}.png", rng.integers(0, 3, (height, width), np.uint8))
        rows.append(f"i{index}.png,m{index}.png,{split}")
    write_csv(tmp_path / "survey/splits.csv", *rows)
    return tmp_path


def settings(folder: Path, *, fitting="crop", cache_dir="cache") -> DataConfig:
    return DataConfig(
        name="folder",
        root=str(folder / "survey"),
        folder=FolderConfig(pairs="splits.csv", classes={"a": "0", "b": "1", "c": "2"}),
        input_size=(16, 24),
        fitting=fitting,
        cache_dir=str(folder / cache_dir) if cache_dir else "",
    )


def entries(folder: Path) -> dict[str, bytes]:
    cache = folder / "cache"
    return {str(path.relative_to(cache)): path.read_bytes() for path in sorted(cache.rglob("*.pair"))}


def assert_same_pixels(prepared, data: DataConfig) -> None:
    """What the commands make of the files: whole, or resized as training and scoring resize."""
    direct = open_dataset(data)
    for split in direct.splits():
        for sample in direct.samples(split):
            image, mask = direct.read(sample)
            if data.fitting == "resize":
                image, mask = resized_image(image, data.input_size), resized_mask(mask, data.input_size)
            np.testing.assert_array_equal(prepared.read(sample)[0], image)
            np.testing.assert_array_equal(prepared.read_mask(sample), mask)


@pytest.mark.parametrize("fitting", ["crop", "resize"])
def test_prepared_pixels_are_those_of_the_files(survey, fitting):
    data = settings(survey, fitting=fitting)
    assert_same_pixels(open_prepared(data), data)
    again = open_prepared(data)
    assert len(entries(survey)) == len(SPLITS)
    assert_same_pixels(again, data)


def test_the_second_time_no_file_is_decoded(survey, monkeypatch):
    data = settings(survey)
    open_prepared(data)
    monkeypatch.setattr(
        "rsseg_tf.datasets.readers.files.read_picture", lambda path, *_, **__: pytest.fail(f"decoded {path}")
    )
    prepared = open_prepared(data)
    assert [prepared.read(sample)[1].shape for sample in prepared.samples("val")] == [(22, 34), (27, 44)]


def test_processes_make_the_same_store_as_one(survey):
    data, other = settings(survey), settings(survey, cache_dir="other")
    dataset = list_dataset(data)
    told: list[tuple[int, int]] = []
    for one, processes in ((data, 1), (other, 2)):
        prepare(
            dataset,
            store_of(one, dataset),
            all_samples(dataset),
            processes=processes,
            progress=lambda *place: told.append(place),
        )
    other_cache = survey / "other"
    parallel = {str(path.relative_to(other_cache)): path.read_bytes() for path in other_cache.rglob("*.pair")}
    assert parallel == entries(survey)
    assert told == [(done, 9) for done in range(1, 10)] * 2


@pytest.mark.parametrize("change", ["settings", "pixels", "classes"])
def test_what_was_made_otherwise_is_not_used(survey, change):
    open_prepared(settings(survey))
    before = len(entries(survey))
    data = settings(survey, fitting="resize" if change == "settings" else "crop")
    if change == "pixels":
        write_image(survey / "survey/i0.png", np.full((20, 30, 3), 9, np.uint8))
    if change == "classes":
        data = DataConfig(**{**data.__dict__, "folder": FolderConfig("splits.csv", {"b": "1", "a": "0", "c": "2"})})
    assert_same_pixels(open_prepared(data), data)
    assert len(entries(survey)) == before + (0 if change == "pixels" else 9)


@pytest.mark.parametrize("place", [0, 20, 60, -1])
def test_a_flipped_byte_is_found_and_the_entry_made_again(survey, place):
    data = settings(survey)
    open_prepared(data)
    sound = entries(survey)
    path = next((survey / "cache").rglob("*.pair"))
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.write_bytes(damaged)
    assert_same_pixels(open_prepared(data), data)
    assert entries(survey) == sound


@pytest.mark.parametrize("length", [0, 10, 100, -1])
def test_a_truncated_entry_is_found_and_made_again(survey, length):
    data = settings(survey)
    open_prepared(data)
    path = next((survey / "cache").rglob("*.pair"))
    path.write_bytes(path.read_bytes()[:length])
    assert_same_pixels(open_prepared(data), data)


def test_only_what_is_missing_is_made(survey):
    data = settings(survey)
    assert prepare_now(data)["made"] == 9
    for path in sorted((survey / "cache").rglob("*.pair"))[:2]:
        path.unlink()
    result = prepare_now(data)
    assert (result["made"], result["samples"]) == (2, 9)
    assert result["bytes"] > sum(3 * (20 + index) * (30 + 2 * index) for index in range(9))


def test_what_a_kill_left_half_written_is_removed(survey):
    data = settings(survey)
    prepare_now(data)
    folder = next((survey / "cache").iterdir())
    next(folder.glob("*.pair")).unlink()
    (folder / ".rsseg-abc.pair").write_bytes(b"half")
    prepare_now(data)
    assert list(folder.glob(".rsseg-*")) == []


def test_a_killed_preparation_goes_on(survey):
    data = settings(survey)
    code = (
        "import os, signal, pickle, sys\n"
        "from rsseg_tf.datasets.catalog import list_dataset\n"
        "from rsseg_tf.datasets.check import all_samples\n"
        "from rsseg_tf.datasets.prepared.store import store_of\n"
        "from rsseg_tf.datasets.prepared.prepare import prepare\n"
        "data = pickle.load(sys.stdin.buffer)\n"
        "dataset = list_dataset(data)\n"
        "stop = lambda done, total: os.kill(os.getpid(), signal.SIGKILL) if done == 3 else None\n"
        "prepare(dataset, store_of(data, dataset), all_samples(dataset), processes=2, progress=stop)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(data), check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert 3 <= len(entries(survey)) <= 9
    assert_same_pixels(open_prepared(data), data)
    assert len(entries(survey)) == 9


def test_a_process_that_is_killed_is_told_and_what_it_made_is_used(survey, tmp_path, monkeypatch):
    data = settings(survey)
    dataset = list_dataset(data)
    (tmp_path / "dying.py").write_text(
        "import os, signal, sys\n"
        "from rsseg_tf.child import serve\n"
        "from rsseg_tf.datasets.prepared.worker import examinations\n"
        "def dying(requests):\n"
        "    yield next(examinations(requests))\n"
        "    print('half a line', end='', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "serve(dying)\n"
    )
    (tmp_path / "python").write_text(f"#!/bin/sh\nexec {sys.executable} {tmp_path / 'dying.py'}\n")
    (tmp_path / "python").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(tmp_path / "python"))
        with pytest.raises(RssegError, match="ended with exit code -9") as caught:
            prepare(dataset, store_of(data, dataset), all_samples(dataset), processes=2)
    assert "rerun the same command to resume" in caught.value.hint
    assert 1 <= len(entries(survey)) <= 2
    assert_same_pixels(open_prepared(data), data)


def test_no_process_outlives_an_interrupted_preparation(survey, monkeypatch):
    data = settings(survey)
    dataset = list_dataset(data)
    children = []
    started = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *words, **options: children.append(started(*words, **options)) or children[-1]
    )

    def interrupt(_done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(dataset, store_of(data, dataset), all_samples(dataset), processes=2, progress=interrupt)
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


def test_a_full_disk_is_told_with_what_to_do(survey, monkeypatch):
    data = settings(survey)

    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RssegError, match="No space left on device") as caught:
        open_prepared(data)
    assert "data.cache_dir" in caught.value.hint
    monkeypatch.undo()
    assert entries(survey) == {}
    assert_same_pixels(open_prepared(data), data)


def test_a_full_disk_in_a_process_is_told_by_its_parent(survey):
    code = (
        "import pickle, resource, sys\n"
        "from rsseg_tf.datasets.catalog import list_dataset\n"
        "from rsseg_tf.datasets.check import all_samples\n"
        "from rsseg_tf.datasets.prepared.store import store_of\n"
        "from rsseg_tf.datasets.prepared.prepare import prepare\n"
        "from rsseg_tf.errors import RssegError\n"
        "data = pickle.load(sys.stdin.buffer)\n"
        "dataset = list_dataset(data)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "try:\n"
        "    prepare(dataset, store_of(data, dataset), all_samples(dataset), processes=2)\n"
        "except RssegError as error:\n"
        "    print(error.message, error.hint)\n"
    )
    data = settings(survey)
    result = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(data), check=True, stdout=subprocess.PIPE, timeout=300
    )
    assert "File too large" in result.stdout.decode()
    assert "data.cache_dir" in result.stdout.decode()
    assert list((survey / "cache").rglob(".rsseg-*")) == []


def test_a_place_that_cannot_be_written_is_named(survey):
    (survey / "cache").write_bytes(b"a file")
    with pytest.raises(RssegError, match=r"cannot write `.*cache") as caught:
        open_prepared(settings(survey))
    assert "data.cache_dir" in caught.value.hint


def test_the_check_finds_the_same_with_and_without_a_store(survey):
    data = settings(survey)
    direct = check_dataset(list_dataset(data))
    for _ in range(2):  # when the store is made, and when it is read
        assert open_sound(data)[1] == direct


def test_problems_are_listed_alike_with_and_without_a_store(survey):
    (survey / "survey/i3.png").write_bytes(b"")
    write_image(survey / "survey/m4.png", np.full((24, 38), 7, np.uint8))
    messages = []
    for cache_dir in ("cache", "", "cache"):
        with pytest.raises(DataError) as caught:
            open_sound(settings(survey, cache_dir=cache_dir))
        messages.append(caught.value.message)
    assert len(set(messages)) == 1
    assert "2 problems" in messages[0]
    assert "i3.png" in messages[0]
    assert "7 (912 pixels)" in messages[0]


def test_a_sample_with_problems_is_not_kept_and_others_are_read(survey):
    (survey / "survey/m3.png").write_bytes(b"")
    prepared = open_prepared(settings(survey))
    assert len(entries(survey)) == 8
    assert prepared.read(prepared.samples("train")[0])[1].shape == (20, 30)
    with pytest.raises(DataError, match=r"m3\.png"):
        prepared.read(prepared.samples("test")[0])


def test_withheld_labels_stay_withheld(tmp_path):
    write_uavid(tmp_path)
    data = DataConfig(name="uavid", root=str(tmp_path), cache_dir=str(tmp_path / "cache"))
    prepared = open_prepared(data)
    assert isinstance(prepared, PreparedDataset)
    assert prepared.read_image(prepared.samples("test")[0]).shape == (8, 12, 3)
    with pytest.raises(DataError, match="withheld"):
        prepared.read(prepared.samples("test")[0])


def test_generated_scenes_are_not_prepared(tmp_path):
    with pytest.raises(ConfigError, match="no files"):
        prepare_now(DataConfig(cache_dir=str(tmp_path)))
    open_prepared(DataConfig(cache_dir=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_the_store_tells_a_person_what_it_holds(survey):
    open_prepared(settings(survey, fitting="resize"))
    facts = json.loads(next((survey / "cache").rglob("prepared.json")).read_text())
    assert facts["size"] == [16, 24]
    assert facts["palette"]["names"] == ["a", "b", "c"]


def test_an_entry_is_what_was_written(tmp_path):
    rng = np.random.default_rng(1)
    pair = (rng.integers(0, 256, (5, 7, 3), np.uint8), rng.integers(0, 3, (5, 7), np.uint8))
    examination = Examination((), (7, 5), {0: 20, 255: 15}, "ab", "cd")
    write_entry(tmp_path / "a.pair", {"image": ["x", 1, 2]}, examination, pair)
    entry = read_entry(tmp_path / "a.pair", {"image": ["x", 1, 2]})
    assert entry is not None
    assert entry.examination == examination
    stored_pair = entry.pair(tmp_path / "a.pair")
    assert stored_pair is not None
    for stored, given in zip(stored_pair, pair, strict=True):
        np.testing.assert_array_equal(stored, given)
    assert read_entry(tmp_path / "a.pair", {"image": ["x", 1, 3]}) is None
    assert read_entry(tmp_path / "none.pair", {}) is None


def test_many_problems_are_cut_short_with_where_to_find_the_rest(survey):
    for path in (survey / "survey").glob("*.png"):
        path.unlink()
    rows = [f"i{index}.png,m{index}.png,train" for index in range(15)]
    write_csv(survey / "survey/splits.csv", *rows)
    report = check_dataset(list_dataset(settings(survey)))
    assert len(report.problems) == 31  # every file, and val
    with pytest.raises(DataError, match="31 problems") as caught:
        require_sound(report)
    assert caught.value.hint == "`rsseg-tf data check` lists 11 more"


def test_a_mask_laid_beside_an_image_makes_its_pair_anew(tmp_path):
    valid = np.arange(SHAPE[1]) % 3 > 0
    tiff(RGB, photometric="RGB")(tmp_path / "i.tif")
    write_image(tmp_path / "m.png", np.zeros(SHAPE, np.uint8))
    write_csv(tmp_path / "splits.csv", "i.tif,m.png,train")
    folder = FolderConfig("splits.csv", {"a": "0"})
    data = DataConfig(name="folder", root=str(tmp_path), folder=folder, cache_dir=str(tmp_path / "cache"))
    (sample,) = list_dataset(data).samples("train")
    assert (open_prepared(data).read(sample)[1] == 0).all()
    (tmp_path / "other").mkdir()
    tiff(RGB, photometric="RGB", mask=np.broadcast_to(valid, SHAPE))(tmp_path / "other/i.tif")
    (tmp_path / "other/i.tif.msk").rename(tmp_path / "i.tif.msk")
    np.testing.assert_array_equal(open_prepared(data).read(sample)[1] == 255, np.broadcast_to(~valid, SHAPE))


@pytest.mark.parametrize("fitting", ["crop", "resize"])
@pytest.mark.parametrize("bands", [(1,), (5, 1), (1, 2, 3), (4, 3, 2, 1), (1, 2, 3, 4, 5)])
def test_prepared_pixels_have_all_bands(tmp_path, bands, fitting):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 5), np.uint8)
    for split in ("train", "val"):
        (tmp_path / "survey").mkdir(exist_ok=True)
        tiff(pixels, photometric="MINISBLACK")(tmp_path / f"survey/{split}.tif")
        write_image(tmp_path / f"survey/{split}.png", pixels[..., 0] % 3)
    write_csv(tmp_path / "survey/splits.csv", *(f"{split}.tif,{split}.png,{split}" for split in ("train", "val")))
    data = replace(settings(tmp_path, fitting=fitting), bands=bands)
    assert_same_pixels(open_prepared(data), data)
    assert len(entries(tmp_path)) == 2
    (sample,) = open_prepared(data).samples("val")
    assert open_prepared(data).read(sample)[0].shape[2] == len(bands)
