import json

import bench_input as tool
import numpy as np
import pytest

from rsseg_tf.errors import ConfigError

WORK = tool.Work(frames=3, fitting="crop", size=(32, 32), batch=2, steps=3, backbone="resnet18")
NEED = {"images_per_s": 2.0, "cpu_ms_per_image": 500.0, "images": 4}


@pytest.fixture
def small(monkeypatch):
    """Frames of a few pixels, and no network."""
    monkeypatch.setattr(tool, "HEIGHT", 64)
    monkeypatch.setattr(tool, "WIDTH", 96)
    monkeypatch.setattr(tool, "needed", lambda _work: NEED)


@pytest.mark.usefixtures("small")
def test_every_part_is_measured_once(tmp_path, monkeypatch):
    result = tool.measure(tmp_path / "out.json", WORK, tmp_path / "work")

    for part in ("files", "prepared", "opening", "training_step"):
        assert result[part]["images_per_s"] > 0
    assert result["prepared"]["images"] == 4  # the first of three batches of two is not counted
    assert result["preparing"]["bytes"] > 3 * 4 * 64 * 96

    monkeypatch.setattr(tool, "drained", lambda _stream: pytest.fail("measured again"))
    assert tool.measure(tmp_path / "out.json", WORK, tmp_path / "work") == json.loads(
        (tmp_path / "out.json").read_text()
    )


@pytest.mark.usefixtures("small")
def test_figures_of_other_work_are_refused(tmp_path):
    (tmp_path / "out.json").write_text('{"work": {"frames": 9}}')
    with pytest.raises(ConfigError, match="other work"):
        tool.measure(tmp_path / "out.json", WORK, tmp_path / "work")


def test_a_clock_counts_by_image():
    figures = tool.Clock(images=10, wall_s=5.0, cpu_s=2.0).figures()

    assert figures == {"images_per_s": 2.0, "cpu_ms_per_image": 200.0, "images": 10}


def test_a_frame_is_noisy_and_holds_every_class():
    pixels, ids = tool.frame(np.random.default_rng(0))

    assert (pixels.shape, ids.shape) == ((2160, 3840, 3), (2160, 3840))
    assert set(np.unique(ids)) == set(range(8))
    assert 3 < np.diff(pixels[40:60, 40:60, 0].astype(float)).std() < 12


def test_the_table_says_how_many_times_the_need_is_met():
    part = {"images_per_s": 5.0, "cpu_ms_per_image": 100.0, "bytes": 2e6}
    result = {"files": part, "prepared": part, "preparing": part, "opening": part, "training_step": NEED}

    assert "| prepared | 5.00 | 100.0 | 2.5 × |" in tool.markdown(result)
