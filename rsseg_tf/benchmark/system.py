"""What the machine says about itself: processor, clock, heat, memory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.runs import cpu_model

_PI_FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_HELD_BACK_NOW = 0b1110
_MILLI = 1000


@dataclass(frozen=True)
class SystemInfo:
    """The state of the machine at one moment; None where unknown.

    Attributes:
        cpu: the processor's name.
        cores: logical processors that this process may use.
        governor: how the kernel chooses the clock, such as `performance`.
        frequency_mhz: clock of the first processor.
        temperature_c: of the hottest sensor.
        throttle_events: how often heat has held the clock back since the start (x86).
        held_back: whether the clock is held back right now (Raspberry Pi).
    """

    cpu: str
    cores: int
    governor: str | None
    frequency_mhz: float | None
    temperature_c: float | None
    throttle_events: int | None
    held_back: bool | None


def read_system(root: Path = Path("/")) -> SystemInfo:
    """Return the machine's state as the files below `root` tell it."""
    cpus = root / "sys/devices/system/cpu"
    khz = number_in(cpus / "cpu0/cpufreq/scaling_cur_freq")
    events = [number_in(path) for path in cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count")]
    flags = _text(root / _PI_FLAGS)
    return SystemInfo(
        cpu=cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        governor=_text(cpus / "cpu0/cpufreq/scaling_governor"),
        frequency_mhz=None if khz is None else khz / _MILLI,
        temperature_c=_hottest(root / "sys/class/thermal"),
        throttle_events=sum(int(count) for count in events if count is not None) if events else None,
        held_back=None if flags is None else bool(_hexadecimal(flags) & _PI_HELD_BACK_NOW),
    )


def was_throttled(before: SystemInfo, after: SystemInfo) -> bool | None:
    """Return whether heat or low voltage held the clock back between two moments; None where unknown."""
    if before.throttle_events is not None and after.throttle_events is not None:
        return after.throttle_events > before.throttle_events
    return None if after.held_back is None else bool(before.held_back) or after.held_back


def memory_mb(field: str, *, status: Path = Path("/proc/self/status")) -> float | None:
    """Return the memory of this process in megabytes (1e6 bytes): `VmHWM` is its peak, `VmRSS` what it holds now.

    The kernel's peak of this program alone; `getrusage` would include the parent's size at the fork.
    """
    for line in (_text(status) or "").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    return None


def _hottest(folder: Path) -> float | None:
    readings = [number_in(path) for path in folder.glob("thermal_zone*/temp")]
    known = [reading / _MILLI for reading in readings if reading is not None]
    return max(known, default=None)


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def number_in(path: Path) -> float | None:
    """Return the number in a kernel file; None where there is no file, or no number in it."""
    try:
        return float(_text(path) or "")
    except ValueError:
        return None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
