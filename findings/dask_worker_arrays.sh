#!/usr/bin/env bash
# Dask's nannies turn glibc's adaptation to large arrays off: a worker gives the memory of each array back to the system.
#
# glibc maps blocks of 128 KiB and more for themselves, until one is freed: then it raises that limit, up to 32 MiB, and
# takes the next ones from its heap. Any value of MALLOC_TRIM_THRESHOLD_ ends this (mallopt(3)), and Dask's nannies start
# workers with 65536. So every array of 128 KiB or more that a worker makes is cleared by the system, page by page, where
# the same code in a plain process uses the same pages again. Workers that make arrays of a megabyte all day spend a
# seventh of their time in the system. Dask's documentation speaks of memory that is kept, not of this price. Both limits in
# the environment of whoever starts the nannies, which goes before theirs, make up for it; so does mallopt in the worker.
#
# Seen with distributed 2026.8.0, glibc 2.36 on x86-64, 2026-11-29, Python 3.11, pages of 4 KiB:
#   a plain process, 50 arrays of 2 MB: fewer than 2,000 new pages
#   a worker of LocalCluster, 50 arrays of 2 MB: more than 20,000 new pages
#   the same worker after mallopt, 32 MiB for both: fewer than 2,000 new pages
# Fails if that changes. Linux with glibc.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "distributed==2026.8.0" 2>/dev/null
cat > "$here/arrays.py" <<'PY'
import ctypes
import resource
import sys

from distributed import Client, LocalCluster

ARRAYS, BYTES, HEAP = 50, 2_000_000, 32 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def new_pages():
    for _ in range(3):
        b"x" * BYTES
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ARRAYS):
        b"x" * BYTES
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def keep_memory():
    libc = ctypes.CDLL(None)
    return [libc.mallopt(option, HEAP) for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD)]


def in_words(pages):
    return "fewer than 2,000" if pages < 2_000 else "more than 20,000" if pages > 20_000 else str(pages)


if __name__ == "__main__":
    plain = new_pages()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        usual = client.submit(new_pages, pure=False).result()
        client.submit(keep_memory).result()
        kept = client.submit(new_pages, pure=False).result()
    print(f"a plain process, {ARRAYS} arrays of 2 MB: {in_words(plain)} new pages")
    print(f"a worker of LocalCluster, {ARRAYS} arrays of 2 MB: {in_words(usual)} new pages")
    print(f"the same worker after mallopt, 32 MiB for both: {in_words(kept)} new pages")
    sys.exit(0 if plain < 2_000 < 20_000 < usual and kept < 2_000 else 1)
PY
"$here/venv/bin/python" "$here/arrays.py"
