"""The main job on tiny generated scenes: does every step take what the one before it left?"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from rsseg_tf import pruning
from rsseg_tf.cli.main import main
from rsseg_tf.config import Config, load_config
from rsseg_tf.models.weights.pretrained import load_keras_model
from rsseg_tf.tflite.metadata import read_metadata

SETTINGS = (
    "data.name=scenes",
    "data.scenes.train=4",
    "data.scenes.val=2",
    "data.scenes.test=2",
    "data.scenes.size=64",
    "data.input_size=[64, 64]",
    "model.width=0.25",
    "model.aspp_width=64",
    "model.decoder_width=64",
    "fit.epochs=1",
    "fit.batch_size=2",
    "fit.augment.translate_px=2",
    "prune.loops=3",
    "prune.batches=1",
    "prune.macs=0.5",
    "prune.recalibration_batches=2",
    "prune.retrain.epochs=1",
    "prune.retrain.batch_size=2",
    "export.calibration_samples=4",
    "export.check_samples=2",
    "export.max_drop=100",
    "evaluate.overlap=0",
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A folder with a dense run, a pruned run and the pruned int8 file."""
    folder = tmp_path_factory.mktemp("workshop")
    assert main(["fit", "-o", str(folder / "dense"), *SETTINGS]) == 0
    assert main(["prune", str(folder / "dense"), "-o", str(folder / "pruned")]) == 0
    assert main(["export-tflite", str(folder / "pruned"), "-o", str(folder / "pruned.tflite")]) == 0
    return folder


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(overrides=SETTINGS)


@pytest.mark.parametrize("run", ["dense", "pruned"])
def test_a_finished_run_has_a_model_a_log_and_a_manifest_and_no_leftovers(workshop, run):
    names = {path.name for path in (workshop / run).iterdir()}

    assert {"model.keras", "log.csv", "config.yaml", "manifest.json"} <= names
    extras = {"plan.json", "pruning.csv"} if run == "pruned" else set()
    assert names <= {"model.keras", "log.csv", "config.yaml", "manifest.json", "tensorboard", *extras}


def test_pruning_leaves_a_line_a_loop_that_ends_at_what_the_manifest_says(workshop):
    lines = (workshop / "pruned" / "pruning.csv").read_text().splitlines()
    results = json.loads((workshop / "pruned" / "manifest.json").read_text())["results"]

    assert [line.split(",")[0] for line in lines] == ["loop", "1", "2", "3"]
    assert float(lines[-1].split(",")[1]) == pytest.approx(results["macs"] / results["dense_macs"])


def test_the_manifest_says_what_the_pruning_read_and_what_came_of_it(workshop):
    manifest = json.loads((workshop / "pruned" / "manifest.json").read_text())

    assert any(name.endswith("dense/model.keras") for name in manifest["inputs"])
    assert set(manifest["outputs"]) == {"model.keras", "log.csv", "config.yaml", "plan.json", "pruning.csv"}
    assert 0.4 < manifest["results"]["macs"] / manifest["results"]["dense_macs"] <= 0.5
    live = pruning.cost(pruning.live_taps(load_keras_model(workshop / "dense" / "model.keras")))
    assert (manifest["results"]["dense_params"], manifest["results"]["dense_macs"]) == (live.params, live.macs)


def test_fit_trains_and_counts_the_whole_kernels_as_the_paper_does(workshop):
    model = load_keras_model(workshop / "dense" / "model.keras")
    manifest = json.loads((workshop / "dense" / "manifest.json").read_text())

    assert model.get_layer("aspp_rate18_conv").kernel_size == (3, 3)
    assert manifest["results"]["params"] == pruning.cost(model).params


def test_the_plan_replays_on_the_dense_model(workshop):
    dense = load_keras_model(workshop / "dense" / "model.keras")
    plan = pruning.Plan.from_json((workshop / "pruned" / "plan.json").read_text())
    slim = load_keras_model(workshop / "pruned" / "model.keras")

    replayed = pruning.rebuild(pruning.live_taps(dense), plan)

    assert [weight.shape for weight in replayed.weights] == [weight.shape for weight in slim.weights]


def test_kept_counts_are_multiples_of_eight(workshop):
    plan = pruning.Plan.from_json((workshop / "pruned" / "plan.json").read_text())

    assert plan.keep
    assert all(len(channels) % 8 == 0 for channels in plan.keep.values())


def test_the_file_describes_itself(workshop, config):
    metadata = read_metadata((workshop / "pruned.tflite").read_bytes())

    assert metadata is not None
    assert len(metadata.class_names) == 6
    assert metadata.input_size == config.data.input_size
    assert metadata.notes["calibration"]["samples"] == 4


def test_both_kinds_of_model_are_scored_by_one_command(workshop, capsys):
    config = str(workshop / "pruned" / "config.yaml")
    scores = []
    for model in ("pruned.tflite", "pruned/model.keras"):
        assert main(["evaluate", str(workshop / model), "-c", config, "--split", "test", "--json"]) == 0
        scores.append(json.loads(capsys.readouterr().out))

    assert [score["images"] for score in scores] == [2, 2]
    assert scores[0]["confusion"] != [[0] * 6] * 6
    assert np.sum(scores[0]["confusion"]) == np.sum(scores[1]["confusion"])


def test_inspect_reads_both_kinds(workshop, capsys):
    assert main(["inspect", str(workshop / "pruned.tflite"), "--json"]) == 0
    tflite = json.loads(capsys.readouterr().out)
    assert main(["inspect", str(workshop / "pruned" / "model.keras"), "--json"]) == 0
    keras = json.loads(capsys.readouterr().out)

    assert (tflite["partitions"], tflite["float_ops"]) == (1, [])
    assert tflite["macs"] - keras["macs"] == 64 * 64 * 3  # the normalization of the pixels is a convolution there
    assert keras["params"] == sum(layer["params"] for layer in keras["layers"])


def test_predict_writes_a_class_map_of_the_images_size(workshop, tmp_path):
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8))

    assert (
        main(["predict", str(workshop / "pruned.tflite"), str(tmp_path / "photo.png"), "-o", str(tmp_path / "maps")])
        == 0
    )

    shapes = {cv2.imread(str(path)).shape[:2] for path in (tmp_path / "maps").rglob("*.png")}
    assert shapes == {(90, 130)}


def test_a_finished_run_is_not_started_again(workshop, capsys):
    before = (workshop / "dense" / "model.keras").stat().st_mtime_ns

    assert main(["fit", "-o", str(workshop / "dense"), *SETTINGS]) == 2

    assert "--overwrite" in capsys.readouterr().err
    assert (workshop / "dense" / "model.keras").stat().st_mtime_ns == before


def test_a_target_out_of_reach_leaves_nothing(workshop, tmp_path, capsys):
    code = main(["prune", str(workshop / "dense"), "-o", str(tmp_path / "run"), "prune.macs=0.0001"])

    assert code == 2
    assert "error:" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_pruned_to_a_memory_the_file_needs_what_the_plan_says(workshop, tmp_path, capsys):
    run, words = tmp_path / "run", ("export.target=micro", "export.head=logits-low")
    targets = ("prune.macs=1", "prune.arena_bytes=0.7", "prune.retrain.epochs=0")
    assert main(["prune", str(workshop / "dense"), "-o", str(run), *targets, *words]) == 0
    results = json.loads((run / "manifest.json").read_text())["results"]
    capsys.readouterr()

    assert main(["export-tflite", str(run), "-o", str(tmp_path / "slim.tflite"), "--json"]) == 0

    needed = json.loads(capsys.readouterr().out)["micro_arena_bytes"]
    assert needed == results["arena_bytes"] <= 0.7 * results["dense_arena_bytes"]


def test_a_failed_overwrite_keeps_the_old_run(workshop, capsys):
    before = (workshop / "pruned" / "manifest.json").read_bytes()

    code = main(["prune", str(workshop / "dense"), "-o", str(workshop / "pruned"), "--overwrite", "prune.macs=0.0001"])

    assert code == 2
    assert "error:" in capsys.readouterr().err
    assert (workshop / "pruned" / "manifest.json").read_bytes() == before
    assert not list(workshop.glob(".*"))


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_model_is_never_pruned_onto_itself(workshop, capsys, overwrite):
    assert main(["prune", str(workshop / "dense"), "-o", str(workshop / "dense"), *overwrite]) == 2
    assert "another --out" in capsys.readouterr().err
    assert (workshop / "dense" / "model.keras").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["data.input_size=[96, 64]"], "takes 64×64 pixels"),
        (["data.name=vaihingen", "data.root=nowhere"], "nowhere"),
        (["prune.macs=1"], "keep everything"),
    ],
)
def test_settings_that_do_not_fit_are_named_before_anything_is_written(workshop, tmp_path, capsys, settings, message):
    assert main(["prune", str(workshop / "dense"), "-o", str(tmp_path / "run"), *settings]) in (1, 2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_model_of_other_classes_is_an_error(workshop, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for number in range(7):
        for folder in ("images", "masks"):
            (tmp_path / "survey" / folder).mkdir(parents=True, exist_ok=True)
            picture = rng.integers(0, 2, (64, 64, 3) if folder == "images" else (64, 64), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "survey" / folder / f"{number}.png"), picture)
    settings = ["data.name=folder", f"data.root={tmp_path / 'survey'}", "data.folder.classes={land: 0, sea: 1}"]

    for command in ("prune", "export-tflite"):
        assert main([command, str(workshop / "dense"), "-o", str(tmp_path / "out"), *settings]) == 1
        assert "the model has 6 classes" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_benchmark_takes_both_kinds(workshop, capsys):
    models = [str(workshop / "pruned"), str(workshop / "pruned.tflite")]

    assert main(["benchmark", *models, "--repeats", "2", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]

    assert [Path(result["model"]).name for result in results] == ["model.keras", "pruned.tflite"]


def test_too_large_a_loss_of_accuracy_writes_nothing_and_exits_with_3(workshop, tmp_path, capsys):
    out = tmp_path / "strict.tflite"
    code = main(["export-tflite", str(workshop / "pruned"), "-o", str(out), "export.max_drop=-100"])

    assert code == 3
    assert "mIoU points" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_export_is_recorded_beside_the_file(workshop):
    record = json.loads((workshop / "pruned.tflite.json").read_text())

    assert record["proof"]["partitions"] == 1
    assert len(record["calibration_windows"]) == record["calibration"]["samples"] == 4


def test_pruning_to_a_time_without_retraining_tells_milliseconds_and_the_score(workshop, tmp_path, capsys):
    dense, profile = tmp_path / "dense.tflite", tmp_path / "board.json"
    model = str(workshop / "dense")
    assert main(["export-tflite", model, "-o", str(dense), "export.type=float32", "export.max_drop=100"]) == 0
    assert main(["benchmark", str(dense), "--repeats", "3", "--warmup", "1", "--profile", str(profile)]) == 0
    whole = json.loads(profile.read_text())["total_ms"]
    words = [f"prune.latency_ms={0.8 * whole}", f"prune.profile={profile}", "prune.retrain.epochs=0"]
    capsys.readouterr()

    assert main(["prune", model, "-o", str(tmp_path / "timed"), *words, "--json"]) == 0

    out, told = capsys.readouterr()
    result = json.loads(out)
    assert result["latency_ms"] <= 0.8 * result["dense_latency_ms"] + 1e-6
    assert result["val_miou"] == result["val_miou_before_retraining"]
    assert (result["best_epoch"], result["loops"]) == (0, 3)
    assert f"{result['latency_ms']:.1f} ms (estimated)" in told
    assert f"val mIoU {100 * result['val_miou']:.2f} before retraining" in told
    own = next(line for line in told.splitlines() if line.startswith("prune settings other than the defaults: "))
    assert "loops=3" in own  # of the dense run's record
    assert "criterion" not in own
    assert not (tmp_path / "timed" / "log.csv").exists()
    assert (tmp_path / "timed" / "pruning.csv").read_text().startswith("loop,macs,params,latency_ms\n")
    manifest = json.loads((tmp_path / "timed" / "manifest.json").read_text())
    assert manifest["results"]["latency_ms"] == result["latency_ms"]
    plan = pruning.Plan.from_json((tmp_path / "timed" / "plan.json").read_text())
    assert set(plan.details["target"]) == {"latency_ms", "params"}  # these follow from the time
