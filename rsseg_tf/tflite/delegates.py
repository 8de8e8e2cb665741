"""The shared libraries that run a graph elsewhere than on the CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

from rsseg_tf.errors import ConfigError, ModelError

EDGE_TPU = "edgetpu"
EDGE_TPU_LIBRARY = "libedgetpu.so.1"
EDGE_TPU_OP = "edgetpu-custom-op"
"""The operator that the Edge TPU compiler puts in place of everything that it maps."""

_USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}  # before and after the library has loaded the firmware
_HELP = "see docs/edge.md"


def delegate_library(word: str, *, root: Path = Path("/")) -> Path:
    """Return the shared library that `word` names: its path, or `edgetpu` for a Coral device.

    Args:
        word: a path, or `edgetpu`.
        root: where the system's files are.

    Raises:
        ConfigError: if there is no such file.
        ModelError: if the Edge TPU's library is not installed, or no device is connected.
    """
    if word != EDGE_TPU:
        path = Path(word)
        if not path.is_file():
            raise ConfigError(f"no delegate at `{word}`", hint="give the path of its shared library, or edgetpu")
        return path.resolve()
    try:
        ctypes.CDLL(EDGE_TPU_LIBRARY)
    except OSError as error:
        raise ModelError(
            f"the Edge TPU's library `{EDGE_TPU_LIBRARY}` does not load: {error}",
            hint=f"install an Edge TPU runtime that fits this Python; {_HELP}",
        ) from error
    if not has_edge_tpu(root):
        raise ModelError(
            "no Edge TPU is connected", hint=f"plug it in (USB 3), or load the driver of a PCIe one, {_HELP}"
        )
    return Path(EDGE_TPU_LIBRARY)


def has_edge_tpu(root: Path = Path("/")) -> bool:
    """Return whether a Coral device is on the USB or PCIe bus, as the files below `root` tell it."""
    if any((root / "dev").glob("apex_*")):
        return True
    devices = (root / "sys/bus/usb/devices").glob("*/idVendor")
    return any((_text(vendor), _text(vendor.with_name("idProduct"))) in _USB_IDS for vendor in devices)


def check_fits(path: Path, operators: set[str], delegate: Path | None) -> None:
    """Check that the model file `path` with these operators is made for the delegate.

    Raises:
        ModelError: if it is compiled for the Edge TPU and the other is not there, or the other way round.
    """
    on_edge_tpu = delegate is not None and delegate.name.startswith("libedgetpu")
    if EDGE_TPU_OP in operators and delegate is None:
        raise ModelError(f"`{path}` is compiled for the Edge TPU", hint="run it with --delegate edgetpu")
    if on_edge_tpu and EDGE_TPU_OP not in operators:
        raise ModelError(
            f"`{path}` is not compiled for the Edge TPU, which would run none of it",
            hint="compile it with edgetpu_compiler, see docs/edgetpu.md",
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
