"""The report of two tiny runs: what it says, what it refuses, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rsseg_tf.cli.main import main
from rsseg_tf.errors import ConfigError
from rsseg_tf.report.build import Wanted, report
from rsseg_tf.runs import file_hash, write_json
from tests.report.browser import CHROMIUM, use
from tests.report.data import make_data, make_file, make_inputs, make_run

in_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> list[Path]:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def made(inputs, tmp_path_factory):
    """The result of a report of everything, and its folder."""
    folder = tmp_path_factory.mktemp("report")
    paths = [*inputs, _benchmark(inputs, folder)]
    return report(paths, folder / "out", Wanted(places=2)), folder / "out"


def _benchmark(inputs: list[Path], folder: Path) -> Path:
    path = folder / "bench.json"
    records = [json.loads(file.with_name(f"{file.name}.json").read_text()) for file in inputs[2:]]
    results = [{"sha256": each["sha256"], "p50_ms": 3.0 + place} for place, each in enumerate(records)]
    write_json(path, {"results": results})
    return path


def page_of(made) -> str:
    return (made[1] / "index.html").read_text(encoding="utf-8")


def test_every_file_that_it_names_is_there(made):
    result, out = made
    assert result["problems"] == []
    assert all((out / name).stat().st_size > 0 for name in result["files"])
    names = {"index.html", "report.md", "tables/summary.csv", "tables/iou.csv", "tables/differences.csv"}
    assert names | {"figures/tradeoff.svg", "figures/confusion.png", "figures/training.svg"} <= set(result["files"])
    assert {"figures/channels_pruned.png", "figures/pruning.svg"} <= set(result["files"])


def test_the_page_needs_nothing_from_outside(made):
    urls = re.findall(r"(?:src|href)=\"([^\"]+)\"|url\(([^)]+)\)", page_of(made))
    assert {(first or second).partition(":")[0] for first, second in urls if not first.startswith("#")} == {"data"}


def test_models_come_in_the_order_of_the_papers_table(made):
    lines = (made[1] / "tables" / "summary.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [
        *("dense_float32", "pruned_float32", "dense_int8", "pruned_int8"),
    ]
    assert [line.split(",")[2:4] for line in lines[1:]] == [
        *(["False", "False"], ["True", "False"], ["False", "True"], ["True", "True"]),
    ]


def test_figures_of_one_model_come_from_its_run_its_file_and_the_benchmark(made):
    lines = (made[1] / "tables" / "summary.csv").read_text().splitlines()
    heads, row = lines[0].split(","), lines[4].split(",")
    figures = dict(zip(heads, row, strict=True))
    assert (float(figures["params M"]), float(figures["memory MB"])) == (0.0005, 0.0005)
    assert 20 < float(figures["mIoU %"]) < 100
    assert float(figures["latency ms"]) > 0


def test_a_model_beside_its_twin_differs_by_nothing(made):
    rows = [line.split(",") for line in (made[1] / "tables" / "differences.csv").read_text().splitlines()]
    assert rows[1][:2] == ["pruned_float32", "dense_float32"]
    assert [float(value) for value in rows[1][2:5]] == [0, 0, 0]
    assert rows[1][5] == "no"


def test_the_legend_has_the_colors_of_the_pictures(made):
    """A classes file that gives numbers, not colors, gets colors that differ."""
    colors = re.findall(r'<li data-color="(#[0-9a-f]{6})"><i style="background: \1">', page_of(made))
    assert len(set(colors)) == 4


def test_names_from_files_cannot_inject_markup(tmp_path):
    config = make_data(tmp_path / "data")
    run = make_run(tmp_path / "<script>alert(1)<", config)
    report([run], tmp_path / "out", Wanted(places=0))
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_report_takes_the_place_of_an_earlier_one_and_of_nothing_else(made, inputs, tmp_path):
    before, folder = made
    out = Path(shutil.copytree(folder, tmp_path / "out"))
    (out / "figures/mine.png").write_text("mine")
    after = report([inputs[0]], out, Wanted(places=0))

    assert set(before["files"]) > set(after["files"])
    held = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert held == {"report.json", "figures/mine.png", *after["files"]}
    assert json.loads((out / "report.json").read_text())["files"] == after["files"]


def test_a_page_of_the_users_is_not_written_over(inputs, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ConfigError, match=r"index\.html` is in the way"):
        report([inputs[0]], tmp_path, Wanted(places=0))

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"index.html": "mine"}


def test_the_same_inputs_give_the_same_page(inputs, tmp_path):
    for name in ("a", "b"):
        report(inputs, tmp_path / name, Wanted(places=1))
    assert (tmp_path / "a" / "index.html").read_bytes() == (tmp_path / "b" / "index.html").read_bytes()


def problems_of(paths, tmp_path) -> tuple[list[dict], str]:
    result = report(paths, tmp_path / "out", Wanted(places=0))
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.count("<li><code>") == len(result["problems"])
    return result["problems"], page


def test_a_run_of_other_classes_is_left_out_and_named(tmp_path):
    ours = make_run(tmp_path / "ours", make_data(tmp_path / "data"))
    theirs = make_run(tmp_path / "theirs", make_data(tmp_path / "other", ("road", "roof", "tree", "boat")))
    problems, page = problems_of([ours, theirs], tmp_path)
    assert [problem["source"] for problem in problems] == [str(theirs)]
    assert "road, roof, tree, boat" in problems[0]["message"]
    assert "road, roof, tree, boat" in page


def test_a_run_of_other_images_is_left_out_and_named(tmp_path):
    ours = make_run(tmp_path / "ours", make_data(tmp_path / "data"))
    theirs = make_run(tmp_path / "theirs", make_data(tmp_path / "other", images=4))
    problems, _ = problems_of([ours, theirs], tmp_path)
    assert "trained on other data" in problems[0]["message"]


def test_an_unfinished_run_is_left_out_and_named(tmp_path):
    config = make_data(tmp_path / "data")
    runs = [make_run(tmp_path / name, config) for name in ("whole", "half")]
    (runs[1] / "manifest.json").unlink()
    problems, page = problems_of(runs, tmp_path)
    assert "unfinished" in problems[0]["message"]
    assert "unfinished" in page


def test_a_file_that_changed_since_ends_in_exit_code_3_with_the_page_written(tmp_path, capsys):
    config = make_data(tmp_path / "data")
    run = make_run(tmp_path / "run", config)
    file = make_file(tmp_path / "run_float32.tflite", run, config)
    (run / "model.keras").write_text("another model")
    file.write_bytes(file.read_bytes() + b"\0")
    out = tmp_path / "out"
    assert main(["report", str(run), str(file), "-o", str(out), "--places", "0"]) == 3
    message = capsys.readouterr().err
    assert f"{run / 'model.keras'}: its bytes are not those that `manifest.json` names" in message
    assert "(2 in all)" in message
    assert (out / "index.html").read_text(encoding="utf-8").count("its bytes are not those") == 2


def test_data_that_are_gone_leave_a_page_without_pictures(inputs, tmp_path):
    result = report(inputs, tmp_path / "out", Wanted(overrides=(f"data.root={tmp_path / 'nowhere'}",)))
    (problem,) = result["problems"]
    assert problem["source"] == "pictures"
    assert "nowhere" in problem["message"]


def test_a_file_given_twice_or_by_its_record_counts_once(inputs, tmp_path):
    file = inputs[2]
    paths = [file, file.with_name(f"{file.name}.json"), file]
    assert report(paths, tmp_path / "out", Wanted(places=0))["models"] == [file.stem]


def test_a_file_without_its_record_is_shown_with_what_it_says_itself(inputs, tmp_path):
    bare = Path(shutil.copy(inputs[2], tmp_path / "bare.tflite"))
    problems, page = problems_of([*inputs, bare], tmp_path)
    assert [problem["source"] for problem in problems] == [str(bare)]
    assert "there is no `bare.tflite.json` beside it" in page


def test_scores_of_other_pixels_and_of_other_models_are_named(inputs, made, tmp_path):
    result, _ = made
    files = [path for path in inputs if path.suffix == ".tflite"]
    records = [json.loads(file.with_name(f"{file.name}.json").read_text()) for file in files]
    plain = {"miou": 0.5, "accuracy": 0.5, "boundary_f1": 0.5, "confusion": [[1] * 4] * 4, "images": 2, "split": "test"}
    plain |= {"class_names": ["road", "roof", "tree", "car"], "iou": {}, "pixels": "full"}
    hashes = [("a", records[0]["sha256"], "one"), ("b", records[1]["sha256"], "two"), ("c", "0" * 64, "one")]
    models = [{**plain, "model": name, "sha256": sha, "data_sha256": data} for name, sha, data in hashes]
    write_json(tmp_path / "scores.json", {"models": models, "differences": []})
    timed = {"model": "far.tflite", "sha256": "1" * 64, "p50_ms": 2.0}
    write_json(tmp_path / "times.json", {"results": [timed]})
    problems, _ = problems_of([*inputs, tmp_path / "scores.json", tmp_path / "times.json"], tmp_path)
    assert [(each["source"], each["message"].split(":")[0]) for each in problems] == [
        ("c", "it scores a model that is not among the inputs"),
        ("far.tflite", "it times a model that is not among the inputs"),
        (result["models"][2], f"it was scored on other pixels than {result['models'][0]}"),
    ]


def test_scores_of_images_whose_labels_changed_meanwhile_are_named(inputs, tmp_path):
    files = [path for path in inputs if path.suffix == ".tflite"]
    plain = {"miou": 0.5, "accuracy": 0.5, "boundary_f1": 0.5, "images": 2, "split": "test", "data_sha256": "one"}
    plain |= {"class_names": ["road", "roof", "tree", "car"], "iou": {}, "pixels": "full"}
    models = [
        {**plain, "model": file.name, "sha256": file_hash(file), "confusion": [[pixels] * 4, *[[1] * 4] * 3]}
        for file, pixels in zip(files[:2], (1, 2), strict=True)
    ]
    write_json(tmp_path / "scores.json", {"models": models, "differences": []})
    problems, _ = problems_of([*inputs, tmp_path / "scores.json"], tmp_path)
    assert "it was scored on other pixels" in " ".join(each["message"] for each in problems)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "does not exist"),
        ("notes.txt", "hello", "cannot be reported"),
        ("broken.json", "{", "is not JSON"),
        ("empty.json", "", "is not JSON"),
        ("other.json", '{"a": 1}', "not a result that a report can show"),
        ("list.json", "[]", "no JSON object"),
    ],
)
def test_what_is_no_result_is_refused_with_its_name(name, content, message, tmp_path, capsys):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert main(["report", str(path), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_the_extra_it_says_what_to_install(package, tmp_path):
    code = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{package}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "{package}" else real(name, *rest)
sys.meta_path.insert(0, Absent())
from rsseg_tf.cli.main import main
sys.exit(main(["report", "run", "-o", {str(tmp_path / "out")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'rsseg-tf[report]'" in done.stderr
    assert "Traceback" not in done.stderr


@in_browser
def test_tables_sort_by_number_and_back(made):
    clicked = """
      const table = page.querySelector("#summary table");
      const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
      const order = [];
      const head = [...table.tHead.rows[0].cells].find((cell) => cell.textContent.startsWith("latency"));
      for (let click = 0; click < 2; click++) { head.querySelector("button").click(); order.push(names()); }
      return [...order, head.getAttribute("aria-sort")];
    """
    rising, falling, state = use(made[1] / "index.html", clicked)
    assert rising == falling[::-1]
    assert rising[0] == "dense_float32"
    assert state == "descending"


@in_browser
def test_the_slider_moves_and_the_pair_can_be_chosen(made):
    moved = """
      const swipe = page.querySelector(".swipe"), slider = swipe.querySelector("input");
      const clip = () => frame.contentWindow.getComputedStyle(swipe.querySelector(".left")).clipPath;
      const before = clip();
      slider.value = 20; slider.dispatchEvent(new Event("input")); await settle();
      const left = page.getElementById("left"), marks = page.getElementById("differences");
      left.value = "ground truth"; left.dispatchEvent(new Event("change"));
      marks.checked = true; marks.dispatchEvent(new Event("change"));
      page.getElementById("safe").click();
      for (let tries = 0; tries < 20 && page.querySelector(".marks").width === 300; tries++) await settle();
      return {before, after: clip(), tag: swipe.querySelector(".tag-left").textContent,
        shares: [...page.querySelectorAll(".share")].map((each) => parseFloat(each.textContent)),
        marks: page.querySelector(".marks").width, loaded: swipe.querySelector(".left").naturalWidth,
        focusable: slider.tabIndex};
    """
    result = use(made[1] / "index.html", moved)
    assert result["before"] != result["after"]
    assert "80%" in result["after"]
    assert result["tag"] == "ground truth"
    assert result["shares"] == sorted(result["shares"], reverse=True)
    assert result["shares"][0] > 0
    assert (result["marks"], result["loaded"], result["focusable"]) == (44, 44, 0)


@in_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desktop(made, width):
    measured = """
      const broken = [...page.images].filter((image) => image.src && !image.naturalWidth).length;
      return [page.documentElement.scrollWidth, frame.contentWindow.innerWidth, broken];
    """
    content, window, broken = use(made[1] / "index.html", measured, width=width)
    assert content <= window
    assert broken == 0


@in_browser
def test_a_browser_has_nothing_to_complain_about(made, tmp_path):
    page = shutil.copy(made[1] / "index.html", tmp_path / "index.html")
    assert use(Path(page), "return page.title") == "data: segmentation report"
