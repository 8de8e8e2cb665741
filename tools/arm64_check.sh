#!/usr/bin/env bash
# Proves on an x86 machine that the base install works on a 64-bit ARM board: Debian 12 (arm64) under qemu.
#
#     sudo tools/arm64_check.sh FOLDER MODEL.tflite IMAGE...
#
# Makes a Debian root in FOLDER (kept for the next time), installs the base wheel there with pip, runs `inspect`,
# `predict`, `evaluate` and `benchmark` on both machines, and fails unless 99.5 % of the pixels have the same class.
# FOLDER/transcript.txt holds everything that was run and said. Needs root, debootstrap and qemu-user-static.
# Emulation is a hundred times slower than a board: give small images, and trust no latency from it. Give a trained
# model: the scores of random weights tie, and a tie falls one way on one processor and the other way on another.
set -euo pipefail

usage="usage: tools/arm64_check.sh FOLDER MODEL.tflite IMAGE..."
folder=$(realpath -m "${1:?$usage}")
model=$(realpath "${2:?$usage}")
shift 2
: "${1:?$usage}"
here=$(realpath "$(dirname "$0")/..")
python=${PYTHON:-$here/.venv/bin/python}
root=$folder/root
check=$root/check
qemu=/proc/sys/fs/binfmt_misc/qemu-aarch64
arm() { chroot "$root" env -i PATH=/usr/bin:/bin LANG=C.UTF-8 "$@"; }

for program in debootstrap qemu-aarch64-static chroot; do
    command -v "$program" > /dev/null || { echo "error: $program is missing: apt-get install debootstrap qemu-user-static" >&2; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "error: this makes a root file system, so it must run as root" >&2; exit 2; }

mkdir -p "$folder"
exec > >(tee "$folder/transcript.txt") 2>&1

echo "## Debian 12 arm64"
[ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e "$qemu" ] || cat /usr/lib/binfmt.d/qemu-aarch64.conf > /proc/sys/fs/binfmt_misc/register
if [ ! -e "$folder/debian-is-whole" ]; then
    rm -rf "$root"
    debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv,python3-pip bookworm "$root" > "$folder/debootstrap.log"
    touch "$folder/debian-is-whole"
fi
chroot "$root" sh -c 'uname -m; . /etc/os-release; echo "$PRETTY_NAME"; python3 --version'

echo "## The base wheel and what it needs, for arm64"
rm -rf "$check"
mkdir -p "$check/wheels" "$check/images"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$check/wheels" "$here"
platforms=(manylinux_2_17_aarch64 manylinux2014_aarch64 manylinux_2_24_aarch64 manylinux_2_27_aarch64 manylinux_2_28_aarch64
    manylinux_2_34_aarch64 manylinux_2_35_aarch64)
"$python" -m pip download --quiet --only-binary=:all: --python-version 3.11 --implementation cp "${platforms[@]/#/--platform=}" \
    --constraint "$here/constraints.txt" --dest "$check/wheels" "$check"/wheels/rsseg_tf-*.whl
ls "$check/wheels"
arm python3 -m venv --clear /opt/rsseg
arm /opt/rsseg/bin/pip install --quiet --no-index --find-links /check/wheels rsseg-tf
arm /opt/rsseg/bin/pip list 2> /dev/null
arm du -sh /opt/rsseg

cp "$model" "$check/model.tflite"
cp "$@" "$check/images"

on_x86() { echo "x86 \$ rsseg-tf $*"; (cd "$check" && PYTHONPATH=$here "$python" -m rsseg_tf.cli.main "$@"); }
on_arm() { echo "arm64 \$ rsseg-tf $*"; arm sh -c 'cd /check && exec /opt/rsseg/bin/rsseg-tf "$@"' sh "$@"; }

echo "## inspect"
on_arm inspect model.tflite

echo "## predict"
on_x86 predict model.tflite images -o x86 --overwrite
on_arm predict model.tflite images -o arm64 --overwrite

echo "## evaluate: the masks are what x86 predicted"
"$python" "$here/tools/arm64_compare.py" data-set "$check"
on_x86 evaluate model.tflite -c data.yaml
on_arm evaluate model.tflite -c data.yaml

echo "## benchmark (emulated: no latency of a board)"
on_arm benchmark model.tflite --repeats 2 --warmup 0

echo "## agreement of the class maps"
"$python" "$here/tools/arm64_compare.py" agreement "$check/x86" "$check/arm64"
