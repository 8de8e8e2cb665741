"""What `tools/arm64_check.sh` compares: class maps of two machines, and a data set whose masks are those of one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsseg_tf.datasets.images.pixels import read_indices
from rsseg_tf.inference.predict import open_predictor

LEAST_AGREEMENT = 0.995
_MAP = "_classes.png"


def agreement(one: Path, other: Path) -> tuple[int, int]:
    """Return pixels with the same class, and all pixels, of the class maps that lie in both folders.

    Raises:
        SystemExit: if the folders hold other maps, or none.
    """
    names = sorted(path.name for path in one.glob(f"*{_MAP}"))
    if not names or names != sorted(path.name for path in other.glob(f"*{_MAP}")):
        raise SystemExit(f"error: `{one}` and `{other}` hold other class maps, or none")
    pairs = [(read_indices(one / name), read_indices(other / name)) for name in names]
    return sum(int(np.sum(a == b)) for a, b in pairs), sum(a.size for a, _ in pairs)


def write_data_set(folder: Path) -> None:
    """Write `folder`/data.yaml: the images, with the maps in `folder`/x86 as masks and the classes of the model."""
    predictor = open_predictor(folder / "model.tflite")
    images = sorted((folder / "images").iterdir())
    rows = [f"images/{image.name},x86/{image.stem}{_MAP},test" for image in images]
    (folder / "pairs.csv").write_text("\n".join(["image,mask,split", *rows]) + "\n", encoding="utf-8")
    classes = "".join(f"      {name}: {number}\n" for number, name in enumerate(predictor.palette.names))
    data = f"data:\n  name: folder\n  root: .\n  folder:\n    pairs: pairs.csv\n    classes:\n{classes}"
    text = f"{data}evaluate:\n  overlap: {predictor.overlap}\n"
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Run one of the two; 3 where the maps differ in more than a pixel in two hundred."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("agreement", "data-set"))
    parser.add_argument("folders", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    if options.job == "data-set":
        write_data_set(options.folders[0])
        return 0
    same, pixels = agreement(*options.folders)
    print(f"{same} of {pixels} pixels have the same class: {same / pixels:.4%} (at least {LEAST_AGREEMENT:.1%} asked)")
    return 0 if same >= LEAST_AGREEMENT * pixels else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
