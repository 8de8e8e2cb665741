from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rsseg_tf.errors import ConfigError, ModelError
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.tflite.delegates import EDGE_TPU_OP, check_fits, delegate_library, has_edge_tpu
from tests.tflite.networks import frame

_SOURCE = """
#include <stdlib.h>
#include <string.h>
typedef struct { void *data; int (*prepare)(void *, void *); void *copies[3]; long flags; void *opaque; } Delegate;
static int prepare(void *context, void *delegate) { (void)context; (void)delegate; return STATUS; }
Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    (void)keys; (void)values; (void)count;
    if (REFUSES == 2) abort();
    if (REFUSES) { report("no device"); return 0; }
    Delegate *made = calloc(1, sizeof(Delegate));
    made->prepare = prepare;
    return made;
}
void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
"""

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="a delegate is built with the C compiler")


def built(folder: Path, *, status: int = 0, refuses: int = 0) -> Path:
    """A delegate that takes no operator, fails on the graph, refuses to be made, or (2) crashes instead."""
    (folder / "delegate.c").write_text(_SOURCE)
    library = folder / "libnone.so"
    definitions = [f"-DSTATUS={status}", f"-DREFUSES={refuses}"]
    command = ["cc", "-shared", "-fPIC", *definitions, "-o", str(library), str(folder / "delegate.c")]
    subprocess.run(command, check=True, capture_output=True)
    return library


@needs_compiler
def test_a_delegate_is_loaded_by_its_path_and_leaves_the_result(models: Path, tmp_path: Path) -> None:
    library = delegate_library(str(built(tmp_path)))
    delegated = TFLiteRunner(models / "sealed.tflite", delegate=library)
    assert np.array_equal(delegated.classes(frame()), TFLiteRunner(models / "sealed.tflite").classes(frame()))


@needs_compiler
@pytest.mark.parametrize("behavior", [{"refuses": 1}, {"status": 1}, {"refuses": 2}])
def test_a_delegate_that_fails_is_an_error(models: Path, tmp_path: Path, behavior: dict[str, int]) -> None:
    library = built(tmp_path, **behavior)
    with pytest.raises(ModelError, match=r"libnone\.so|sealed\.tflite"):
        TFLiteRunner(models / "sealed.tflite", delegate=library)


def test_a_library_that_is_not_there_is_a_wrong_command_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.so"):
        delegate_library(str(tmp_path / "none.so"))


def test_a_missing_edge_tpu_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(ModelError, match=r"libedgetpu\.so\.1") as raised:
        delegate_library("edgetpu")
    assert "docs/edge.md" in raised.value.hint


def test_a_missing_device_says_to_plug_it_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: None)
    with pytest.raises(ModelError, match="no Edge TPU is connected") as raised:
        delegate_library("edgetpu", root=tmp_path)
    assert "plug it in" in raised.value.hint
    plugged_in(tmp_path)
    assert delegate_library("edgetpu", root=tmp_path).name == "libedgetpu.so.1"


def plugged_in(root: Path, vendor: str = "1a6e", product: str = "089a") -> None:
    device = root / "sys/bus/usb/devices/2-1"
    device.mkdir(parents=True)
    (device / "idVendor").write_text(f"{vendor}\n")
    (device / "idProduct").write_text(f"{product}\n")


@pytest.mark.parametrize(
    ("vendor", "product", "is_one"), [("1a6e", "089a", True), ("18d1", "9302", True), ("18d1", "4ee7", False)]
)
def test_usb_devices_are_told_by_their_numbers(tmp_path: Path, vendor: str, product: str, is_one: bool) -> None:
    plugged_in(tmp_path, vendor, product)
    assert has_edge_tpu(tmp_path) == is_one


def test_a_pcie_device_is_told_by_its_node(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    assert not has_edge_tpu(tmp_path)
    (tmp_path / "dev/apex_0").touch()
    assert has_edge_tpu(tmp_path)


def test_a_file_and_its_delegate_must_fit() -> None:
    path, library = Path("m.tflite"), Path("libedgetpu.so.1")
    check_fits(path, {EDGE_TPU_OP}, library)
    check_fits(path, {"CONV_2D"}, None)
    check_fits(path, {"CONV_2D"}, Path("libgpu.so"))
    with pytest.raises(ModelError, match="is compiled") as raised:
        check_fits(path, {EDGE_TPU_OP, "RESIZE_BILINEAR"}, None)
    assert "--delegate edgetpu" in raised.value.hint
    with pytest.raises(ModelError, match="not compiled"):
        check_fits(path, {"CONV_2D"}, library)
