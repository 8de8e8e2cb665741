#!/usr/bin/env bash
# NumPy's tofile says nothing when a small array does not fit on the disk: the file is empty, and the call returns.
#
# ndarray.tofile(path) writes through C's buffer (4 KiB here). What is left in it goes to the disk when the file is closed,
# and that error is not told. So an array that is larger than the buffer ends in an OSError, a smaller one is lost without
# a word: a full disk, a quota, a network drive that is gone. open(path, "wb").write(array.tobytes()) tells each time.
#
# Seen with numpy 2.4.6, glibc 2.36, 2026-11-29, Python 3.11, into /dev/full, where every write finds no space:
#   tofile of 1,000 bytes: no error
#   tofile of 100,000 bytes: OSError
#   write of 1,000 bytes: OSError
# Fails if that changes. Linux.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "numpy==2.4.6" 2>/dev/null
cat > "$here/full.py" <<'PY'
import sys
from pathlib import Path

import numpy as np


def written(write):
    try:
        write()
    except OSError:
        return "OSError"
    return "no error"


small, large, full = np.ones(1_000, np.uint8), np.ones(100_000, np.uint8), Path("/dev/full")
said = {
    "tofile of 1,000 bytes": written(lambda: small.tofile(full)),
    "tofile of 100,000 bytes": written(lambda: large.tofile(full)),
    "write of 1,000 bytes": written(lambda: full.write_bytes(small.tobytes())),
}
for what, words in said.items():
    print(f"{what}: {words}")
sys.exit(0 if list(said.values()) == ["no error", "OSError", "OSError"] else 1)
PY
"$here/venv/bin/python" "$here/full.py"
