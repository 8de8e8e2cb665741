from __future__ import annotations

from pathlib import Path

import pytest

from rsseg_tf.benchmark import energy
from rsseg_tf.benchmark.energy import EnergyMeter, find_power_sensor


def sensor_file(root: Path, name: str, value: float) -> Path:
    path = root / "sys/class" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
    return path


def test_a_machine_without_a_sensor_measures_nothing(tmp_path: Path) -> None:
    assert find_power_sensor(tmp_path) is None
    meter = EnergyMeter(None)
    with meter.account(0):
        pass
    assert meter.joules == {}


def test_a_counter_is_read_before_and_after_and_may_start_again(tmp_path: Path) -> None:
    counter = sensor_file(tmp_path, "powercap/intel-rapl:0/energy_uj", 1_000_000)
    sensor_file(tmp_path, "powercap/intel-rapl:0/max_energy_range_uj", 10_000_000)
    meter = EnergyMeter(find_power_sensor(tmp_path))
    with meter.account(0):
        counter.write_text("3500000")
    with meter.account(1):
        counter.write_text("500000")
    with meter.account(0):
        counter.write_text("600000")
    assert meter.joules == pytest.approx({0: 2.6, 1: 7.0})


def test_power_is_multiplied_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = sensor_file(tmp_path, "hwmon/hwmon2/power1_input", 4_000_000)
    moments = iter([10.0, 13.0])
    monkeypatch.setattr(energy.time, "perf_counter", lambda: next(moments))
    meter = EnergyMeter(find_power_sensor(tmp_path))
    with meter.account(0):
        reading.write_text("6000000")
    assert meter.joules == pytest.approx({0: 15.0})


def test_a_sensor_that_cannot_be_read_is_as_good_as_none(tmp_path: Path) -> None:
    sensor_file(tmp_path, "powercap/intel-rapl:0/energy_uj", 0).write_text("")
    assert find_power_sensor(tmp_path) is None
