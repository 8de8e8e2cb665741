"""What tests ask about each reader of files: a new one has its row here, and nothing else to add to them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.datasets.readers.isprs import POTSDAM
from tests.datasets.readers.layouts import write_flat, write_many
from tests.datasets.readers.test_isprs import write_vaihingen
from tests.datasets.readers.test_loveda import write_loveda
from tests.datasets.readers.test_uavid import write_uavid


@dataclass(frozen=True)
class Layout:
    """How a reader's files lie.

    Attributes:
        write: writes some of its files below a folder, as they are published; pictures of 8×12 pixels.
        classes: how many classes its recipes have.
        parts: folders directly in it; without one of them the reader says what to do.
        parts_are_splits: whether each part holds a split, so that only an empty root or split lacks it.
    """

    write: Callable[[Path], None]
    classes: int
    parts: tuple[str, ...] = ()
    parts_are_splits: bool = False


def write_folder(root):
    write_flat(root / "images/a.png")
    write_flat(root / "masks/a.png")


def write_potsdam(root):
    tiles = [tile for split in POTSDAM.splits["paper"].values() for tile in split]
    write_many([root / f"2_Ortho_RGB/top_potsdam_{tile}_RGB.tif" for tile in tiles], (1, 2, 3))
    write_many([root / f"5_Labels_all/top_potsdam_{tile}_label.tif" for tile in tiles], (255, 255, 0))


LAYOUTS = {
    "folder": Layout(write_folder, classes=5),
    "uavid": Layout(write_uavid, classes=8, parts=("uavid_train", "uavid_test"), parts_are_splits=True),
    "vaihingen": Layout(write_vaihingen, classes=5, parts=("top", "gts_for_participants")),
    "potsdam": Layout(write_potsdam, classes=5, parts=("2_Ortho_RGB", "5_Labels_all")),
    "loveda": Layout(write_loveda, classes=7, parts=("Train", "Val"), parts_are_splits=True),
}
"""`data.name` → its layout; `folder` has no parts, as it takes any files in two folders."""

PARTS = [(name, part) for name, layout in LAYOUTS.items() for part in layout.parts]
