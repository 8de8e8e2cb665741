"""What runs cost in energy, where the machine has a sensor for it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rsseg_tf.benchmark.system import number_in

_MICRO = 1e-6


@dataclass(frozen=True)
class PowerSensor:
    """A file in which the kernel counts energy or shows power.

    Attributes:
        path: what is read.
        counts_energy: whether it holds microjoules since some moment, or else the current microwatts.
        wraps_at: the number of microjoules after which the count starts again.
    """

    path: Path
    counts_energy: bool
    wraps_at: int = 0


def find_power_sensor(root: Path = Path("/")) -> PowerSensor | None:
    """Return the sensor below `root` that covers most of the board: RAPL, or one of hwmon (INA219, …)."""
    for counter in sorted((root / "sys/class/powercap").glob("intel-rapl:?/energy_uj")):
        limit = number_in(counter.with_name("max_energy_range_uj"))
        if number_in(counter) is not None:
            return PowerSensor(counter, counts_energy=True, wraps_at=int(limit or 0))
    for pattern in ("hwmon*/power1_input", "hwmon*/power1_average", "hwmon*/device/power1_input"):
        for reading in sorted((root / "sys/class/hwmon").glob(pattern)):
            if number_in(reading) is not None:
                return PowerSensor(reading, counts_energy=False)
    return None


class EnergyMeter:
    """Adds up joules over spans of time, for the whole machine, idle part included.

    Attributes:
        joules: spent in each span's account so far; empty without a sensor.
    """

    def __init__(self, sensor: PowerSensor | None) -> None:
        self.joules: dict[int, float] = {}
        self._sensor = sensor

    @contextlib.contextmanager
    def account(self, number: int) -> Iterator[None]:
        """Add what is spent while the block runs to an account."""
        before, started = self._read(), time.perf_counter()
        yield
        after, seconds = self._read(), time.perf_counter() - started
        if self._sensor is None or before is None or after is None:
            return
        if self._sensor.counts_energy:
            micro = after - before if after >= before else after + self._sensor.wraps_at - before
        else:
            micro = (before + after) / 2 * seconds
        self.joules[number] = self.joules.get(number, 0.0) + micro * _MICRO

    def _read(self) -> float | None:
        return None if self._sensor is None else number_in(self._sensor.path)
