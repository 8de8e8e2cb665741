import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rsseg_tf.cli.settings import setting_choices
from rsseg_tf.config import Config, DataConfig, FolderConfig, IsprsConfig, dump_yaml, load_config
from rsseg_tf.config.listing import all_sections, chosen_sections
from rsseg_tf.datasets import catalog, open_dataset, write_image
from rsseg_tf.datasets.catalog import READERS, Reader, list_dataset, palette_of
from rsseg_tf.datasets.images.masks import IndexMasks
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.datasets.prepared.store import store_of
from rsseg_tf.datasets.readers.files import FileDataset, Listing
from rsseg_tf.datasets.sample import Sample
from rsseg_tf.errors import ConfigError, DataError
from tests.datasets.readers.table import LAYOUTS

CONFIGS = Path(__file__).parents[2] / "configs"
DUBAI = CONFIGS.parents[1] / "shared/data/dubai"


@pytest.mark.parametrize("use", [open_dataset, list_dataset, palette_of])
def test_an_unknown_name_is_refused_with_those_that_are_known(use):
    with pytest.raises(ConfigError) as caught:
        use(load_config(overrides=["data.name=uavd"]).data)

    assert caught.value.message == f"`data.name` must be one of {', '.join(READERS)}, got `uavd`"
    assert caught.value.hint == "did you mean `uavid`?"


def test_a_new_row_is_a_reader_with_its_own_classes(monkeypatch, tmp_path):
    palette = Palette(("land", "sea"), ((1, 2, 3), (4, 5, 6)))
    listing = Listing({"train": (Sample("a", tmp_path / "a.png", None),)})
    toy = Reader(lambda _data, _seed: FileDataset(palette, IndexMasks({1: 0, 2: 1}), listing), lambda _data: palette)
    monkeypatch.setattr(catalog, "READERS", {**READERS, "toy": toy})
    data = load_config(overrides=["data.name=toy"]).data

    assert [sample.name for sample in open_dataset(data).samples("train")] == ["a"]
    assert palette_of(data).names == ("land", "sea")
    (name,) = listing_of("data.name")
    assert name.values.endswith(", toy")


def test_what_a_readers_masks_depend_on_decides_where_they_are_kept(monkeypatch):
    toy = replace(READERS["uavid"], masks=lambda data: {"split": data.isprs.split})
    monkeypatch.setattr(catalog, "READERS", {**READERS, "toy": toy})

    def folder(name, split):
        palette = SimpleNamespace(palette=READERS["uavid"].palette(DataConfig()))
        return store_of(DataConfig(name=name, isprs=IsprsConfig(split=split)), palette).folder

    assert folder("toy", "paper") != folder("toy", "challenge")
    assert folder("uavid", "paper") == folder("uavid", "challenge")


def test_settings_of_another_reader_are_doubted(tmp_path):
    LAYOUTS["folder"].write(tmp_path)
    words = ["data.name=folder", f"data.root={tmp_path}", "data.folder.classes={road: 1}"]
    assert list_dataset(load_config(overrides=words).data).doubts == ()
    (doubt,) = list_dataset(load_config(overrides=[*words, "data.isprs.clutter=ignore"]).data).doubts
    assert doubt.message == "`data.name` is `folder`, which does not look at `data.isprs.clutter`"


@pytest.mark.parametrize("section", [section.name for section in all_sections({}) if section.name.startswith("data.")])
def test_every_section_of_data_is_of_a_reader(section):
    assert section.removeprefix("data.") in {reader.section for reader in READERS.values()}


def listing_of(setting):
    (section,) = chosen_sections(setting, setting_choices())
    return section.settings


@pytest.mark.parametrize("name", LAYOUTS)
def test_no_root_is_an_error_that_names_the_setting(name):
    with pytest.raises(DataError) as caught:
        open_dataset(DataConfig(name=name, folder=FolderConfig(classes={"road": "1"})))
    assert "data.root=FOLDER" in caught.value.hint


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_comes_back_from_what_a_run_keeps_of_it(path, tmp_path):
    config = load_config(path)
    (tmp_path / "config.yaml").write_text(dump_yaml(config), encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config != Config()


PAPERS = {"uavid": (540, 960), "vaihingen": (512, 512)}


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_recipes_say_what_the_paper_says(name, backbone):
    config = load_config(CONFIGS / f"{name}_{backbone.replace('resnet', 'r')}.yaml")
    assert (config.data.name, config.model.backbone, config.data.fitting) == (name, backbone, "resize")
    assert config.data.input_size == PAPERS[name]
    fit, augment = config.fit, config.fit.augment
    assert (fit.optimizer, fit.momentum, fit.learning_rate, fit.l2) == ("sgd", 0.9, 1e-3, 1e-3)
    assert (fit.epochs, fit.batch_size, fit.step_epochs, fit.step_factor) == (80, 8, 10, 0.3)
    assert (augment.flip_horizontal, augment.flip_vertical, augment.translate_px) == (True, False, 10)
    assert (config.prune.criterion, config.prune.loops, config.prune.retrain.epochs) == ("taylor", 60, 20)


@pytest.mark.skipif(not DUBAI.is_dir(), reason="the Dubai images are not beside the repository (../shared/data/dubai)")
def test_the_dubai_images_read_with_their_recipe(monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    dataset = open_dataset(load_config(CONFIGS / "dubai_r18.yaml").data)
    assert {split: len(dataset.samples(split)) for split in dataset.splits()} == {"train": 48, "val": 8, "test": 16}
    by_tile = {sample.name.partition("/")[0]: sample for sample in dataset.samples("train")}
    for tile in ("Tile 1", "Tile 2", "Tile 8"):  # colors, a palette, black margins
        _, mask = dataset.read(by_tile[tile])
        assert len(np.unique(mask[mask < 5])) >= 4
        assert (mask < 5).mean() > 0.8


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipes_classes_are_known_without_its_files(path):
    data = load_config(path).data
    expected = {name: layout.classes for name, layout in LAYOUTS.items()} | {"scenes": 6}

    assert palette_of(data).num_classes == expected[data.name]


PAIRS_OF_RECIPES = sorted(
    name
    for path in CONFIGS.glob("*_r18_fast.yaml")
    if (CONFIGS / f"{(name := path.stem.removesuffix('_fast'))}.yaml").exists()
)


@pytest.mark.parametrize("name", PAIRS_OF_RECIPES)
def test_a_fast_recipe_cuts_windows_and_keeps_the_papers_data(name):
    fast, paper = load_config(CONFIGS / f"{name}_fast.yaml"), load_config(CONFIGS / f"{name}.yaml")
    assert (fast.fit.optimizer, fast.fit.schedule, fast.data.fitting) == ("adamw", "cosine", "crop")
    assert fast.fit.class_sampling == 0.5
    assert replace(fast.data, fitting=paper.data.fitting, input_size=paper.data.input_size) == paper.data
    assert fast.prune.retrain.augment == fast.fit.augment


LIGHT = {
    "dubai_fast": "dubai_r18",
    "scenes_light": "scenes",
    **{f"{name}_light": f"{name}_r18_fast" for name in ("uavid", "vaihingen", "potsdam", "loveda")},
}
"""Recipe of a light network → that of a heavy one, from which it differs in the network, and in a measured rate."""
RATES = {"dubai_fast": 3e-3}
"""Recipe → its rate of training, of networks with ImageNet weights; docs/results.md, "Three times the rate"."""


def test_every_data_set_with_a_recipe_has_one_of_a_light_network():
    names = {load_config(path).data.name for path in CONFIGS.glob("*.yaml")}
    assert {load_config(CONFIGS / f"{name}.yaml").data.name for name in LIGHT} == names


@pytest.mark.parametrize("name", LIGHT)
def test_a_light_recipe_differs_in_its_network(name):
    light, heavy = (load_config(CONFIGS / f"{each}.yaml") for each in (name, LIGHT[name]))

    assert (light.model.aspp, light.model.decoder) == ("separable", "separable")
    assert light.fit.learning_rate == RATES.get(name, heavy.fit.learning_rate)
    alike = replace(light.fit, precision=heavy.fit.precision, learning_rate=heavy.fit.learning_rate)
    assert replace(light, model=heavy.model, fit=alike, prune=heavy.prune) == heavy
    retrain = replace(light.prune.retrain, precision=heavy.prune.retrain.precision)
    assert replace(light.prune, retrain=retrain) == heavy.prune


@pytest.mark.parametrize("name", ["potsdam_r18", "potsdam_r50", "loveda_r18"])
def test_the_papers_recipe_is_carried_over_to_other_data(name):
    fit = load_config(CONFIGS / f"{name}.yaml").fit
    assert (fit.optimizer, fit.momentum, fit.learning_rate, fit.l2, fit.batch_size) == ("sgd", 0.9, 1e-3, 1e-3, 8)
    assert (fit.schedule, fit.step_factor) == ("step", 0.3)
    assert fit.epochs == 8 * fit.step_epochs


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_data_set_one_folder_deeper_is_pointed_to(tmp_path, name):
    config = DataConfig(name=name, root=str(tmp_path), folder=FolderConfig(classes={"road": "1"}))
    LAYOUTS[name].write(tmp_path / "release")
    (tmp_path / "__MACOSX").mkdir()
    with pytest.raises(DataError) as caught:
        open_dataset(config)
    assert caught.value.hint == f"set data.root={tmp_path / 'release'}"

    LAYOUTS[name].write(tmp_path / "again")
    with pytest.raises(DataError) as caught:
        open_dataset(config)
    assert "data.root" not in caught.value.hint


def test_every_reader_of_files_has_a_row_in_the_table_of_layouts():
    assert {"scenes", *LAYOUTS} == set(READERS)


CHOICES_OF_READERS = [
    f"{setting.name}={value}"
    for section in all_sections({})
    for setting in section.settings
    if section.name.startswith("data.") and setting.values.startswith("one of ")
    for value in setting.values.removeprefix("one of ").split(", ")
]


@pytest.mark.parametrize("word", CHOICES_OF_READERS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_classes_are_known_before_the_files_are_listed(tmp_path, name, word):
    LAYOUTS[name].write(tmp_path)
    words = [f"data.name={name}", f"data.root={tmp_path}", "data.folder.classes={road: 1}"]
    data = load_config(overrides=[*words, word]).data

    assert palette_of(data) == list_dataset(data).palette


@pytest.mark.parametrize("word", CHOICES_OF_READERS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_pairs_are_kept_apart_where_a_choice_changes_what_is_read_of_a_mask(tmp_path, name, word):
    LAYOUTS[name].write(tmp_path)
    words = [f"data.name={name}", f"data.root={tmp_path}", f"data.cache_dir={tmp_path / 'kept'}"]
    usual, other = (
        load_config(overrides=[*words, "data.folder.classes={road: 1}", *more]).data for more in ([], [word])
    )
    kept, masks = zip(
        *((store_of(data, list_dataset(data)).folder, masks_read(data)) for data in (usual, other)), strict=True
    )

    changed = [place for place in set(masks[0]) & set(masks[1]) if not np.array_equal(masks[0][place], masks[1][place])]
    assert not changed or kept[0] != kept[1]


def masks_read(data):
    """The file of each mask that is there, and its class ids; none where the reader refuses its colors."""
    dataset, found = list_dataset(data), {}
    for split in dataset.splits():
        for sample in dataset.samples(split):
            with contextlib.suppress(DataError):
                found[sample.mask] = dataset.read(sample)[1]
    return found


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("classes", [{"road": "010203"}, {"road": "1"}], ids=["colors", "numbers"])
def test_only_a_reader_of_named_classes_says_to_name_unknown_ones(tmp_path, name, classes):
    LAYOUTS[name].write(tmp_path)
    dataset = list_dataset(DataConfig(name=name, root=str(tmp_path), folder=FolderConfig(classes=classes)))
    sample = dataset.samples("train")[0]
    write_image(sample.mask, np.full((8, 12), 77, np.uint8))
    with pytest.raises(DataError, match=r"that are not classes|outside the palette") as caught:
        dataset.read(sample)
    assert ("data.folder.classes" in caught.value.hint) == (name == "folder")
    assert "data.unknown_colors=ignore" in caught.value.hint


def test_generated_scenes_have_three_bands():
    with pytest.raises(ConfigError, match=r"3 bands, `data\.bands` names 4"):
        list_dataset(DataConfig(name="scenes", bands=(1, 2, 3, 4)))
