from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.cluster import engine
from rsseg_tf.cluster.engine import Cluster
from rsseg_tf.cluster.scores import DealtShare, Scoring
from rsseg_tf.cluster.worker import Model
from rsseg_tf.config import load_config
from rsseg_tf.datasets import open_dataset
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ConfigError
from rsseg_tf.evaluation.scoring import evaluate_all
from rsseg_tf.inference.predict import open_predictor
from tests.cluster.workers import handed_out
from tests.tflite.networks import METADATA, frame

IMAGES = 21


@pytest.fixture
def settings(tmp_path: Path, model: Path) -> Path:
    """Images with masks that are about what the model predicts, and the settings that read them."""
    predictor = open_predictor(model)
    lines = ["image,mask,split"]
    for number in range(IMAGES):
        image = frame(number, 50, 40)
        mask = predictor.predict(image)
        mask[:, number:] = np.roll(mask, number, 0)[:, number:]
        write_image(tmp_path / f"data/{number}.png", image)
        write_image(tmp_path / f"data/{number}_mask.png", mask)
        lines.append(f"{number}.png,{number}_mask.png,test")
    (tmp_path / "data/pairs.csv").write_text("\n".join(lines) + "\n")
    classes = ", ".join(f"{name}: {index}" for index, name in enumerate(METADATA.class_names))
    data = f"{{name: folder, root: data, folder: {{pairs: pairs.csv, classes: {{{classes}}}}}}}"
    (tmp_path / "config.yaml").write_text(f"data: {data}\nevaluate: {{overlap: {METADATA.overlap}}}\n")
    return tmp_path / "config.yaml"


def test_the_scores_of_workers_are_those_of_one_process_to_the_digit(
    two: Cluster, model: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(settings.parent)
    config = load_config(settings, ())
    dataset = open_dataset(config.data)
    predictors = [open_predictor(model), open_predictor(model, threads=2)]
    models = [Model(str(model), each.model_sha256, (("threads", 1),)) for each in predictors]
    scoring = Scoring.of(models, predictors, config.data, seed=0, split="test", settings=config.evaluate)
    seen: list[tuple[int, int]] = []
    share = DealtShare(two, scoring, lambda done, total: seen.append((done, total)))
    dealt = evaluate_all(predictors, dataset, "test", settings=config.evaluate, share=share)
    alone = evaluate_all(predictors, dataset, "test", settings=config.evaluate)
    assert [each.to_dict() for each in dealt] == [each.to_dict() for each in alone]
    assert 0 < alone[0].boundary_f1 < 1
    assert seen[-1] == (IMAGES, IMAGES)


def test_workers_without_the_model_are_told_before_they_count(two: Cluster, model: Path, settings: Path) -> None:
    config, predictor = load_config(settings, ()), open_predictor(model)
    gone = Model(str(model.with_name("gone.tflite")), predictor.model_sha256, ())
    scoring = Scoring.of([gone], [predictor], config.data, seed=0, split="test", settings=config.evaluate)
    with pytest.raises(ConfigError, match="no model at"):
        DealtShare(two, scoring, lambda _done, _total: None)


def test_the_command_prints_the_same(
    two: Cluster,
    model: Path,
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(settings.parent)
    words = ["evaluate", str(model), "-c", str(settings), "--json"]
    assert main(words) == 0
    alone = json.loads(capsys.readouterr().out)
    asked = handed_out(two, monkeypatch, engine)
    assert main([*words, "--workers", "2"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == alone
    assert two.dashboard in told.err
    assert asked == [{"workers": 2, "address": ""}]
