from dataclasses import replace

import cv2
import numpy as np
import pytest

from rsseg_tf.config import DataConfig, FolderConfig, ScenesConfig
from rsseg_tf.datasets import write_image
from rsseg_tf.datasets.catalog import list_dataset
from rsseg_tf.datasets.check import check_dataset, described, report_of
from rsseg_tf.datasets.examine import decoder_complaint
from rsseg_tf.datasets.opening import prepared as prepared_pairs
from tests.datasets.readers.layouts import forbid, write_csv, write_flat
from tests.datasets.readers.test_isprs import write_vaihingen
from tests.datasets.readers.test_uavid import write_uavid

CLASSES = {"road": "010203", "roof": "FA0000"}


def checked(root, *, name="folder", pairs="splits.csv"):
    return check_dataset(list_dataset(DataConfig(name=name, root=str(root), folder=FolderConfig(pairs, CLASSES))))


def messages(findings):
    return "\n".join(finding.message for finding in findings)


@pytest.fixture
def sound(tmp_path):
    rows = []
    for index, split in enumerate(("train", "train", "val")):
        write_flat(tmp_path / f"i{index}.png", (index, 50, 60))
        mask = np.full((8, 12, 3), (1, 2, 3), np.uint8)
        mask[:2] = (250, 0, 0)
        write_image(tmp_path / f"m{index}.png", mask)
        rows.append(f"i{index}.png,m{index}.png,{split}")
    write_csv(tmp_path / "splits.csv", *rows)
    return tmp_path


def test_a_sound_data_set_has_no_findings_and_a_histogram(sound):
    report = checked(sound)
    assert (report.problems, report.warnings) == ((), ())
    train = report.splits["train"]
    assert (train.images, train.labeled, train.sizes) == (2, 2, ("12×8",))
    assert train.pixels == {"road": 2 * 72, "roof": 2 * 24}
    assert "no problems" in described(report)


def test_the_histogram_says_what_its_shares_are_of(sound):
    mask = np.full((8, 12, 3), (1, 2, 3), np.uint8)
    mask[4:] = (9, 9, 9)
    write_image(sound / "m2.png", mask)
    folder = FolderConfig("splits.csv", CLASSES, ignore_colors=("090909",))
    text = described(check_dataset(list_dataset(DataConfig(name="folder", root=str(sound), folder=folder))))
    val = [" ".join(line.split()) for line in text.partition("val: ")[2].splitlines()[:4]]
    assert val == [
        "1 image, 1 with masks, 12×8; of the labeled pixels:",
        "road 100.00%",
        "roof 0.00%",
        "(ignored) 50.00% of all pixels",
    ]


def test_a_single_problem_is_counted_as_one(sound):
    (sound / "m1.png").unlink()
    assert described(checked(sound)).splitlines()[-1] == "1 problem"


def test_the_contents_of_a_split_are_names_and_bytes(sound):
    before = checked(sound).contents
    mask = sound / "m2.png"
    mask.write_bytes(mask.read_bytes()[:-4] + b"\0\0\0\0")  # of the same size
    changed = checked(sound).contents
    assert (changed["train"], changed["val"] == before["val"]) == (before["train"], False)
    assert sorted(changed) == ["train", "val"]


def test_everything_wrong_is_reported_at_once(sound):
    write_csv(
        sound / "splits.csv",
        "i0.png,m0.png,train",
        "i1.png,m1.png,train",
        "i2.png,m2.png,val",
        "gone.png,m2.png,val",
        "i3.png,m3.png,val",
    )
    (sound / "i0.png").write_bytes(b"")
    write_flat(sound / "m0.png", (7, 7, 7))
    write_flat(sound / "m1.png", (1, 2, 3), size=(4, 4))
    write_flat(sound / "i3.png", (3, 50, 60))
    (sound / "m3.png").write_bytes((sound / "m2.png").read_bytes()[:60])
    found = messages(checked(sound).problems)
    for words in ("gone.png", "it is empty", "#070707 (96 pixels)", "its mask `", "it is truncated"):
        assert words in found, words
    assert len(checked(sound).problems) == 5


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["i0.png,m0.png,train"], "the split `val` is empty; there are `train`"),
        (["i0.png,m0.png,Train", "i2.png,m2.png,val"], "the split `train` is empty; there are `Train`, `val`"),
        (["i0.png,m0.png,train", "i2.png,,val"], "the images of `val` have no mask, such as `{root}/i2.png`"),
        (
            ["i0.png,m0.png,train", "i1.png,,train", "i2.png,m2.png,val"],
            "1 of the 2 images of `train` have no mask, such as `{root}/i1.png`",
        ),
    ],
)
def test_a_split_that_a_training_needs_and_lacks_is_a_problem(sound, rows, message):
    write_csv(sound / "splits.csv", *rows)
    assert [finding.message for finding in checked(sound).problems] == [message.replace("{root}", str(sound))]


def test_an_empty_split_is_named_beside_problems_of_others(sound):
    write_csv(sound / "splits.csv", "i0.png,m0.png,train", "gone.png,m1.png,train")
    assert [finding.split for finding in checked(sound).problems] == ["", "val"]


def test_a_split_that_problems_empty_is_not_named_again(sound):
    write_csv(sound / "splits.csv", "i0.png,m0.png,train", "gone.png,m2.png,val")
    (problem,) = checked(sound).problems
    assert "gone.png" in problem.message


def test_a_sequence_without_masks_is_named_once(tmp_path):
    write_uavid(tmp_path)
    for mask in tmp_path.glob("uavid_val/*/Labels/*.png"):
        mask.unlink()
    found = [finding.message for finding in checked(tmp_path, name="uavid").problems]
    assert any("uavid_val" in message and "has no mask" in message for message in found)
    assert not any(message.startswith("the split") for message in found)


def test_images_without_any_mask_are_named_once_and_the_missing_val_beside_them(tmp_path):
    for index in range(2):
        write_flat(tmp_path / f"images/i{index}.png")
    (tmp_path / "masks").mkdir()
    found = [finding.message for finding in checked(tmp_path, pairs="").problems]
    assert [message.rpartition(" ")[2] for message in found] == ["mask", "mask", "empty"]


def test_a_test_split_without_masks_is_sound(sound):
    write_csv(sound / "splits.csv", "i0.png,m0.png,train", "i1.png,m1.png,val", "i2.png,,test")
    assert checked(sound).problems == ()


@pytest.mark.parametrize("prepared", [False, True])
def test_an_incomplete_class_map_is_one_problem_of_the_data_set(sound, prepared):
    for index, color in enumerate(((7, 7, 7), (9, 9, 9), (7, 7, 7))):
        mask = np.full((8, 12, 3), (1, 2, 3), np.uint8)
        mask[: index + 1] = color
        write_image(sound / f"m{index}.png", mask)
    (sound / "i1.png").write_bytes(b"")
    data = DataConfig(name="folder", root=str(sound), folder=FolderConfig("splits.csv", CLASSES))
    dataset = list_dataset(replace(data, cache_dir=str(sound / "cache")))
    found = (
        prepared_report(replace(data, cache_dir=str(sound / "cache")), dataset) if prepared else check_dataset(dataset)
    )
    unknown, empty = found.problems
    assert unknown.message == (
        "3 masks hold colors outside the palette: #070707 (48 pixels in 2 masks), #090909 (24 pixels in 1 mask); "
        f"`{sound / 'm0.png'}` is the first"
    )
    assert "data.folder.classes" in unknown.hint
    assert "it is empty" in empty.message


def prepared_report(data, dataset):
    return report_of(dataset, prepared_pairs(data, dataset).examinations)


def test_a_single_mask_with_something_unknown_is_named(sound):
    write_flat(sound / "m2.png", (7, 7, 7))
    (problem,) = checked(sound).problems
    assert problem.message == f"`{sound / 'm2.png'}` holds colors outside the palette: #070707 (96 pixels)"
    assert problem.sample == "i2"


def test_a_problem_says_where_it_is(sound):
    (sound / "m2.png").write_bytes(b"")
    problem = checked(sound).problems[0]
    assert (problem.split, problem.sample) == ("val", "i2")
    assert problem.hint


def test_a_file_that_may_not_be_read_is_a_problem_beside_others(sound, monkeypatch):
    (sound / "i0.png").write_bytes(b"")
    forbid(monkeypatch, sound / "i1.png")
    empty, unreadable = checked(sound).problems
    assert "it is empty" in empty.message
    assert unreadable.message == f"cannot read `{sound / 'i1.png'}`: Permission denied"
    assert "permission to read" in unreadable.hint


def test_one_picture_under_two_names_in_two_splits_is_a_problem(sound):
    (sound / "i2.png").write_bytes((sound / "i0.png").read_bytes())
    assert "one image is in several splits" in messages(checked(sound).problems)


def test_one_picture_twice_in_a_split_is_a_warning(sound):
    (sound / "i1.png").write_bytes((sound / "i0.png").read_bytes())
    report = checked(sound)
    assert report.problems == ()
    assert "one image appears several times" in messages(report.warnings)


def test_a_class_without_pixels_is_a_warning(sound):
    for index in range(3):
        write_flat(sound / f"m{index}.png", (1, 2, 3))
    assert "no pixel of `roof` in `val`" in messages(checked(sound).warnings)


def test_a_mask_without_any_label_is_a_problem(tmp_path):
    write_flat(tmp_path / "i.png")
    write_image(tmp_path / "m.png", np.full((8, 12), 255, np.uint8))
    write_csv(tmp_path / "splits.csv", "i.png,m.png,train")
    data = DataConfig(name="folder", root=str(tmp_path), folder=FolderConfig("splits.csv", {"road": "1"}))
    assert "only ignored pixels" in messages(check_dataset(list_dataset(data)).problems)


def test_a_folder_of_images_in_two_splits_is_a_warning(tmp_path):
    rows = []
    for index, (folder, split) in enumerate((("north", "train"), ("north", "val"), ("south", "train"))):
        write_flat(tmp_path / folder / f"i{index}.png", (index, 0, 0))
        write_flat(tmp_path / folder / f"m{index}.png", (1, 2, 3))
        rows.append(f"{folder}/i{index}.png,{folder}/m{index}.png,{split}")
    write_csv(tmp_path / "splits.csv", *rows)
    report = checked(tmp_path)
    assert report.problems == ()
    assert "images of one folder are in several splits: `north` (train, val)" in messages(report.warnings)


def test_of_many_folders_in_two_splits_the_first_are_named(tmp_path):
    rows = []
    for index in range(10):
        folder, split = f"tile{index // 2}", ("train", "val")[index % 2]
        write_flat(tmp_path / folder / f"i{index}.png", (index, 0, 0))
        write_flat(tmp_path / folder / f"m{index}.png", (1, 2, 3))
        rows.append(f"{folder}/i{index}.png,{folder}/m{index}.png,{split}")
    write_csv(tmp_path / "splits.csv", *rows)
    assert "`tile2` (train, val), and 2 more" in messages(checked(tmp_path).warnings)


def test_a_uavid_sequence_in_two_splits_is_a_problem(tmp_path):
    write_uavid(tmp_path)
    (tmp_path / "uavid_val/seq16").rename(tmp_path / "uavid_val/seq2")
    assert "`seq2` (train, val)" in messages(checked(tmp_path, name="uavid").problems)


def test_vaihingens_val_may_repeat_its_test(tmp_path):
    write_vaihingen(tmp_path)
    for index, path in enumerate(sorted(tmp_path.glob("top/*.tif"))):
        path.unlink()
        write_flat(path, (index, 1, 1))
    report = checked(tmp_path, name="vaihingen")
    assert report.problems == ()
    assert list(report.splits) == ["train", "test"]
    assert report.repeats == {"val": "test"}
    assert "\nval: repeats test\n" in described(report)


def test_scenes_are_sound():
    report = check_dataset(list_dataset(DataConfig(scenes=ScenesConfig(train=3, val=1, test=1, size=64))))
    assert report.problems == ()
    assert sum(report.splits["train"].pixels.values()) == 3 * 64 * 64


def test_progress_is_told_once_a_sample(sound):
    told = []
    data = DataConfig(name="folder", root=str(sound), folder=FolderConfig("splits.csv", CLASSES))
    check_dataset(list_dataset(data), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_a_file_that_half_decodes_is_a_problem(sound, suffix, capfd):
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8), (9, 9), 3)
    path = sound / f"noise{suffix}"
    write_image(path, picture)
    data = bytearray(path.read_bytes())
    for offset in range(len(data) // 2, len(data) // 2 + 40):
        data[offset] ^= 0x5A
    path.write_bytes(data)
    write_flat(sound / "m0.png", (1, 2, 3), size=(64, 96))
    write_csv(sound / "splits.csv", f"{path.name},m0.png,train", "i1.png,m1.png,val")
    assert f"`{path}`" in messages(checked(sound).problems)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("mask", "count"), [("noise.png", 1), ("", 1), ("m0.png", 2), ("strange.png", 2)])
def test_the_decoder_says_nothing_beside_the_problem_that_quotes_it(sound, capfd, mask, count):
    path = sound / "noise.jpg"
    write_image(path, np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3] + data[-2:])
    write_flat(sound / "noise.png", (1, 2, 3), size=(64, 96))
    write_flat(sound / "strange.png", (7, 7, 7), size=(64, 96))
    write_csv(sound / "splits.csv", "i0.png,m2.png,train", "i1.png,m1.png,val", f"noise.jpg,{mask},test")
    found = messages(checked(sound).problems)
    assert f"`{path}` decodes, but with errors: Corrupt JPEG data: premature end of data segment" in found
    assert len(found.splitlines()) == count
    assert capfd.readouterr().err == ""


def test_nothing_is_said_about_a_sound_file(sound, capfd):
    assert decoder_complaint(sound / "i0.png") == ""
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("roof", "hint"), [(255, "give the class the number 255"), (1, "")])
def test_a_class_painted_as_255_is_told_from_one_that_is_not_there(tmp_path, roof, hint):
    for index in range(2):
        write_flat(tmp_path / f"i{index}.png", (index, 50, 60))
        mask = np.zeros((8, 12), np.uint8)
        mask[:2] = roof
        write_image(tmp_path / f"m{index}.png", mask)
    write_csv(tmp_path / "splits.csv", "i0.png,m0.png,train", "i1.png,m1.png,val")
    folder = FolderConfig("splits.csv", {"ground": "0", "roof": "1", "tree": "2"})
    report = check_dataset(list_dataset(DataConfig(name="folder", root=str(tmp_path), folder=folder)))
    assert all(hint in finding.hint for finding in report.warnings)
    missing = "`roof`, `tree`" if roof == 255 else "`tree`"
    assert messages(report.warnings) == f"no pixel of {missing} in `train`\nno pixel of {missing} in `val`"
    assert [bool(finding.hint) for finding in report.warnings] == [bool(hint)] * 2


def test_the_check_says_how_it_dealt(tmp_path):
    for number in range(14):
        write_flat(tmp_path / f"images/{number}.png", (number, 50, 60))
        write_flat(tmp_path / f"masks/{number}.png", (1, 2, 3))
    report = checked(tmp_path, pairs="")
    assert report.dealing == (
        "dealt by the numbers in names (14 images in 1 group of neighbors); 1 large group cut into 7 blocks"
    )
    assert f"\nsplits: {report.dealing}\n" in described(report)
