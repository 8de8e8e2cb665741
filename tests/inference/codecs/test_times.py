"""Videos as people have them: their times, sizes and codecs, with PyAV and without it."""

from __future__ import annotations

import json
import resource
import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.errors import DataError, RssegError
from rsseg_tf.inference.codecs.ffmpeg import FfmpegPlayer, FfmpegRecorder
from rsseg_tf.inference.codecs.frames import Source
from rsseg_tf.inference.codecs.opencv import OpencvPlayer
from rsseg_tf.inference.video import VideoSettings, predict_video
from rsseg_tf.tflite.metadata import embed_metadata
from tests.datasets.splits.surveys import ground
from tests.inference.test_video import predictor
from tests.tflite.networks import METADATA, tiny_model

av = pytest.importorskip("av", reason="PyAV is in the extra `video`")

VARYING, SLOW, HOURLY = [0, 0.1, 0.2, 1.2, 1.3, 3.3], [0, 4, 8, 12], [0, 3600, 7200]
TICKS = 1000


def picture(number: int, width: int, height: int) -> np.ndarray:
    """Black and white halves that move, with a red last row."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width * (number + 1) // 8] = 255
    image[-1] = (255, 0, 0)
    return image


def film(
    path: Path, times: Sequence[float], *, codec: str = "libx264", size: tuple[int, int] = (64, 48), **options: str
) -> Path:
    """A video with a frame at each time; `size` is width and height."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        frames = []
        for number, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = round(seconds * TICKS), Fraction(1, TICKS)
            frames.append(frame)
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                packet.duration = round((times[-1] - times[-2]) * TICKS)  # for the last one
                container.mux(packet)
    return path


def played(path: Path) -> list[tuple[float, np.ndarray]]:
    """What another player shows, and when."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append((capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)))
    capture.release()
    return found


@pytest.fixture
def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsseg_tf.inference.video.library", lambda: None)


@pytest.mark.parametrize("times", [VARYING, SLOW, HOURLY], ids=["varying", "slow", "hourly"])
@pytest.mark.parametrize("every", [1, 2])
def test_frames_keep_their_times(tmp_path: Path, times: list[float], every: int) -> None:
    source = film(tmp_path / "in.mp4", times)
    record = predict_video(predictor(), str(source), tmp_path / "out", settings=VideoSettings(every=every))
    assert record["keeps_times"]
    shown = [seconds for seconds, _ in played(tmp_path / "out/in_overlay.mp4")]
    np.testing.assert_allclose(shown, times[::every], atol=2e-3)


def test_a_steady_video_has_the_rate_of_its_source(tmp_path: Path) -> None:
    predict_video(predictor(), str(film(tmp_path / "in.mp4", SLOW)), tmp_path / "out")
    capture = cv2.VideoCapture(str(tmp_path / "out/in_overlay.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(0.25)
    capture.release()


@pytest.mark.usefixtures("without_pyav")
def test_opencv_keeps_rates_below_one(tmp_path: Path) -> None:
    record = predict_video(predictor(), str(film(tmp_path / "in.mp4", SLOW)), tmp_path / "out")
    assert record["keeps_times"]
    shown = [seconds for seconds, _ in played(tmp_path / "out/in_overlay.mp4")]
    np.testing.assert_allclose(shown, SLOW, rtol=0.05)


@pytest.mark.parametrize(("times", "is_told"), [(VARYING, True), (SLOW, False)], ids=["varying", "slow"])
@pytest.mark.usefixtures("without_pyav")
def test_what_opencv_does_to_varying_times_is_told(
    tmp_path: Path, times: list[float], is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    model, source = tmp_path / "model.tflite", film(tmp_path / "in.mp4", times)
    model.write_bytes(embed_metadata(tiny_model(), METADATA))
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert ("its frames came at varying times" in said) is is_told
    assert ("rsseg-tf[video]" in said) is is_told


@pytest.mark.parametrize("library", ["opencv", "pyav"])
def test_class_maps_come_with_their_times(tmp_path: Path, library: str, request: pytest.FixtureRequest) -> None:
    if library == "opencv":
        request.getfixturevalue("without_pyav")
    settings = VideoSettings(as_frames=True, every=2)
    record = predict_video(predictor(), str(film(tmp_path / "in.mp4", VARYING)), tmp_path / "out", settings=settings)
    np.testing.assert_allclose(record["seconds"], VARYING[::2], atol=2e-3)
    assert record["keeps_times"]


@pytest.mark.parametrize("size", [(65, 47), (64, 47), (65, 48)])
def test_odd_sizes_keep_their_last_row_and_column(tmp_path: Path, size: tuple[int, int]) -> None:
    source = film(tmp_path / "in.mp4", [0, 0.1, 0.2], codec="mpeg4", size=size)
    predict_video(predictor(), str(source), tmp_path / "out")
    frames = [frame for _, frame in played(tmp_path / "out/in_overlay.mp4")]
    assert [frame.shape[:2] for frame in frames] == [size[::-1]] * 3
    assert frames[0][-1, :, 0].mean() > frames[0][-6, :, 0].mean() + 20


@pytest.mark.usefixtures("without_pyav")
def test_opencv_keeps_the_last_row_of_odd_sizes_and_doubles_it(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", [0, 0.1, 0.2], codec="mpeg4", size=(65, 47))
    predict_video(predictor(), str(source), tmp_path / "out")
    frames = [frame for _, frame in played(tmp_path / "out/in_overlay.mp4")]
    assert [frame.shape[:2] for frame in frames] == [(48, 66)] * 3
    assert frames[0][46, :, 0].mean() > frames[0][41, :, 0].mean() + 20


def test_av1_is_predicted(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", [0, 0.1, 0.2], codec="libsvtav1", size=(128, 96))
    assert predict_video(predictor(), str(source), tmp_path / "out")["frames"] == 3


@pytest.mark.usefixtures("without_pyav")
def test_without_pyav_a_codec_that_opencv_lacks_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = film(tmp_path / "in.mp4", [0, 0.1, 0.2], codec="libsvtav1", size=(128, 96))
    capture = cv2.VideoCapture(str(source))
    has_decoder = capture.read()[0]
    capture.release()
    if has_decoder:
        pytest.skip("OpenCV here decodes AV1")
    capfd.readouterr()
    with pytest.raises(DataError, match="decodes no frame of it; its codec is `AV01`") as caught:
        predict_video(predictor(), str(source), tmp_path / "out")
    assert "rsseg-tf[video]" in caught.value.hint
    assert capfd.readouterr().err == ""
    assert not (tmp_path / "out").exists()


def frames_of(player: Any, *, every: int = 1) -> tuple[list[np.ndarray], list[float], Source]:
    found = list(player.frames(every=every))
    player.close()
    return [frame.image for frame in found], [frame.seconds for frame in found], player.source


@pytest.mark.parametrize(("codec", "name"), [("libx264", "a.mp4"), ("mpeg4", "a.avi"), ("libvpx-vp9", "a.webm")])
@pytest.mark.parametrize("every", [1, 3])
def test_both_libraries_see_the_same_frames(tmp_path: Path, codec: str, name: str, every: int) -> None:
    path = str(film(tmp_path / name, [number / 10 for number in range(8)], codec=codec))
    theirs, times, source = frames_of(OpencvPlayer(path), every=every)
    ours, own_times, own_source = frames_of(FfmpegPlayer(path), every=every)
    np.testing.assert_allclose(ours, theirs, atol=2)
    np.testing.assert_allclose(own_times, times, atol=2e-3)
    assert (own_source.height, own_source.width, own_source.name) == (source.height, source.width, source.name)
    assert own_source.fps == pytest.approx(source.fps)


@pytest.mark.parametrize("turn", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)], ids=["right", "down", "left"])
def test_a_phones_video_is_turned_as_it_is_shown(tmp_path: Path, turn: tuple[int, int, int, int]) -> None:
    path = film(tmp_path / "a.mp4", [0, 0.1])
    content = bytearray(path.read_bytes())
    a, b, c, d = turn
    place = content.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2
    struct.pack_into(">9i", content, place, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    theirs, _, _ = frames_of(OpencvPlayer(str(path)))
    ours, _, source = frames_of(FfmpegPlayer(str(path)))
    np.testing.assert_allclose(ours, theirs, atol=2)
    assert (source.height, source.width) == ours[0].shape[:2]


@pytest.mark.parametrize("cut", [0.5, 0.8])
def test_what_is_left_of_a_recording_is_predicted(
    tmp_path: Path, cut: float, capfd: pytest.CaptureFixture[str]
) -> None:
    path = film(tmp_path / "a.mkv", [number / 10 for number in range(40)], g="5")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    theirs, _, _ = frames_of(OpencvPlayer(str(path)))
    capfd.readouterr()
    ours, _, _ = frames_of(FfmpegPlayer(str(path)))
    assert capfd.readouterr().err == ""
    assert 0 < len(theirs) <= len(ours) < 40


def test_a_damaged_part_is_left_out(tmp_path: Path) -> None:
    path = film(tmp_path / "a.avi", [number / 10 for number in range(40)], codec="mpeg4", g="5")
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(60):
        content[int(rng.integers(len(content) // 3, len(content) // 2))] ^= 0x55
    path.write_bytes(content)
    record = predict_video(predictor(), str(path), tmp_path / "out")
    assert 5 < record["frames"] <= 40


def cut_film(folder: Path, ending: str, cut: float) -> Path:
    """A film of 40 frames whose file ends after a share of its bytes; its index comes first where it has one."""
    options = {"movflags": "faststart"} if ending == ".mp4" else {}
    path = folder / f"a{ending}"
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), dtype=np.uint8)
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    return path


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("cut", [1.0, 0.6])
@pytest.mark.parametrize("plays", ["pyav", "opencv"])
def test_a_file_that_ends_early_is_told(
    tmp_path: Path,
    ending: str,
    cut: float,
    plays: str,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if plays == "opencv":
        request.getfixturevalue("without_pyav")
    model, source = tmp_path / "model.tflite", cut_film(tmp_path, ending, cut)
    model.write_bytes(embed_metadata(tiny_model(), METADATA))
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "a_video.json").read_text())
    assert record.get("is_damaged", False) is (cut < 1)
    assert (record["frames"] < 40) is (cut < 1)
    assert ("is damaged or ends early" in capsys.readouterr().out) is (cut < 1)


def test_a_transport_stream_is_a_video(tmp_path: Path) -> None:
    model, source = tmp_path / "model.tflite", cut_film(tmp_path, ".ts", 1.0)
    model.write_bytes(embed_metadata(tiny_model(), METADATA))
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "a_video.json").read_text())
    assert record["frames"] == 40
    assert "is_damaged" not in record


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(DataError, match="has no video"):
        predict_video(predictor(), str(path), tmp_path / "out")


def test_an_overlay_looks_like_what_was_written(tmp_path: Path) -> None:
    image = ground(120, 160)
    recorder = FfmpegRecorder(tmp_path / "a.mp4", Source("a", "a", 120, 160, 25, 0, False), fps=25)
    for number in range(10):
        recorder.write(np.roll(image, number, axis=1), number / 25)
    recorder.close()
    for number, (_, frame) in enumerate(played(tmp_path / "a.mp4")):
        error = np.mean((frame.astype(float) - np.roll(image, number, axis=1)) ** 2)
        assert 10 * np.log10(255**2 / error) > 30


@pytest.fixture
def small_disk() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    source = film(tmp_path / "in.mp4", [number / 10 for number in range(40)], size=(320, 240))
    request.getfixturevalue("small_disk")
    with pytest.raises(RssegError, match=r"cannot write `.*in_overlay\.mp4`"):
        predict_video(predictor(), str(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_frames_are_of_the_size_of_the_first_one(tmp_path: Path) -> None:
    """A stream may change its size on the way, as where a drone's signal gets weaker."""
    parts = [film(tmp_path / f"{width}.ts", [0, 0.1, 0.2, 0.3], size=(width, width)) for width in (64, 96)]
    (tmp_path / "a.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    images, _, source = frames_of(FfmpegPlayer(str(tmp_path / "a.ts")))
    assert {image.shape for image in images} == {(64, 64, 3)}
    assert (source.height, source.width) == (64, 64)
    assert len(images) > 4
