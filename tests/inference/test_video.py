from __future__ import annotations

import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rsseg_tf.datasets.images.channels import AS_THEY_ARE, Channels
from rsseg_tf.datasets.images.picture import open_picture
from rsseg_tf.datasets.images.pixels import read_indices
from rsseg_tf.datasets.palette import Palette
from rsseg_tf.errors import ConfigError, DataError, RssegError
from rsseg_tf.inference.codecs.frames import Frame
from rsseg_tf.inference.codecs.opencv import OpencvPlayer
from rsseg_tf.inference.predict import TiledPredictor
from rsseg_tf.inference.video import VideoSettings, find_videos, is_video, predict_video
from rsseg_tf.progress import Advance

PALETTE = Palette(("dark", "bright"), ((0, 0, 90), (250, 250, 0)))
FRAMES, HEIGHT, WIDTH = 6, 48, 64


def brightness(images: np.ndarray) -> np.ndarray:
    bright = images[..., :1].astype(np.float32)
    return np.concatenate([127.5 - bright, bright - 127.5], axis=-1)


def predictor(infer: Any = brightness, **changes: Any) -> TiledPredictor:
    return TiledPredictor(infer, PALETTE, **{"input_size": (32, 32), "overlap": 4, "model_sha256": "m", **changes})


@pytest.fixture(params=["opencv", "pyav"], autouse=True)
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every rule holds with PyAV and without it."""
    if request.param == "opencv":
        monkeypatch.setattr("rsseg_tf.inference.video.library", lambda: None)
    else:
        pytest.importorskip("av", reason="PyAV is in the extra `video`")
    return str(request.param)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Frames whose left part is white, eight columns more in each."""
    path = tmp_path / "in/clip.mp4"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (WIDTH, HEIGHT))
    for number in range(FRAMES):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        frame[:, : 8 * (number + 1)] = 255
        writer.write(frame)
    writer.release()
    return path


def frames_in(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    capture.release()
    return frames


def test_every_frame_gets_its_colors(clip: Path, tmp_path: Path) -> None:
    record = predict_video(predictor(), str(clip), tmp_path / "out")
    frames = frames_in(tmp_path / "out/clip_overlay.mp4")
    assert len(frames) == FRAMES == record["frames"]
    left, right = frames[2][10:-10, 2:14].mean((0, 1)), frames[2][10:-10, 36:60].mean((0, 1))
    assert np.allclose(left, (252, 252, 128), atol=20)  # half white, half the bright class' yellow
    assert np.allclose(right, (0, 0, 45), atol=20)  # half black, half the dark class' blue
    assert json.loads((tmp_path / "out/clip_video.json").read_text()) == record
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip_overlay.mp4", "clip_video.json"]


def test_the_record_holds_the_mean_area_of_a_frame(clip: Path, tmp_path: Path) -> None:
    record = predict_video(predictor(ground_sampling_distance_m=2.0), str(clip), tmp_path / "out")
    bright = record["classes"]["bright"]
    assert bright["share"] == pytest.approx(28 / WIDTH, abs=0.02)  # 8, 16 … 48 columns of 64
    assert bright["area_m2"] == pytest.approx(28 * HEIGHT * 4, rel=0.05)
    assert record["source_fps"] == 10


@pytest.mark.parametrize(("side", "is_said"), [(0.25, False), (0.05, True), (3.0, True)])
def test_frames_of_another_size_on_the_ground_are_said(clip, tmp_path, capsys, side, is_said) -> None:
    seen = predictor(learned_pixel_m=0.3, ground_sampling_distance_m=side, overrides_georeference=True)
    predict_video(seen, str(clip), tmp_path / "out")

    said = capsys.readouterr().err
    assert said.count("warning") == is_said
    assert (f"clip.mp4` has pixels of {side:g} m, the model learned from pixels of 0.3 m" in said) == is_said


def test_resampled_frames_are_seen_as_learned_and_their_maps_are_the_videos(clip, tmp_path, capsys) -> None:
    sizes = []
    given = {"ground_sampling_distance_m": 0.1, "overrides_georeference": True, "overlap": 0, "input_size": (16, 16)}
    seen = predictor(lambda images: sizes.append(len(images)) or brightness(images), **given)
    own, learned = (
        predict_video(
            dataclasses.replace(seen, **each),
            str(clip),
            tmp_path / "out",
            settings=VideoSettings(1, 1, True),
            overwrite=True,
        )
        for each in ({}, {"learned_pixel_m": 0.4, "resamples": True})
    )

    assert sum(sizes) == (HEIGHT // 16) * (WIDTH // 16) + 1  # 12×16 pixels of 0.4 m are one tile
    assert read_indices(tmp_path / "out/clip_frames/000000.png").shape == (HEIGHT, WIDTH)
    assert learned["classes"]["bright"] == own["classes"]["bright"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learned_pixel_m": 0.3}, r"clip\.mp4` does not say how large its pixels are"),
        ({"overrides_georeference": True}, "the model does not say how large the pixels were"),
        ({"learned_pixel_m": 1e-9, "overrides_georeference": True}, r"clip\.mp4` would have .* pixels"),
    ],
)
def test_frames_that_cannot_be_resampled_are_refused(clip, tmp_path, changes, message) -> None:
    seen = predictor(resamples=True, ground_sampling_distance_m=0.3, **changes)

    with pytest.raises(ConfigError, match=message):
        predict_video(seen, str(clip), tmp_path / "out")


def test_frames_can_be_class_maps(clip: Path, tmp_path: Path) -> None:
    record = predict_video(predictor(), str(clip), tmp_path / "out", settings=VideoSettings(as_frames=True))
    maps = sorted((tmp_path / "out" / record["output"]).iterdir())
    assert [path.name for path in maps] == [f"{number:06d}.png" for number in range(FRAMES)]
    expected = [predictor().predict(frame) for frame in frames_in(clip)]
    assert all(np.array_equal(read_indices(path), classes) for path, classes in zip(maps, expected, strict=True))


@pytest.mark.parametrize(("settings", "numbers"), [({"every": 2}, [0, 2, 4]), ({"most_frames": 2}, [0, 1])])
def test_some_frames_can_be_left_out(clip: Path, tmp_path: Path, settings: dict[str, int], numbers: list[int]) -> None:
    shares: list[float] = []
    record = predict_video(
        predictor(),
        str(clip),
        tmp_path / "out",
        settings=VideoSettings(as_frames=True, **settings),
        progress=lambda advance: shares.append(advance.images / advance.total),
    )
    maps = sorted((tmp_path / "out/clip_frames").iterdir())
    frames = frames_in(clip)
    assert record["frames"] == len(maps) == len(numbers)
    assert all(
        np.array_equal(read_indices(path), predictor().predict(frames[number]))
        for path, number in zip(maps, numbers, strict=True)
    )
    assert shares[-1] == 1.0


def interrupting(after: int) -> Any:
    calls = 0

    def infer(images: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return brightness(images)

    return infer


def test_an_interrupted_video_keeps_what_was_made_under_another_name(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        predict_video(predictor(interrupting(7)), str(clip), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["clip_partial_overlay.mp4"]
    assert 0 < len(frames_in(tmp_path / "out/clip_partial_overlay.mp4")) < FRAMES


class Decoding:
    """A stand-in for a player whose second frame takes a while."""

    def __init__(self, path: Path) -> None:
        self._images = frames_in(path)
        self.source = OpencvPlayer(str(path)).source
        self.begun, self.is_busy, self.closed_when_busy = threading.Event(), False, None

    def frames(self, *, every: int) -> Iterator[Any]:
        first, second = self._images[::every][:2]
        yield Frame(first, 0.0)
        self.is_busy = True
        self.begun.set()
        time.sleep(0.3)
        self.is_busy = False
        yield Frame(second, 0.1)

    def close(self) -> None:
        self.closed_when_busy = self.is_busy


def test_a_player_is_not_closed_while_a_thread_decodes(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV ends the process then."""
    player = Decoding(clip)
    for kind in ("OpencvPlayer", "FfmpegPlayer"):
        monkeypatch.setattr(f"rsseg_tf.inference.video.{kind}", lambda _word: player)

    def failing(_images: np.ndarray) -> Any:
        player.begun.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(predictor(failing), str(clip), tmp_path / "out")
    assert player.closed_when_busy is False


class Camera:
    """A stand-in for a camera: a file's frames, again and again."""

    def __init__(self, path: Path) -> None:
        self._frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames_in(path)]
        self._next = -1
        self._facts = {
            cv2.CAP_PROP_FPS: 0.0,
            cv2.CAP_PROP_FRAME_HEIGHT: HEIGHT,
            cv2.CAP_PROP_FRAME_WIDTH: WIDTH,
            cv2.CAP_PROP_FRAME_COUNT: -1,
        }

    def isOpened(self) -> bool:
        return True

    def get(self, fact: int) -> float:
        return self._facts[fact]

    def set(self, _fact: int, _value: float) -> None:
        pass

    def grab(self) -> bool:
        self._next += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, self._frames[self._next % len(self._frames)]

    def release(self) -> None:
        pass


@pytest.fixture
def camera(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, stand_in = cv2.VideoCapture, Camera(clip)
    monkeypatch.setattr(cv2, "VideoCapture", lambda word: stand_in if word == 0 else real(word))


@pytest.mark.usefixtures("camera")
def test_ctrl_c_is_how_a_camera_ends(tmp_path: Path) -> None:
    record = predict_video(predictor(interrupting(40)), "camera:0", tmp_path / "out")
    assert record["frames"] > 0
    assert record["frames_in_file"] is None
    assert len(frames_in(tmp_path / "out" / record["output"])) == record["frames"]


@pytest.mark.usefixtures("camera")
def test_a_camera_stops_by_itself_after_so_many_frames(tmp_path: Path) -> None:
    record = predict_video(predictor(), "camera:0", tmp_path / "out", settings=VideoSettings(most_frames=9))
    assert record["frames"] == 9
    assert record["output"].startswith("camera0_")


@pytest.mark.usefixtures("camera")
def test_a_camera_is_shown_in_real_time_however_slow_the_model(tmp_path: Path, codec: str) -> None:
    def slowly(images: np.ndarray) -> np.ndarray:
        time.sleep(0.15)
        return brightness(images)

    record = predict_video(predictor(slowly), "camera:0", tmp_path / "out", settings=VideoSettings(most_frames=10))
    capture = cv2.VideoCapture(str(tmp_path / "out" / record["output"]))
    shown = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    taken = 5 * 0.15  # of ten frames five may be read ahead
    assert (shown > taken) is (codec == "pyav")
    assert record["keeps_times"] is (codec == "pyav")


@pytest.mark.parametrize("content", [b"", b"no video", b"\0\0\0\x18ftypmp42" + bytes(200)])
def test_a_file_that_does_not_play_is_named(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.mp4"):
        predict_video(predictor(), str(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("word", ["camera:99", "camera:front"])
def test_a_camera_that_is_not_there_is_named(tmp_path: Path, word: str) -> None:
    with pytest.raises(DataError, match=word):
        predict_video(predictor(), word, tmp_path / "out")


def test_a_video_of_which_frames_are_missing_does_not_get_its_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV's writer says nothing of a full disk."""
    monkeypatch.setattr("rsseg_tf.inference.video.library", lambda: None)
    real = cv2.VideoWriter

    class Full:
        fourcc = staticmethod(real.fourcc)

        def __init__(self, *arguments: Any) -> None:
            self._writer, self._left = real(*arguments), 3

        def isOpened(self) -> bool:
            return True

        def write(self, frame: np.ndarray) -> None:
            self._left -= 1
            if self._left >= 0:
                self._writer.write(frame)

        def release(self) -> None:
            self._writer.release()

    monkeypatch.setattr(cv2, "VideoWriter", Full)
    with pytest.raises(RssegError, match="3 of 6 frames"):
        predict_video(predictor(), str(clip), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_videos_are_found_by_name_pattern_and_camera(clip: Path) -> None:
    words = [str(clip), str(clip.parent / "*.mp4"), "camera:1"]
    assert all(is_video(word) for word in words)
    assert not is_video(str(clip.parent))
    assert find_videos(words, clip.parent / "out") == [str(clip), "camera:1"]
    with pytest.raises(DataError, match="no video"):
        find_videos([str(clip.parent / "*.avi")], clip.parent / "out")


def test_results_below_a_pattern_are_not_found(clip: Path) -> None:
    predict_video(predictor(), str(clip), clip.parent / "out")
    assert find_videos([str(clip.parent / "**/*.mp4")], clip.parent / "out") == [str(clip)]


def test_a_video_that_was_predicted_is_not_predicted_again(clip: Path, tmp_path: Path) -> None:
    record = predict_video(predictor(), str(clip), tmp_path / "out")
    overlay = tmp_path / "out/clip_overlay.mp4"
    overlay.write_bytes(b"as it was")
    assert predict_video(predictor(), str(clip), tmp_path / "out") == record
    assert overlay.read_bytes() == b"as it was"
    predict_video(predictor(), str(clip), tmp_path / "out", overwrite=True)
    assert len(frames_in(overlay)) == FRAMES


@pytest.mark.parametrize(
    ("changes", "settings"), [({"model_sha256": "other"}, {}), ({}, {"every": 2}), ({"overlap": 2}, {})]
)
def test_the_result_of_another_model_or_setting_is_refused(clip, tmp_path, changes, settings) -> None:
    first = predict_video(predictor(), str(clip), tmp_path / "out", settings=VideoSettings(as_frames=True))
    wanted = VideoSettings(as_frames=True, **settings)
    with pytest.raises(ConfigError, match="another model, image or setting"):
        predict_video(predictor(**changes), str(clip), tmp_path / "out", settings=wanted)
    assert json.loads((tmp_path / "out/clip_video.json").read_text()) == first
    second = predict_video(predictor(**changes), str(clip), tmp_path / "out", settings=wanted, overwrite=True)
    assert len(list((tmp_path / "out/clip_frames").iterdir())) == second["frames"]


def test_nothing_is_written_over_videos_of_the_users(clip: Path, tmp_path: Path) -> None:
    other = clip.with_name("clip_overlay.mp4")
    shutil.copy(clip, other)
    with pytest.raises(ConfigError, match="holds videos to predict"):
        predict_video(predictor(), str(clip), clip.parent)
    shutil.copytree(clip.parent, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"clip_overlay\.mp4` is in the way"):
        predict_video(predictor(), str(clip), tmp_path / "out")
    assert other.read_bytes() == (tmp_path / "out" / other.name).read_bytes() == clip.read_bytes()


def test_what_a_kill_left_is_made_again(clip: Path, tmp_path: Path) -> None:
    whole = predict_video(predictor(), str(clip), tmp_path / "out")
    record = tmp_path / "out/clip_video.json"
    record.write_text(json.dumps({"made_from": whole["made_from"]}))
    again = predict_video(predictor(), str(clip), tmp_path / "out")
    assert {**again, "run": None} == {**whole, "run": None}


@pytest.mark.parametrize("scale", [(0.0, 510.0), None])
@pytest.mark.parametrize("bands", [(3, 3, 1), ()])
@pytest.mark.parametrize("given", [True, False])
def test_frames_are_seen_in_the_bands_and_ranges_that_images_are(clip, tmp_path, scale, bands, given) -> None:
    channels, frame = Channels(bands, scale), frames_in(clip)[2]
    cv2.imwrite(str(tmp_path / "frame.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    with open_picture(tmp_path / "frame.png", channels) as picture:
        expected = predictor().predict(picture.read()[0])
    model, said = (predictor(), channels) if given else (predictor(channels=channels), AS_THEY_ARE)
    settings = VideoSettings(as_frames=True)
    predict_video(model, str(clip), tmp_path / "out", channels=said, settings=settings)
    assert np.array_equal(read_indices(tmp_path / "out/clip_frames/000002.png"), expected)


def test_bands_that_a_video_lacks_are_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has 3 colors, band 9"):
        predict_video(predictor(), str(clip), tmp_path / "out", channels=Channels((7, 8, 9)))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("camera")
def test_a_share_needs_to_know_the_end(tmp_path: Path) -> None:
    told: list[Advance] = []
    predict_video(predictor(interrupting(9)), "camera:0", tmp_path / "endless", progress=told.append)
    assert {advance.images for advance in told} == {0}
    told.clear()
    predict_video(
        predictor(), "camera:0", tmp_path / "out", settings=VideoSettings(most_frames=4), progress=told.append
    )
    assert [advance.images for advance in told] == [0.25, 0.5, 0.75, 1]
    assert [advance.pixels for advance in told] == [number * HEIGHT * WIDTH for number in (1, 2, 3, 4)]
