"""A tiny report's inputs: run folders, exported files and a data set, made without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rsseg_tf.config import Config, dump_yaml, load_config, to_dict
from rsseg_tf.datasets.catalog import open_dataset
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.inference.predict import open_predictor
from rsseg_tf.runs import file_hash, write_json, write_manifest
from rsseg_tf.tflite.metadata import embed_metadata
from tests.tflite.networks import METADATA, frame, tiny_model

SETTINGS = ("model.backbone=resnet18", "evaluate.overlap=8", "data.input_size=[32, 32]")


def make_data(folder: Path, classes: Sequence[str] = METADATA.class_names, *, images: int = 3) -> Config:
    """Images whose masks are about what the float network predicts, and settings for them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "truth.tflite").write_bytes(embed_metadata(tiny_model("float32"), METADATA))
    predictor = open_predictor(folder / "truth.tflite")
    lines = ["image,mask,split"]
    for number in range(images):
        image = frame(number, 50, 44)
        mask = predictor.predict(image)
        mask[:4] = (mask[:4] + 1) % 4
        write_image(folder / f"{number}.png", image)
        write_image(folder / f"{number}_mask.png", mask)
        lines += [f"{number}.png,{number}_mask.png,{split}" for split in (("train", "test") if number else ("val",))]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    named = ", ".join(f"{name}: {index}" for index, name in enumerate(classes))
    words = (
        "data.name=folder",
        f"data.root={folder}",
        "data.folder.pairs=pairs.csv",
        f"data.folder.classes={{{named}}}",
    )
    return load_config(overrides=[*words, *SETTINGS])


def make_run(folder: Path, config: Config, *, pruned: bool = False, control: str = "") -> Path:
    """A finished run folder; its model file is not one."""
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(folder.name.encode())
    (folder / "config.yaml").write_text(dump_yaml(config))
    (folder / "log.csv").write_text("epoch,learning_rate,loss,val_miou,seconds\n1,0.1,0.9,nan,3\n2,0.1,0.7,0.5,3\n")
    results = {"params": 500 if pruned else 1000, "macs": 4000 if pruned else 9000, "val_miou": 0.5}
    outputs = ["model.keras", "config.yaml", "log.csv"]
    if control:
        results["control"] = control
    if pruned:
        results["loops"] = 2
        plan = {"keep": {"block_conv": [0, 2], "last_conv": [1]}, "widths": {"block_conv": 8, "last_conv": 4}}
        (folder / "plan.json").write_text(json.dumps(plan))
        (folder / "pruning.csv").write_text("loop,macs,params\n1,0.7,0.8\n2,0.44,0.5\n")
        outputs += ["plan.json", "pruning.csv"]
        results["val_miou_before_retraining"] = 0.3
    inputs = {"data:train": open_dataset(config.data).fingerprint("train")}
    write_manifest(folder, seed=0, inputs=inputs, outputs=outputs, results=results)
    return folder


def make_file(path: Path, run: Path, config: Config, *, kind: str = "float32") -> Path:
    """A `.tflite` with its record beside it, as if exported from the run."""
    path.write_bytes(embed_metadata(tiny_model(kind), replace(METADATA, notes={"run": run.name})))
    manifest = json.loads((run / "manifest.json").read_text())
    record = {
        "type": kind,
        "sha256": file_hash(path),
        "made_from": {
            str(run / "model.keras"): manifest["outputs"]["model.keras"],
            "data:train": manifest["inputs"]["data:train"],
        },
        "settings": to_dict(config),
        "calibration": {"samples": 4, "sha256": "c0ffee"} if kind == "int8" else None,
        "agreement": {"samples": 2, "argmax": 0.99},
    }
    write_json(path.with_name(f"{path.name}.json"), record)
    return path


def make_inputs(folder: Path) -> list[Path]:
    """Two runs, and of each a float and an int8 file."""
    config = make_data(folder / "data")
    dense = make_run(folder / "dense", config)
    pruned = make_run(folder / "pruned", config, pruned=True)
    files = [
        make_file(folder / f"{run.name}_{kind}.tflite", run, config, kind=kind)
        for run in (dense, pruned)
        for kind in ("float32", "int8")
    ]
    return [dense, pruned, *files]
