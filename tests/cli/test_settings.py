import json

from rsseg_tf.cli.main import main


def test_settings_are_printed_for_people_and_programs(capsys):
    assert main(["settings", "data"]) == 0
    text = capsys.readouterr().out
    assert main(["settings", "data", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)

    assert "data.name=scenes  (one of scenes, folder, uavid" in text
    names = [each["name"] for section in values["sections"] for each in section["settings"]]
    assert names
    assert all(f"{name}=" in text for name in names)
    assert sorted(values["sections"][0]) == ["about", "changed", "like", "name", "settings"]
    assert sorted(values["sections"][0]["settings"][0]) == ["default", "description", "name", "values"]


def test_an_unknown_section_exits_with_2(capsys):
    assert main(["settings", "fitt"]) == 2
    assert "did you mean `fit`?" in capsys.readouterr().err
