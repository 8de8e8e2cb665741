#!/usr/bin/env bash
# rasterio says that a PPM image lies somewhere: its transform is made of numbers that nobody wrote.
#
# A PPM or PGM file, which cameras and FFmpeg write, has no georeference. Without a world file beside it GDAL's driver (PNM)
# answers that there is none, and does not touch the six numbers that it was given to fill in; rasterio hands on what was in
# that memory. So the transform is not the identity by which a program tells such an image, its area is 0 or tiny, and the
# numbers can differ from one call to the next. For PNG, JPEG, BMP and WebP it is the identity. Ask for the world file, or
# refuse a transform whose determinant is next to nothing.
#
# Seen with rasterio 1.4.4 (its wheel has GDAL 3.10.3), 2026-11-30, Python 3.11, x86-64:
#   PPM: identity False, area of a pixel 0
#   PNG: identity True
#   PPM with a world file: [0.5, 0.0, 500000.0, 0.0, -0.5, 2780000.0]
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "rasterio==1.4.4" "numpy==2.4.6" 2>/dev/null
cat > "$here/ppm.py" <<'PY'
import sys
import warnings
from pathlib import Path

import numpy as np
import rasterio

warnings.simplefilter("ignore")
here = Path(sys.argv[1])
pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
(here / "a.ppm").write_bytes(b"P6\n6 8\n255\n" + pixels.tobytes())
(here / "b.ppm").write_bytes((here / "a.ppm").read_bytes())
(here / "b.wld").write_text("0.5\n0\n0\n-0.5\n500000.25\n2779999.75\n")
with rasterio.open(here / "c.png", "w", driver="PNG", width=6, height=8, count=3, dtype="uint8") as png:
    png.write(np.moveaxis(pixels, -1, 0))


def transform(name):
    with rasterio.open(here / name) as dataset:
        return dataset.transform


print(f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}")
seen, png, placed = transform("a.ppm"), transform("c.png"), transform("b.ppm")
print(f"PPM: identity {seen.is_identity}, area of a pixel {abs(seen.determinant):g}; this time {list(seen)[:6]}")
print(f"PNG: identity {png.is_identity}")
print(f"PPM with a world file: {list(placed)[:6]}")
is_as_seen = not seen.is_identity and png.is_identity and list(placed)[:6] == [0.5, 0, 500000, 0, -0.5, 2780000]
sys.exit(0 if is_as_seen else 1)
PY
"$here/venv/bin/python" "$here/ppm.py" "$here"
