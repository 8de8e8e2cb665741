from __future__ import annotations

import builtins
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from rsseg_tf.cli.main import main
from rsseg_tf.datasets.images.pixels import read_indices, write_image
from rsseg_tf.errors import RssegError
from rsseg_tf.inference.files import images
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.runs import file_hash
from rsseg_tf.tflite.metadata import embed_metadata
from tests.inference.photos import NADIR, PHANTOM, photo
from tests.inference.rasters import geotiff, origin, stored
from tests.quantization.tiny import segmenter
from tests.tflite.networks import METADATA, SIZE, frame, image_model, tiny_model
from tests.tflite.without_tensorflow import run_without_tensorflow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(embed_metadata(tiny_model(), METADATA))
    return path


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "b.jpg")):
        write_image(tmp_path / "survey" / name, frame(number, 50, 40))
    return tmp_path / "survey"


def words(*arguments: object) -> list[str]:
    return ["predict", *map(str, arguments)]


def test_a_folder_of_images_becomes_class_maps(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(model, survey, "--out", tmp_path / "out", "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert [Path(record["image"]).name for record in result["images"]] == ["a.png", "b.jpg"]
    assert read_indices(tmp_path / "out/b_classes.png").shape == (50, 40)
    shares = [values["share"] for values in result["images"][0]["classes"].values()]
    assert sum(shares) == pytest.approx(1)


def test_it_runs_without_tensorflow_and_leaves_stderr_quiet(model: Path, survey: Path, tmp_path: Path) -> None:
    done = run_without_tensorflow(*words(model, survey, "-o", tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 images" in done.stdout


def test_areas_follow_the_size_of_a_pixel(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(words(model, survey / "a.png", "-o", tmp_path / "out", "--gsd", "2", "--json"))
    (record,) = json.loads(capsys.readouterr().out)["images"]
    assert sum(values["area_m2"] for values in record["classes"].values()) == 50 * 40 * 4


def test_another_overlap_needs_another_folder_or_overwrite(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = words(model, survey, "-o", tmp_path / "out", "--overlap", "0")
    assert main(words(model, survey, "-o", tmp_path / "out")) == 0
    assert main(again) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*again, "--overwrite"]) == 0


def test_an_overlap_as_large_as_a_tile_is_refused(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(model, survey, "-o", tmp_path / "out", "--overlap", SIZE)) == 2
    assert "overlap" in capsys.readouterr().err


def test_a_folder_without_images_is_named(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(words(model, tmp_path / "empty", "-o", tmp_path / "out")) == 1
    assert "empty" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_truncated_image_is_named_and_leaves_nothing_of_it(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = survey / "b.jpg"
    image.write_bytes(image.read_bytes()[:300])
    assert main(words(model, survey, "-o", tmp_path / "out")) == 1
    assert "b.jpg" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a_classes.png",
        "a_classes.qml",
        "a_overlay.jpg",
    ]


def test_a_network_for_other_channels_is_named(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "four.tflite"
    path.write_bytes(image_model(4))
    assert main(words(path, survey, "-o", tmp_path / "out", "--std", "1")) == 2
    assert "sees 4 bands of an image, no bands are named" in capsys.readouterr().err
    assert main(words(path, survey, "-o", tmp_path / "out", "--std", "1", "--bands", "1,2,3,4")) == 2
    assert "has 3 bands, the settings ask for 4" in capsys.readouterr().err
    assert main(words(path, survey, "-o", tmp_path / "out", "--std", "1", "--bands", "[3,2,1,1]")) == 0


def test_a_keras_model_predicts_with_the_settings_of_its_run(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    segmenter(size=32, classes=6).save(run / "model.keras")
    (run / "config.yaml").write_text("data: {ground_sampling_distance_m: 3}")
    assert main(words(run, survey / "a.png", "-o", tmp_path / "out", "--json")) == 0
    (record,) = json.loads(capsys.readouterr().out)["images"]
    assert record["made_from"]["model_sha256"] == file_hash(run / "model.keras")
    assert record["made_from"]["ground_sampling_distance_m"] == 3


def test_a_geotiff_without_rasterio_says_what_to_install(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 50, 40))
    monkeypatch.setattr("builtins.__import__", _without_rasterio(builtins.__import__))
    assert main(words(model, image, "-o", tmp_path / "out")) == 2
    assert "rsseg-tf[geo]" in capsys.readouterr().err


def _without_rasterio(real: Callable[..., object]) -> Callable[..., object]:
    def importing(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "rasterio":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    return importing


def test_a_geotiff_is_mapped_and_says_its_areas(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 50, 40))
    assert main(words(model, image, "-o", tmp_path / "out", "--json")) == 0
    (record,) = json.loads(capsys.readouterr().out)["images"]
    assert record["files"]["classes"] == "a_classes.tif"
    assert sum(values["area_m2"] for values in record["classes"].values()) == pytest.approx(50 * 40 * 0.25, rel=1e-3)
    assert 0 < record["run"]["network_seconds"] < record["run"]["seconds"]


@pytest.mark.parametrize("option", [("--bands", "1,2"), ("--bands", "a,b,c"), ("--scale", "5"), ("--scale", "9,3")])
def test_senseless_channels_are_refused(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    assert main(words(model, survey, "-o", tmp_path / "out", *option)) == 2
    assert "hint:" in capsys.readouterr().err


def test_a_video_and_images_go_together(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flight.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (40, 48))
    for number in range(4):
        writer.write(frame(number, 48, 40))
    writer.release()
    assert main(words(model, survey, path, "-o", tmp_path / "out", "--every", 2)) == 0
    text = capsys.readouterr().out
    assert "flight.avi: 2 frames" in text
    assert "2 images and 1 video in" in text
    assert (tmp_path / "out/flight_overlay.mp4").exists()


def test_what_a_folder_holds_is_predicted_or_named(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("c.webp", "d.BMP", "e.jp2"):
        Image.fromarray(frame(0, 50, 40)).save(survey / name)
    (survey / "day two").mkdir()
    for name in ("f.MP4", "day two/g.mov", "notes.txt"):
        (survey / name).write_bytes(b"0")
    assert main(words(model, survey, "-o", tmp_path / "out")) == 0
    text = capsys.readouterr().out
    assert "5 images in" in text
    assert f"2 videos in folders are skipped; name what is to be predicted: {survey / 'day two/g.mov'}" in text
    assert main(words(model, survey, "-o", tmp_path / "out", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert [Path(record["image"]).name for record in found["images"]] == ["a.png", "b.jpg", "c.webp", "d.BMP", "e.jp2"]
    assert found["skipped"] == [str(survey / "day two/g.mov"), str(survey / "f.MP4")]


def test_a_drones_photo_says_where_its_areas_come_from(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = photo(tmp_path / "in/a.jpg", PHANTOM, NADIR)
    assert main(words(model, path, "-o", tmp_path / "out")) == 0
    assert "; pixels of 277.78 cm, from its altitude of 100 m above take-off" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n"])
def test_an_empty_image_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "zero.png").write_bytes(content)
    assert main(words(model, tmp_path / "zero.png", "-o", tmp_path / "out")) == 1
    assert "zero.png" in capsys.readouterr().err


def test_ctrl_c_keeps_finished_images_and_exits_with_130(model: Path, survey: Path, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys, time\n"
        "from rsseg_tf.cli.main import main\n"
        "from rsseg_tf.inference.files import images\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell has it ignored
        "opened = images.open_picture\n"
        "def opening(path, channels, **more):\n"
        "    while path.name == 'b.jpg' and not pathlib.Path(sys.argv[-1], 'a.json').exists(): time.sleep(0.01)\n"
        "    if path.name == 'b.jpg': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return opened(path, channels, **more)\n"
        "images.open_picture = opening\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, *words(model, survey, "-o", tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("Traceback")) == (130, 0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.json",
        "a_classes.png",
        "a_classes.qml",
        "a_overlay.jpg",
    ]


def test_a_foreign_file_is_described_on_the_command_line(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tiny_model("float32"))
    said = ("--names", "a, b,c,d", "--fitting", "resize", "--mean", "127.5", "--std", "127.5")
    assert main(words(path, survey / "a.png", "-o", tmp_path / "out", *said, "--json")) == 0
    (record,) = json.loads(capsys.readouterr().out)["images"]
    assert list(record["classes"]) == ["a", "b", "c", "d"]
    assert record["made_from"]["fitting"] == "resize"


def test_settings_count_for_a_model_file_too(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "own.yaml"
    settings.write_text("evaluate: {overlap: 3}\n")
    assert main(words(model, survey / "a.png", "-o", tmp_path / "out", "-c", settings, "--json")) == 0
    (record,) = json.loads(capsys.readouterr().out)["images"]
    assert record["made_from"]["overlap_px"] == 3
    assert main(words(model, survey / "a.png", "-o", tmp_path / "none", "-c", tmp_path / "none.yaml")) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_classes_that_a_file_does_not_name_are_those_of_the_settings_which_is_said(
    survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, settings = tmp_path / "foreign.tflite", tmp_path / "own.yaml"
    path.write_bytes(tiny_model("float32"))
    settings.write_text("data: {name: folder, root: none, folder: {classes: {a: 0, b: 1, c: 2, d: 3}}}\n")
    asked = ("--mean", "127.5", "--std", "127.5", "--json")
    assert main(words(path, survey / "a.png", "-o", tmp_path / "out", "-c", settings, *asked)) == 0
    told = capsys.readouterr()
    (record,) = json.loads(told.out)["images"]
    assert list(record["classes"]) == ["a", "b", "c", "d"]
    assert "does not name its classes: they are taken for those of the settings in their order, a, b, c, d" in told.err
    assert (
        main(words(path, survey / "a.png", "-o", tmp_path / "named", "-c", settings, *asked, "--names", "d,c,b,a")) == 0
    )
    told = capsys.readouterr()
    assert list(json.loads(told.out)["images"][0]["classes"]) == ["d", "c", "b", "a"]
    assert told.err == ""


def test_what_describes_itself_is_not_described(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(model, survey, "-o", tmp_path / "out", "--mean", "1")) == 2
    assert "already describes itself" in capsys.readouterr().err


def test_polygons_and_confidence_of_a_model_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 32, 32))
    asked = ("--polygons", "geojson", "--simplify", "--confidence", "--overlap", "0")
    assert main(words(model, image, "-o", tmp_path / "out", *asked, "--json")) == 0
    (record,) = json.loads(capsys.readouterr().out)["images"]
    assert {record["files"][kind] for kind in ("polygons", "confidence", "style")} == {
        "a_polygons.geojson",
        "a_confidence.tif",
        "a_classes.qml",
    }
    logits = TFLiteRunner(model).logits(frame(0, 32, 32))
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    assert np.allclose(stored(tmp_path / "out/a_confidence.tif") / 250, 1 / shares.sum(-1), atol=0.0021)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--simplify",), "--polygons"),
        (("--least-area", "3"), "--polygons"),
        (("--polygons", "gpkg", "--least-area", "3", "--gsd", "0"), "--gsd"),
        (("--threshold", "2"), "0<=x<=1"),
    ],
)
def test_senseless_products_are_refused(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, ...], said: str
) -> None:
    assert main(words(model, survey / "a.png", "-o", tmp_path / "out", *asked)) == 2
    assert said in capsys.readouterr().err


def test_an_image_and_a_video_of_one_name_have_records_of_their_own(model: Path, tmp_path: Path, capsys) -> None:
    write_image(tmp_path / "in/a_video.png", frame(0, 50, 40))
    film = cv2.VideoWriter(str(tmp_path / "in/a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (40, 48))
    film.write(frame(1, 48, 40))
    film.release()
    command = words(model, tmp_path / "in/a_video.png", tmp_path / "in/a.avi", "-o", tmp_path / "out", "--json")
    assert main(command) == 0
    first = capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {"a_video.json", "a_avi_video.json"}
    assert main(command) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("name", ["b_classes.png", "b_overlay.jpg", "b_polygons.gpkg", "b_classes.tif"])
def test_nothing_is_written_over_files_that_no_record_names(
    model: Path, survey: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    mine = tmp_path / "out" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    assert main(words(model, survey, "-o", mine.parent)) == 2
    assert f"{name}` is in the way" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    assert main(words(model, survey, "-o", mine.parent, "--overwrite")) == 0


def test_what_a_call_left_that_did_not_end_well_is_made_again(
    model: Path, survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RssegError("no room", hint="make some")

    with monkeypatch.context() as full:
        full.setattr(images, "recorded", fails)
        assert main(words(model, survey, "-o", tmp_path / "out")) == 1
    assert (tmp_path / "out/a_classes.png").exists()
    assert main(words(model, survey, "-o", tmp_path / "out")) == 0
    assert {path.name for path in (tmp_path / "out").glob("*") if path.suffix in (".json", ".unfinished")} == {
        "a.json",
        "b.json",
    }


def test_what_is_made_again_takes_the_place_of_all_that_was_there(model: Path, survey: Path, tmp_path: Path) -> None:
    assert main(words(model, survey, "-o", tmp_path / "out", "--confidence", "--polygons", "geojson")) == 0
    (tmp_path / "out/a_notes.txt").write_text("mine")
    assert main(words(model, survey, "-o", tmp_path / "out", "--threshold", "0.5", "--overwrite")) == 0
    kinds = ("_classes.png", "_classes.qml", "_overlay.jpg", ".json")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *(f"{name}{kind}" for name in "ab" for kind in kinds),
        "a_notes.txt",
    }


def test_a_video_has_no_polygons(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flight.mp4").write_bytes(b"x")
    for option in (("--polygons", "gpkg"), ("--threshold", "0.5"), ("--confidence",)):
        assert main(words(model, tmp_path / "flight.mp4", "-o", tmp_path / "out", *option)) == 2
        error = capsys.readouterr().err
        assert f"error: {option[0]}: of images" in error
        assert "videos apart" in error


def test_an_image_of_another_resolution_is_told_or_resampled(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model of the tests learned from pixels of half a meter."""
    image = geotiff(tmp_path / "in/a.tif", frame(0, 40, 60), transform=origin(325_000, 2_780_000, 0.125))
    assert main(words(model, image, "-o", tmp_path / "own")) == 0
    assert "warning: " in (said := capsys.readouterr().err)
    assert "0.125 m" in said
    assert "0.5 m" in said
    assert main(words(model, image, "-o", tmp_path / "out", "--resample", "--json")) == 0
    printed = capsys.readouterr()
    (record,) = json.loads(printed.out)["images"]

    assert printed.err == ""
    assert (record["height"], record["width"]) == (10, 15)
