from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsseg_tf.cluster import survey
from rsseg_tf.cluster.engine import Cluster, Task
from rsseg_tf.cluster.survey import predict_shared
from rsseg_tf.cluster.worker import Model, Ticket
from rsseg_tf.datasets.images.pixels import write_image
from rsseg_tf.errors import ConfigError, DataError, RssegError
from rsseg_tf.inference.folders import TICKET, predict_files
from rsseg_tf.inference.predict import Products, TiledPredictor, open_predictor
from rsseg_tf.progress import Advance
from rsseg_tf.run_folder import only_writer
from tests.cluster.comparing import contents
from tests.inference.rasters import PALETTE, geotiff
from tests.inference.served import served
from tests.tflite.networks import frame


def known(model: Path) -> tuple[Model, TiledPredictor]:
    """A model as workers open it, and as it is known here."""
    predictor = open_predictor(model)
    return Model(str(model), predictor.model_sha256, (("threads", 1),)), predictor


def images_in(folder: Path) -> Path:
    """Two photographs and two mosaics, of which one has a gap."""
    for number in range(2):
        write_image(folder / f"photo{number}.png", frame(number, 50, 40))
    geotiff(folder / "long.tif", np.maximum(frame(3, 700, 60), 1), nodata=0)
    pixels = np.maximum(frame(4, 300, 90), 1)
    pixels[100:180, 20:] = 0
    geotiff(folder / "gap.tif", pixels, nodata=0)
    return folder


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosaics are cut into bands however small they are."""
    monkeypatch.setattr(survey, "LARGE_PIXELS", 10_000)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("products", [Products(), Products(polygons="gpkg", confidence=True, threshold=0.3)])
def test_workers_make_the_files_of_one_process(two: Cluster, model: Path, tmp_path: Path, products: Products) -> None:
    images = images_in(tmp_path / "in")
    opened, predictor = known(model)
    seen: list[Advance] = []
    expected = predict_files(predictor, images, tmp_path / "one", products=products)
    records = predict_shared(two, opened, predictor, images, tmp_path / "many", products=products, progress=seen.append)
    one, many = contents(tmp_path / "one"), contents(tmp_path / "many")
    assert list(one) == list(many)
    assert [name for name in one if one[name] != many[name] and not name.endswith(".gpkg")] == []
    assert [{**record, "run": 0} for record in records] == [{**record, "run": 0} for record in expected]
    assert seen[-1] == Advance(4, 4, 2 * 50 * 40 + 700 * 60 + 300 * 90)
    assert sorted(advance.images for advance in seen) == [advance.images for advance in seen]


def test_what_was_predicted_is_not_predicted_again(two: Cluster, model: Path, tmp_path: Path) -> None:
    images = images_in(tmp_path / "in")
    opened, predictor = known(model)
    first = predict_shared(two, opened, predictor, images, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    seen: list[Advance] = []
    assert predict_shared(two, opened, predictor, images, tmp_path / "out", progress=seen.append) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    assert seen[-1].pixels == 0
    with pytest.raises(ConfigError, match="another model, image or setting"):
        predict_shared(two, opened, dataclasses.replace(predictor, overlap=4), images, tmp_path / "out")


@pytest.mark.usefixtures("cut")
def test_a_killed_worker_has_its_part_done_again(two: Cluster, model: Path, tmp_path: Path) -> None:
    image = geotiff(tmp_path / "in/a.tif", frame(0, 9000, 60))
    opened, predictor = known(model)
    killed: list[int] = []

    def kill(advance: Advance) -> None:
        if not killed and advance.images > 0:
            killed.append(next(iter(two.everywhere(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    predict_shared(two, opened, predictor, image, tmp_path / "many", progress=kill)
    assert killed
    predict_files(predictor, image, tmp_path / "one")
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


@pytest.mark.usefixtures("cut")
def test_an_interrupted_survey_goes_on_with_or_without_workers(
    two: Cluster, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Exception):
        pass

    image = geotiff(tmp_path / "in/a.tif", frame(0, 6000, 60))
    opened, predictor = known(model)

    for name in ("again", "alone"):
        is_over = threading.Event()

        def stop(advance: Advance, is_over: threading.Event = is_over) -> None:
            if advance.images > 0:
                is_over.set()
                raise Interrupted

        def unwritten(*_of: Any, is_over: threading.Event = is_over, **_how: Any) -> Any:
            is_over.wait(60)  # however fast the workers are, the mosaic is not whole before the interruption
            raise InterruptedError

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(survey, "assembled", unwritten)
            with pytest.raises(Interrupted):
                predict_shared(two, opened, predictor, image, tmp_path / name, progress=stop)
        assert not (tmp_path / name / TICKET).exists()
        assert list((tmp_path / name / "a_parts").glob("band_*.png"))
    (again,) = predict_shared(two, opened, predictor, image, tmp_path / "again")
    (alone,) = predict_files(predictor, image, tmp_path / "alone")
    assert again["run"]["bands_resumed"] > 0
    assert alone["run"]["bands_resumed"] > 0
    assert contents(tmp_path / "again") == contents(tmp_path / "alone")


@pytest.mark.usefixtures("cut")
def test_workers_predict_images_on_the_network(two: Cluster, model: Path, tmp_path: Path) -> None:
    images = images_in(tmp_path / "in")
    opened, predictor = known(model)
    with served(images) as server:
        words = [f"{server.url}/{name}" for name in ("photo0.png", "long.tif")]
        one = predict_files(predictor, words, tmp_path / "one")
        many = predict_shared(two, opened, predictor, words, tmp_path / "many")
    assert contents(tmp_path / "one") == contents(tmp_path / "many")
    assert [record["image"] for record in many] == [record["image"] for record in one] == words


def test_an_error_of_a_worker_is_the_error_of_one_process(two: Cluster, model: Path, tmp_path: Path) -> None:
    images = images_in(tmp_path / "in")
    (images / "photo0.png").write_bytes((images / "photo0.png").read_bytes()[:90])
    opened, predictor = known(model)
    with pytest.raises(DataError) as alone:
        predict_files(predictor, images, tmp_path / "one")
    with pytest.raises(DataError) as shared:
        predict_shared(two, opened, predictor, images, tmp_path / "many")
    assert (str(shared.value), shared.value.hint) == (str(alone.value), alone.value.hint)


def test_a_worker_that_cannot_do_the_work_is_told_before_it_begins(two: Cluster, model: Path, tmp_path: Path) -> None:
    images = images_in(tmp_path / "in")
    opened, predictor = known(model)
    elsewhere = str(tmp_path / "else.tflite")
    (tmp_path / "other.tflite").write_bytes(b"other")
    cases = {
        "has rsseg_tf": dataclasses.replace(opened, version="0.0.1"),
        "has no model at": dataclasses.replace(opened, path=elsewhere),
        "has another model at": dataclasses.replace(opened, path=str(tmp_path / "other.tflite")),
    }
    for message, wrong in cases.items():
        with pytest.raises(ConfigError, match=message):
            predict_shared(two, wrong, predictor, images, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_worker_without_rasterio_is_told_apart(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = known(model)
    monkeypatch.setattr("rsseg_tf.cluster.worker.library", lambda: None)
    error = opened.wrong_here()
    assert error is not None
    assert "rasterio" in error.message
    assert "geo" in error.hint
    assert Model(opened.path, opened.sha256, opened.opening).wrong_here() is None


def test_two_runs_do_not_write_into_one_folder(two: Cluster, model: Path, tmp_path: Path) -> None:
    images = images_in(tmp_path / "in")
    opened, predictor = known(model)
    with only_writer(tmp_path / "out"), pytest.raises(ConfigError, match="another process"):
        predict_shared(two, opened, predictor, images, tmp_path / "out")


def test_work_that_nobody_waits_for_stops(tmp_path: Path) -> None:
    ticket = Ticket(tmp_path / TICKET, "first")
    for held in ('"second"', "", None):
        if held is None:
            ticket.path.unlink()
        else:
            ticket.path.write_text(held)
        with pytest.raises(RssegError, match="another run"):
            ticket.check()
    ticket.path.write_text('"first"')
    ticket.check()


class Inline:
    """Workers that are as fast as the call; they write down what they are given."""

    dashboard = ""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.sizes: list[int] = []

    def everywhere(self, _function: Callable[..., Any], *_arguments: Any) -> dict[str, Any]:
        return {}

    def results(self, tasks: Iterator[Task], *, tick: Callable[[], None]) -> Iterator[tuple[Task, Any]]:
        for task in tasks:
            tick()
            indices = task.about
            self.sizes.append(len(indices))
            time.sleep(0.0)
            records = [({"image": str(index), "height": 1, "width": 1}, 1) for index in indices]
            yield task, survey.Predicted(records, [], seconds=0.01 * len(indices))


def test_dealing_images_costs_the_same_for_each_however_many_there_are(tmp_path: Path) -> None:
    predictor = TiledPredictor(lambda images: images, PALETTE, input_size=(16, 16), model_sha256="m")
    model = Model("m.tflite", "m", ())
    (tmp_path / "in").mkdir()
    first = tmp_path / "in/00000.png"
    write_image(first, frame(0, 8, 8))
    seconds = {}
    for number in range(1, 4000):
        os.link(first, tmp_path / f"in/{number:05d}.png")
    for count in (100, 4000):
        cluster, started = Inline(workers=4), time.process_time()
        paths = [tmp_path / f"in/{number:05d}.png" for number in range(count)]
        records = predict_shared(cluster, model, predictor, paths, tmp_path / f"out{count}")  # type: ignore[arg-type]
        seconds[count] = (time.process_time() - started) / count
        assert [int(record["image"]) for record in records] == list(range(count))
        assert sum(cluster.sizes) == count
        assert max(cluster.sizes) <= 400
        assert cluster.sizes[-1] == 1
    assert seconds[4000] < 2 * seconds[100]


@pytest.mark.parametrize(("runs", "pieces"), [([range(45)], 2), ([range(3, 9), range(20, 21)], 3), ([range(5)], 9)])
def test_pieces_cover_the_runs_and_are_about_as_long(runs: list[range], pieces: int) -> None:
    cut = list(survey.cut_rows(runs, pieces))
    assert list(itertools.chain(*cut)) == list(itertools.chain(*runs))
    assert max(map(len, cut)) <= -(-sum(map(len, runs)) // pieces)


def test_an_image_may_have_any_name(two: Cluster, model: Path, tmp_path: Path) -> None:
    """The file that says for which run workers may write is no result's."""
    for name in ("workers", "workers.ticket", "fetched"):
        write_image(tmp_path / f"in/{name}.png", frame(1, 50, 40))
    opened, predictor = known(model)
    records = predict_shared(two, opened, predictor, tmp_path / "in", tmp_path / "out")
    assert [record["image"] for record in records] == sorted(str(path) for path in (tmp_path / "in").iterdir())
    assert {path.name for path in (tmp_path / "out").glob("*.json")} == {
        "workers.json",
        "workers.ticket.json",
        "fetched.json",
    }


def test_a_run_without_workers_takes_back_what_a_killed_one_dealt(model: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in/photo.png", frame(1, 50, 40))
    left = Ticket(tmp_path / "out" / TICKET, "killed")
    left.path.parent.mkdir()
    left.path.write_text('"killed"')
    left.check()
    predict_files(known(model)[1], tmp_path / "in", tmp_path / "out")
    with pytest.raises(RssegError, match="is gone or another run's"):
        left.check()
