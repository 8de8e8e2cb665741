import pytest

from rsseg_tf.config import Config, listing, load_config, to_dict
from rsseg_tf.errors import ConfigError

CHOICES = {"data.name": ("one", "two")}
SETTINGS = [each for section in listing.all_sections(CHOICES) for each in section.settings]


def leaves(plain, prefix=""):
    """Dotted name → value; a mapping that is a setting's value is empty by default."""
    for name, value in plain.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def test_every_setting_is_listed_once_with_its_default():
    assert [(each.name, each.default) for each in SETTINGS if each.name.count(".") == 0] == [
        ("seed", 0),
        ("strategy", "auto"),
    ]
    assert sorted(each.name for each in SETTINGS) == sorted(name for name, _ in leaves(to_dict(Config())))
    assert {each.name: each.default for each in SETTINGS} == dict(leaves(to_dict(Config())))


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda each: each.name)
def test_every_setting_says_what_it_does(setting):
    assert setting.description[:1].strip()
    assert setting.values


def test_every_default_is_within_its_range_and_is_read_back_as_it_is_listed():
    assert load_config(overrides=[f"{each.name}={each.default_text}" for each in SETTINGS]) == Config()


def test_sections_of_the_same_settings_list_the_defaults_that_differ():
    (retrain,) = (each for each in listing.all_sections(CHOICES) if each.name == "prune.retrain")

    assert retrain.like == "fit"
    assert "As `fit`, but for `prune.retrain.epochs=20`." in listing.as_text([retrain])
    assert "batch_size" not in listing.as_text([retrain])


def test_a_section_with_fewer_settings_than_one_of_its_kind_lists_its_own():
    sections = {each.name: each for each in listing.all_sections(CHOICES)}

    assert sections["prune.distill"].like == "fit.distill"
    assert sections["export.qat.distill"].like == ""
    names = [each.name for each in sections["export.qat.distill"].listed]
    assert names == ["export.qat.distill.weight", "export.qat.distill.temperature"]


def test_a_section_comes_with_those_in_it_and_a_setting_alone():
    assert [each.name for each in listing.chosen_sections("fit", CHOICES)] == ["fit", "fit.augment", "fit.distill"]
    assert "fit.epochs=80  (a whole number, at least 1 and at most 1,000,000)" in listing.as_text(
        listing.chosen_sections("fit.epochs", CHOICES)
    )
    assert "(one of one, two)" in listing.as_text(listing.chosen_sections("data.name", CHOICES))


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [("fitt", "`fit`?"), ("fit.epoch", "`fit.epochs`?"), ("data.pairs", "`data.folder.pairs`?"), ("?", "sections:")],
)
def test_an_unknown_section_is_refused_with_what_may_be_meant(wanted, hint):
    with pytest.raises(ConfigError, match="no section or setting") as caught:
        listing.chosen_sections(wanted, CHOICES)

    assert hint in caught.value.hint
