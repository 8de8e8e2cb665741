#!/usr/bin/env bash
# What a pixel of a WarpedVRT is depends on the window that it is read in.
#
# GDAL's warper computes where a destination pixel comes from at the ends and the middle of a row of what it is asked for,
# and takes a straight line between them where that is off by less than `tolerance`, 0.125 source pixels by default. With
# nearest neighbours a source coordinate that lies within that of a border between two pixels is then rounded one way in one
# window and the other way in another. So tiles of a warped mosaic are not cut-outs of the mosaic: the same reader, file
# and pixel give two values. With `tolerance=0` every window shows the same.
#
# Seen with rasterio 1.4.4 (GDAL 3.10.3), numpy 2.2.6, Python 3.11, 2026-12-01:
#   UTM to Web Mercator, default tolerance: 1 to 100 of 213,792 pixels differ between the whole and tiles of 100 x 100
#   tolerance=0: none
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "rasterio==1.4.4" "numpy==2.2.6" 2>/dev/null
cat > "$here/windows.py" <<'PY'
import numpy as np
import rasterio
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

TILE = 100
GRID = {"crs": "EPSG:32640", "transform": Affine(0.5, 0, 325_000, 0, -0.5, 2_780_000)}


def by_tiles(dataset):
    made = np.zeros((dataset.height, dataset.width), np.uint8)
    for row in range(0, dataset.height, TILE):
        for column in range(0, dataset.width, TILE):
            box = Window(column, row, min(TILE, dataset.width - column), min(TILE, dataset.height - row))
            made[row : row + TILE, column : column + TILE] = dataset.read(1, window=box)
    return made


pixels = np.random.default_rng(0).integers(1, 256, (400, 520)).astype(np.uint8)
with MemoryFile() as memory:
    with memory.open(driver="GTiff", count=1, height=400, width=520, dtype="uint8", **GRID) as made:
        made.write(pixels, 1)
    with memory.open() as source:
        for name, how in (("default tolerance", {}), ("tolerance=0", {"tolerance": 0})):
            with WarpedVRT(source, crs="EPSG:3857", **how) as turned:
                differ = int(np.count_nonzero(turned.read(1) != by_tiles(turned)))
            words = "none" if not differ else "1 to 100" if differ <= 100 else str(differ)
            print(f"{name}: {words}")
PY
out=$("$here/venv/bin/python" "$here/windows.py")
echo "$out"
diff <(echo "$out") - <<'EXPECTED'
default tolerance: 1 to 100
tolerance=0: none
EXPECTED
