"""The folder that the cases run in: sound inputs, and every kind of damaged one."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np

SURVEY = """
data:
  name: folder
  root: survey
  folder: {pairs: splits.csv, classes: {land: "102030", sea: "405060"}}
  input_size: [32, 32]
"""
COLORS = np.array([[0x10, 0x20, 0x30], [0x40, 0x50, 0x60]], np.uint8)


def write_inputs(folder: Path) -> None:
    """Write everything but models."""
    folder.mkdir(parents=True, exist_ok=True)
    write_survey(folder / "survey")
    (folder / "survey.yaml").write_text(SURVEY)
    _write_settings(folder / "yaml")
    _write_images(folder / "bad")
    _write_pairs(folder)
    _write_models(folder / "models")
    _write_results(folder / "json")
    _write_labels(folder / "labels")
    _write_odd_places(folder)


def write_survey(root: Path, *, images: int = 4) -> None:
    """Write images of 40×40 pixels and masks of two colors, listed in `splits.csv`."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    lines = ["image,mask,split"]
    for number, split in zip(range(images), ("train", "train", "val", "test"), strict=False):
        mask = COLORS[rng.integers(0, 2, (40, 40))]
        cv2.imwrite(str(root / f"images/a{number}.png"), rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
        cv2.imwrite(str(root / f"masks/a{number}.png"), mask[..., ::-1])
        lines.append(f"images/a{number}.png,masks/a{number}.png,{split}")
    (root / "splits.csv").write_text("\n".join(lines) + "\n")


def png(height: int, width: int, *, bits: int = 8, kind: int = 0) -> bytes:
    """A PNG of zeros that is small however many pixels it has."""
    stride = -(-width * bits // 8) * (3 if kind == 2 else 1)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(1 + stride)) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _write_settings(folder: Path) -> None:
    folder.mkdir()
    texts = {
        "open": "data: [",
        "list": "- a\n- b\n",
        "word": "fit",
        "unknown": "fit: {epoch: 3}\n",
        "twice": "fit: {epochs: 3}\nfit: {epochs: 4}\n",
        "tab": "fit:\n\tepochs: 3\n",
        "deep": "a: " + "[" * 600,
        "laughs": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "tag": "fit: !!python/object/apply:os.system [ls]\n",
        "section": "fit: 3\n",
        "key": "? [a, b]\n: 3\n",
        "alias": "fit: *nothing\n",
        "nul": "fit: \0\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    (folder / "latin.yaml").write_bytes("data: {name: gr\xfcn}\n".encode("latin-1"))
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "folder.yaml").mkdir()


def _write_images(folder: Path) -> None:
    """Images that cannot be read, each in a folder of its own too, so that a folder can be named."""
    folder.mkdir()
    sound = cv2.imencode(".png", np.full((40, 40, 3), 7, np.uint8))[1].tobytes()
    jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))[1].tobytes()
    files = {
        "empty.png": b"",
        "text.png": b"this is no image",
        "cut.png": sound[:60],
        "head.png": sound[:8],
        "flipped.png": sound[:45] + bytes([sound[45] ^ 255]) + sound[46:],
        "none.png": png(0, 0),
        "many.png": sound[:16] + struct.pack(">II", 2**31 - 1, 2**31 - 1) + sound[24:],
        "deep.png": cv2.imencode(".png", np.zeros((40, 40), np.uint16))[1].tobytes(),
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "head.jpg": jpeg[:20],
        "empty.jpg": b"",
        "broken.tif": b"II*\x00" + b"\xff" * 40,
        "short.tif": b"II*\x00",
        "empty.tif": b"",
        "webp.webp": b"RIFF0000WEBPVP8 ",
        "empty.bmp": b"",
        "text.jp2": b"no",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder.png").mkdir()


def _write_pairs(folder: Path) -> None:
    """Data sets with one thing wrong in each."""
    lists = {
        "no_header": "images/a0.png,masks/a0.png,train\n",
        "no_column": "image,mask\nimages/a0.png,masks/a0.png\n",
        "missing": "image,mask,split\nimages/gone.png,masks/a0.png,train\n",
        "short": "image,mask,split\nimages/a0.png\n",
        "empty": "",
        "outside": "image,mask,split\n../../../etc/passwd,masks/a0.png,train\n",
        "only_test": "image,mask,split\nimages/a0.png,masks/a0.png,test\n",
        "quote": 'image,mask,split\n"images/a0.png,masks/a0.png,train\n',
        "nul": "image,mask,split\nimages/a0.png\0,masks/a0.png,train\n",
        "long": f"image,mask,split\n{'x' * 300}.png,masks/a0.png,train\n",
        "huge": f"image,mask,split\n{'x' * 200_000}.png,masks/a0.png,train\n",
    }
    for name, text in lists.items():
        (folder / "survey" / f"{name}.csv").write_text(text)
    (folder / "survey" / "latin.csv").write_bytes("image,mask,split\ngr\xfcn.png,a.png,train\n".encode("latin-1"))
    big = folder / "big"
    write_survey(big)
    (big / "images" / "a0.png").write_bytes(png(18_000, 18_000, bits=1))
    (folder / "hollow").mkdir()
    (folder / "unpaired" / "images").mkdir(parents=True)
    (folder / "unpaired" / "images" / "a.png").write_bytes((folder / "survey/images/a0.png").read_bytes())


def _write_models(folder: Path) -> None:
    folder.mkdir()
    for suffix in ("tflite", "keras", "h5", "pth", "safetensors"):
        (folder / f"empty.{suffix}").write_bytes(b"")
        (folder / f"text.{suffix}").write_bytes(b"this is no model" * 9)
    for name, inside in {"hollow": {}, "config": {"config.json": "{}"}, "no_json": {"config.json": "{"}}.items():
        with zipfile.ZipFile(folder / f"{name}.keras", "w") as archive:
            for member, text in inside.items():
                archive.writestr(member, text)
    with zipfile.ZipFile(folder / "bare.keras", "w") as archive:
        for member in ("config.json", "model.weights.h5"):
            archive.writestr(member, "")
    (folder / "magic.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    (folder / "ones.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 64)
    (folder / "folder.tflite").mkdir()
    (folder / "claims.safetensors").write_bytes(
        struct.pack("<Q", 92)
        + b'{"a": {"dtype": "F32", "shape": [1000000, 1000000], "data_offsets": [0, 4000000000000]}}   '
    )
    (folder / "claims_header.safetensors").write_bytes(struct.pack("<Q", 2**62) + b"{}")


def _write_results(folder: Path) -> None:
    folder.mkdir()
    texts = {
        "text": "no json",
        "empty": "",
        "list": "[]",
        "number": "3",
        "null": "null",
        "deep": '{"a": ' + "[" * 100_000,
        "deep_whole": '{"miou": ' + "[" * 5_000 + "]" * 5_000 + ', "confusion": 1, "class_names": 2}',
        "infinity": '{"miou": Infinity, "confusion": [[1]], "class_names": ["a"]}',
        "types": '{"miou": "x", "confusion": "y", "class_names": 3}',
        "bench": '{"results": [{"p50_ms": "fast"}]}',
        "bench_number": '{"results": 3}',
        "bench_text": '{"results": "p50_ms"}',
        "models": '{"models": 3, "differences": 4}',
        "models_list": '{"models": [3], "differences": []}',
        "ranges": '{"tensors": 3, "layers": 4, "samples": 5}',
        "ragged": '{"miou": 0.5, "confusion": [[1, 2], [3]], "class_names": ["a", "b"]}',
        "digits": '{"miou": ' + "9" * 5000 + ', "confusion": [[1]], "class_names": ["a"]}',
        "surrogate": '{"miou": 0.5, "model": "\\ud800", "confusion": [[1]], "class_names": ["\\ud800"]}',
        "profile_kind": '{"kind": "x", "format": 1}',
    }
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    (folder / "latin.json").write_bytes(b'{"a": "\xfc"}')


def _write_labels(folder: Path) -> None:
    """What other programs export, broken."""
    for name, files in {
        "coco": {"instances.json": '{"images": [], "annotations": [], "categories": []}'},
        "coco_types": {"instances.json": '{"images": 3, "annotations": "x", "categories": null}'},
        "labelme": {"a.json": '{"shapes": 3, "imagePath": "a.png"}'},
        "cvat": {"annotations.xml": "<annotations>"},
        "nothing": {"readme.txt": "no images"},
    }.items():
        (folder / name).mkdir(parents=True)
        for file, text in files.items():
            (folder / name / file).write_text(text)
    (folder / "text.gpkg").write_text("no package")
    (folder / "text.geojson").write_text("no json")
    (folder / "empty.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    feature = {"type": "Feature", "properties": {"class": "land"}, "geometry": square}
    (folder / "one.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))


def _write_odd_places(folder: Path) -> None:
    loop = folder / "loop"
    loop.mkdir()
    (loop / "a.png").write_bytes((folder / "survey/images/a0.png").read_bytes())
    for name in ("one", "two"):
        (loop / name).symlink_to(loop)
    pipes = folder / "pipes"
    pipes.mkdir()
    os.mkfifo(pipes / "pipe.png")
    (pipes / "zero.png").symlink_to("/dev/zero")
    pairs = ("pipe.png,zero.png,train", "../survey/images/a0.png,pipe.png,train", "zero.png,../survey/masks/a0.png,val")
    (pipes / "pairs.csv").write_text("\n".join(["image,mask,split", *pairs]) + "\n")
    odd = folder / "odd"
    odd.mkdir()
    (odd / "caf\udce9.png").write_bytes((folder / "survey/images/a0.png").read_bytes())
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "a_file").write_text("a file")


def write_tflites(folder: Path, models: Path) -> None:
    """Copy sound `.tflite` files from a folder, and cut off some."""
    sealed = (models / "sealed.tflite").read_bytes()
    (folder / "sealed.tflite").write_bytes(sealed)
    (folder / "foreign.tflite").write_bytes((models / "float32.tflite").read_bytes())
    for share in (1, 30, 60, 90):
        (folder / f"cut{share}.tflite").write_bytes(sealed[: len(sealed) * share // 100])
    four = "{name: folder, root: survey, folder: {pairs: splits.csv, classes: {road: 1, roof: 2, tree: 3, car: 4}}}"
    (folder / "four.yaml").write_text(f"data: {four}")
    (folder / "scenes.yaml").write_text("data: {name: scenes, scenes: {train: 1, val: 1, test: 1, size: 64}}")
