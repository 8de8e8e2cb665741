from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rsseg_tf.benchmark.system import SystemInfo, memory_mb, read_system, was_throttled

CALM = SystemInfo("cpu", 4, None, None, None, None, None)


def system_files(root: Path, **contents: str) -> Path:
    """A root folder with the named kernel files."""
    places = {
        "governor": "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "frequency": "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
        "heat": "sys/class/thermal/thermal_zone0/temp",
        "more_heat": "sys/class/thermal/thermal_zone1/temp",
        "events": "sys/devices/system/cpu/cpu3/thermal_throttle/core_throttle_count",
        "flags": "sys/devices/platform/soc/soc:firmware/get_throttled",
    }
    for name, text in contents.items():
        path = root / places[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path: Path) -> None:
    info = read_system(tmp_path)
    assert dataclasses.replace(info, cpu="", cores=0) == SystemInfo("", 0, None, None, None, None, None)
    assert info.cores >= 1


def test_what_the_kernel_tells_is_read_in_our_units(tmp_path: Path) -> None:
    root = system_files(tmp_path, governor="ondemand", frequency="1800000", heat="45000", more_heat="61500", events="7")
    info = read_system(root)
    assert (info.governor, info.frequency_mhz, info.temperature_c, info.throttle_events) == ("ondemand", 1800, 61.5, 7)


@pytest.mark.parametrize(("flags", "held_back"), [("0", False), ("50000", False), ("50004", True), ("4", True)])
def test_a_raspberry_pi_tells_whether_it_is_held_back_now(tmp_path: Path, flags: str, held_back: bool) -> None:
    assert read_system(system_files(tmp_path, flags=flags)).held_back is held_back


def test_files_with_nonsense_are_as_good_as_none(tmp_path: Path) -> None:
    info = read_system(system_files(tmp_path, frequency="?", heat="", events="x", flags="?"))
    assert (info.frequency_mhz, info.temperature_c, info.held_back) == (None, None, False)


def test_throttling_is_a_rising_count_or_a_flag() -> None:
    warm = dataclasses.replace(CALM, throttle_events=3)
    assert was_throttled(CALM, CALM) is None
    assert was_throttled(warm, warm) is False
    assert was_throttled(warm, dataclasses.replace(warm, throttle_events=4)) is True
    held = dataclasses.replace(CALM, held_back=True)
    free = dataclasses.replace(CALM, held_back=False)
    assert was_throttled(free, free) is False
    assert was_throttled(free, held) is True
    assert was_throttled(held, free) is True


def test_memory_is_read_in_megabytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t    2000 kB\n")
    assert memory_mb("VmHWM", status=status) == 2.048
    assert memory_mb("VmRSS", status=status) is None
    assert memory_mb("VmHWM", status=tmp_path / "none") is None
