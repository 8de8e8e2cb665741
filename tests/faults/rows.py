"""The table: bad command lines of every command, in the folder that `tests.faults.inputs` writes."""

from __future__ import annotations

from collections.abc import Iterator

from rsseg_tf.config.reading import to_dict
from rsseg_tf.config.root import Config
from rsseg_tf.errors import CheckFailedError, ConfigError, DataError, MissingExtraError, ModelError, RssegError
from tests.faults.runner import FINE, USAGE, Case, with_each

COMMAND_LINES = [
    Case("nonsense", USAGE, "No such command"),
    Case("--nonsense", USAGE, "No such option"),
    Case("data nonsense", USAGE, "No such command"),
    Case("fit", USAGE, "Missing option"),
    Case("fit --epochs 3", USAGE, "No such option"),
    Case("prune", USAGE, "Missing argument"),
    Case("evaluate", USAGE, "Missing argument"),
    Case("predict", USAGE, "Missing argument"),
    Case("predict models/text.tflite", USAGE, "Missing argument"),
    Case("benchmark", USAGE, "Missing argument"),
    Case("inspect", USAGE, "Missing argument"),
    Case("inspect a b", USAGE, "unexpected extra argument"),
    Case("inspect m.tflite --ethosu u55", USAGE, "--ethosu"),
    Case("inspect m.tflite --agree a.png --kernel-steps -1", USAGE, "--kernel-steps"),
    Case("export-onnx", USAGE, "Missing argument"),
    Case("export-onnx m.keras --type int4", USAGE, "--type"),
    Case("benchmark m.tflite --runtime tensorrt", USAGE, "--runtime"),
    Case("report json", USAGE, "Missing option"),
    Case("ranges", USAGE, "Missing argument"),
    Case("data show", USAGE, "Missing option"),
    Case("data show -o out/a.png --count 0", USAGE, "--count"),
    Case("data show -o out/a.png --count 201", USAGE, "--count"),
    Case("data show -o out/a.png --cell 1e3", USAGE, "--cell"),
    Case("data scenes -o out --count 0", USAGE, "--count"),
    Case("data scenes -o out --size 31", USAGE, "--size"),
    Case("data scenes -o out --size 16385", USAGE, "--size"),
    Case("data scenes -o out --seed -1", USAGE, "--seed"),
    Case("data burn a b -o out", USAGE, "--attribute"),
    Case("data init", USAGE, "Missing argument"),
    Case("ablate -o out --repeats 0", USAGE, "--repeats"),
    Case("report json -o out --places -1", USAGE, "--places"),
    Case("report json -o out --threads 0", USAGE, "--threads"),
    Case("predict m.tflite photos -o out --workers 0", USAGE, "--workers"),
    Case("predict m.tflite photos -o out --workers some", USAGE, "--workers"),
    Case("evaluate m.tflite --workers 1025", USAGE, "--workers"),
    Case("benchmark m.tflite --repeats 0", USAGE, "--repeats"),
    Case("benchmark m.tflite --warmup -1", USAGE, "--warmup"),
    Case("export-tflite m.keras --for gpu", USAGE, "--for"),
    Case("export-tflite m.keras --keep-float many", USAGE, "--keep-float"),
    Case("export-tflite m.keras --recover all", USAGE, "--recover"),
    Case("prune m.keras --oracle-groups -1", USAGE, "--oracle-groups"),
    *with_each(
        "predict m.tflite survey -o out",
        [
            Case("--overlap -1", USAGE, "--overlap"),
            Case("--overlap 1.5", USAGE, "--overlap"),
            Case("--gsd -1", USAGE, "--gsd"),
            Case("--threshold 2", USAGE, "--threshold"),
            Case("--least-area -1", USAGE, "--least-area"),
            Case("--every 0", USAGE, "--every"),
            Case("--most-frames -1", USAGE, "--most-frames"),
            Case("--polygons shp", USAGE, "--polygons"),
            Case("--fitting stretch", USAGE, "--fitting"),
            Case("--threads 0", USAGE, "--threads"),
            Case("--mean much", USAGE, "--mean"),
            Case("--gsd nan", USAGE, "--gsd"),
            Case("--gsd inf", USAGE, "--gsd"),
            Case("--gsd 1e200", USAGE, "--gsd"),
            Case("--gsd 9999999999999999999999999999999", USAGE, "--gsd"),
            Case("--least-area nan", USAGE, "--least-area"),
            Case("--least-area inf", USAGE, "--least-area"),
            Case("--threshold nan", USAGE, "--threshold"),
            Case("--std nan", USAGE, "--std"),
            Case("--std inf", USAGE, "--std"),
            Case("--std 0", USAGE, "--std"),
            Case("--std -3", USAGE, "--std"),
            Case("--mean nan", USAGE, "--mean"),
            Case("--mean inf", USAGE, "--mean"),
            Case("--mean 1e39", USAGE, "--mean"),
            Case("--overlap 9999999999999999999999999999999", USAGE, "--overlap"),
            Case("--threads 9999999999999999999999999999999", USAGE, "--threads"),
            Case("--every 9999999999999999999999999999999", USAGE, "--every"),
            Case("--most-frames 9999999999999999999999999999999", USAGE, "--most-frames"),
        ],
    ),
    Case("export-tflite m.keras --max-drop nan", ConfigError, "no model"),
    Case("benchmark m.tflite --repeats 9999999999999999999999999999999", USAGE, "--repeats"),
    Case("data scenes -o out --count 9999999999999999999999999999999", USAGE, "--count"),
    Case("data scenes -o out --seed 9999999999999999999999999999999", USAGE, "--seed"),
    Case("data burn a b -o out --attribute class --block 9999999999999999999999999999999", USAGE, "--block"),
    Case("ablate -o out --repeats 9999999999999999999999999999999", USAGE, "--repeats"),
    Case("report json -o out --places 9999999999999999999999999999999", USAGE, "--places"),
]
"""What click, or a first look at the options, refuses."""

SETTINGS = [
    Case("settings nonsense", ConfigError, "nonsense"),
    Case("settings fit.epoch", ConfigError, "fit.epochs"),
    Case("settings ''", FINE),
    *with_each(
        "data check",
        [
            Case("-c gone.yaml", ConfigError, "gone.yaml"),
            Case("-c yaml/folder.yaml", ConfigError, "yaml/folder.yaml"),
            *(
                Case(f"-c yaml/{name}.yaml", ConfigError, f"{name}.yaml")
                for name in (
                    *("open", "list", "word", "twice", "tab", "deep", "tag", "latin", "binary", "alias", "nul", "key"),
                    "section",
                )
            ),
            Case("-c yaml/unknown.yaml", ConfigError, "fit.epochs"),
            Case("-c yaml/laughs.yaml", ConfigError, "unknown setting"),
            Case("survey.yaml", ConfigError, "-c survey.yaml"),
            Case("=3", ConfigError, "key=value"),
            Case("fit", ConfigError, "key=value"),
            Case("fit=3", ConfigError, "section"),
            Case("fit.epoch=3", ConfigError, "fit.epochs"),
            Case("'fit.epochs=[1'", ConfigError, "cannot read the value"),
            Case("fit.epochs=[1]", ConfigError, "single value"),
            Case("'fit.epochs={a: 1}'", ConfigError, "single value"),
            Case("fit.epochs=3.5", ConfigError, "whole number"),
            Case("fit.epochs=0x10", ConfigError, "whole number"),
            Case("fit.epochs.x=3", ConfigError, "fit.epochs"),
            Case("data.name=nonsense", ConfigError, "data.name"),
            Case("data.name=", ConfigError, "data.name"),
            Case("data.input_size=3", ConfigError, "list"),
            Case("data.input_size=[3]", ConfigError, "2 values"),
            Case("data.input_size=[32,16]", ConfigError, "32 to"),
            Case("data.input_size=[100000,100000]", ConfigError, "8,192"),
            Case("data.input_size=[8192,8192]", ConfigError, "pixels"),
            Case("data.bands=[1,0]", ConfigError, "data.bands"),
            Case("data.bands=[0,1,2]", ConfigError, "data.bands"),
            Case("data.scale=[4,3]", ConfigError, "data.scale"),
            Case("data.scale=[nan,3]", ConfigError, "data.scale"),
            Case("seed=4294967296", ConfigError, "seed"),
            Case("data.scenes.size=1000000", ConfigError, "data.scenes.size"),
            Case("data.scenes.train=-1", ConfigError, "data.scenes.train"),
            Case("data.root=survey", ConfigError, "data.name"),
            Case("data.folder.pairs=splits.csv", ConfigError, "data.name"),
            Case("data.name=folder", ConfigError, "data.folder.classes"),
            Case("data.name=uavid", RssegError, "data.root"),
            Case("data.name=uavid data.root=gone", DataError, "gone"),
            Case("data.name=vaihingen data.root=survey", DataError, "survey"),
            Case("data.name=loveda data.root=hollow", DataError, "hollow"),
        ],
    ),
]
"""Files of settings and words over them."""

DATA = [
    *with_each(
        "data check -c survey.yaml",
        [
            Case("", FINE, "labeled"),
            Case("data.root=gone", DataError, "gone"),
            Case("data.root=a_file", DataError, "a_file"),
            Case("data.root=hollow", DataError, "hollow"),
            Case("data.root=unpaired data.folder.pairs=", DataError, "unpaired/masks"),
            Case("data.folder.pairs=gone.csv", DataError, "gone.csv"),
            Case("data.folder.pairs=images", DataError, "images"),
            Case("data.folder.pairs=no_header.csv", DataError, "no_header.csv"),
            Case("data.folder.pairs=no_column.csv", DataError, "split"),
            Case("data.folder.pairs=missing.csv", CheckFailedError, "problem"),
            Case("data.folder.pairs=short.csv", CheckFailedError, "problem"),
            Case("data.folder.pairs=empty.csv", DataError, "empty.csv"),
            Case("data.folder.pairs=only_test.csv", CheckFailedError, "problem"),
            Case("data.folder.pairs=quote.csv", DataError, "quote.csv"),
            Case("data.folder.pairs=nul.csv", CheckFailedError, "problem"),
            Case("data.folder.pairs=long.csv", CheckFailedError, "problem"),
            Case("data.folder.pairs=huge.csv", RssegError, "huge.csv"),
            Case("data.folder.pairs=latin.csv", DataError, "latin.csv"),
            Case("data.folder.pairs=outside.csv", CheckFailedError, "problem"),
            Case("data.root=big", CheckFailedError, "problem"),
            Case("data.root=pipes data.folder.pairs=pairs.csv", CheckFailedError, "problem"),
            Case("data.folder.classes={}", ConfigError, "classes"),
            Case(
                "'data.folder.classes={land: 102030}' data.folder.ignore_colors=[405060]", CheckFailedError, "problem"
            ),
            Case("'data.folder.classes={land: 102030}' data.unknown_colors=ignore", CheckFailedError, "problem"),
            Case("'data.folder.classes={land: red, sea: blue}'", ConfigError, "hexadecimal"),
            Case("'data.folder.classes={land: 102030, sea: 102030}'", ConfigError, "twice"),
            Case("'data.folder.classes={land: 1, sea: 405060}'", ConfigError, "mix"),
            Case("'data.folder.classes={land: 1, sea: 256}'", ConfigError, "sea"),
            Case("'data.folder.classes={land: }'", ConfigError, "no value"),
            Case("'data.folder.colors={land: 102030}'", ConfigError, "colors"),
            Case("data.folder.image_glob=x data.folder.pairs=", ConfigError, "mask_glob"),
            Case("data.folder.ignore_colors=[zzz]", ConfigError, "zzz"),
        ],
    ),
    Case("data show -c survey.yaml -o out/sheet.pdf", ConfigError, "sheet.pdf"),
    Case("data show -c survey.yaml -o survey", ConfigError, "folder"),
    Case("data show -c survey.yaml -o out/sheet.png --split nothing", RssegError, "nothing"),
    Case("data show -c survey.yaml -o survey/images/a0.png", ConfigError, "a0.png"),
    Case("data show -c survey.yaml -o a_file/sheet.png", RssegError, "a_file"),
    Case(f"data show -c survey.yaml -o out/{'x' * 300}.png", RssegError, "name"),
    Case("data show -c survey.yaml -o /proc/sheet.png", RssegError, "/proc"),
    Case("data prepare -c survey.yaml", ConfigError, "data.cache_dir"),
    Case("data prepare", ConfigError, "nothing to prepare"),
    Case("data prepare -c survey.yaml data.cache_dir=a_file", RssegError, "a_file"),
    Case("data scenes -o survey", ConfigError, "survey"),
    Case("data scenes -o a_file", RssegError, "a_file"),
    Case("data burn gone.tif labels/empty.geojson --attribute class -o out", RssegError, ""),
    Case("data burn survey/images/a0.png labels/gone.gpkg --attribute class -o out", RssegError, "gone.gpkg"),
    Case("data burn survey/images/a0.png labels/text.gpkg --attribute class -o out", RssegError, ""),
    Case("data burn survey/images/a0.png labels/text.geojson --attribute class -o out", RssegError, ""),
    Case("data burn survey/images/a0.png labels/empty.geojson --attribute class -o out", RssegError, ""),
    Case("data burn bad/broken.tif labels/one.geojson --attribute class -o out", RssegError, "broken.tif"),
    Case("data burn survey labels/one.geojson --attribute class -o out", RssegError, "survey"),
    Case("data burn survey/images/a0.png labels/empty.geojson --attribute c -o survey", ConfigError, "survey"),
    Case(
        "data burn survey/images/a0.png labels/empty.geojson --attribute c -o out",
        MissingExtraError,
        "geo",
        without=("rasterio",),
    ),
    Case("data init gone -o out", RssegError, "gone"),
    Case("data init a_file -o out", RssegError, "a_file"),
    Case("data init hollow -o out", RssegError, "hollow"),
    *(
        Case(f"data init labels/{name} -o out", RssegError, "")
        for name in ("coco", "coco_types", "labelme", "cvat", "nothing")
    ),
    Case("data init survey -o survey", ConfigError, "survey"),
]
"""Data sets that are not what the settings say."""

OPENING = [
    *with_each(
        "predict",
        [
            Case("gone.tflite survey -o out", ConfigError, "gone.tflite"),
            Case("survey survey -o out", ConfigError, "no model"),
            Case("a_file survey -o out", RssegError, "a_file"),
            Case("survey/images/a0.png survey -o out", ModelError, "a0.png"),
            Case("models/bare.keras survey -o out", ConfigError, "config.yaml"),
        ],
    ),
    *(
        Case(f"{command} models/{name}.tflite{rest}", ModelError, f"{name}.tflite")
        for name in ("empty", "text", "magic", "ones")
        for command, rest in (
            ("inspect", ""),
            ("inspect", " --edgetpu"),
            ("benchmark", ""),
            ("evaluate", " -c survey.yaml"),
            ("predict", " survey -o out"),
        )
    ),
    *(
        Case(f"{command} models/folder.tflite{rest}", ConfigError, "folder.tflite")
        for command, rest in (("inspect", ""), ("benchmark", ""), ("evaluate", " -c survey.yaml"))
    ),
    *(
        Case(f"{command} models/{name}.keras{rest}", ModelError, f"{name}.keras")
        for name in ("empty", "text", "hollow")
        for command, rest in (
            ("inspect", ""),
            ("inspect", " --groups"),
            ("benchmark", ""),
            ("evaluate", " -c survey.yaml"),
            ("predict", " survey -o out -c survey.yaml"),
            ("export-tflite", " -c survey.yaml -o out/a.tflite"),
            ("prune", " -c survey.yaml -o out"),
            ("ranges", " -c survey.yaml -o out"),
        )
    ),
    Case("inspect models/empty.tflite --groups", ConfigError, ".keras"),
    Case("inspect models/bare.keras --edgetpu", ConfigError, ".tflite"),
    Case("export-tflite models/bare.keras -o out/a.tflite", ConfigError, "config.yaml"),
    Case("export-tflite models/text.tflite -c survey.yaml -o out/a.tflite", ModelError, "TFLite file already"),
    Case("export-onnx models/text.tflite -c survey.yaml -o out/a.onnx", ModelError, "TFLite file already"),
    Case("export-onnx models/bare.keras -o out/a.onnx", ConfigError, "config.yaml"),
    Case("inspect models/bare.keras --agree a.png", ConfigError, ".tflite"),
    Case("inspect models/bare.keras --ethosu ethos-u55-256", ConfigError, ".tflite"),
    Case("evaluate models/text.tflite -c survey.yaml --runtime onnxruntime", ConfigError, "does not read"),
    Case("prune models/bare.keras -c survey.yaml", ConfigError, "--out"),
    Case("evaluate -c survey.yaml data.root=survey", ConfigError, "only settings"),
    Case("benchmark gone.tflite", ConfigError, "gone.tflite"),
    Case("benchmark models/text.tflite --threads x", ConfigError, "--threads"),
    Case("benchmark models/text.tflite --threads 0", ConfigError, "threads"),
    Case("benchmark models/text.tflite --threads 1,,2", ConfigError, "--threads"),
    Case("benchmark models/text.tflite --threads 9999999999999999999999999999999", ConfigError, "threads"),
    Case("benchmark models/text.tflite --profile models/text.tflite", ConfigError, "text.tflite"),
    Case("benchmark models/text.tflite --threads 1,2 --profile out/a.json", ConfigError, "--profile"),
    Case("benchmark models/text.tflite models/ones.tflite --profile out/a.json", ConfigError, "--profile"),
    Case("benchmark models/text.tflite --profile out/a.json --delegate edgetpu", ConfigError, "--profile"),
    Case("benchmark models/text.tflite --delegate gone.so", ConfigError, "gone.so"),
    Case("benchmark models/text.tflite --delegate edgetpu", ModelError, "docs/edge.md"),
    Case("fit -c survey.yaml -o out model.architecture=unet", ConfigError, "model.architecture"),
    Case(
        "fit -c survey.yaml -o out model.architecture=bisenet model.aspp=separable", ConfigError, "model.aspp=separable"
    ),
    Case("fit -c survey.yaml -o out fit.distill.teacher=gone.keras", ConfigError, "fit.distill.teacher"),
    Case("fit -c survey.yaml -o out fit.distill.teacher=models/text.tflite", ModelError, "fit.distill.teacher"),
    Case("ablate -o out -c survey.yaml prune.distill.teacher=gone.keras", ConfigError, "prune.distill.teacher"),
    Case("ablate -o out -c gone.yaml", ConfigError, "gone.yaml"),
    Case("ablate -o out -c survey.yaml fit.epoch=3", ConfigError, "fit.epochs"),
]
"""Model files that are none; no TensorFlow is started for what its first bytes tell."""

REPORTS = [
    Case("report gone -o out", ConfigError, "gone"),
    Case("report survey -o out", ConfigError, "not a run folder"),
    Case("report a_file -o out", ConfigError, "a_file"),
    Case("report survey.yaml -o out", ConfigError, "survey.yaml"),
    Case("report a=b -o out", ConfigError, "only settings"),
    Case("report models/text.tflite -o out", ModelError, "text.tflite"),
    Case("report models/empty.tflite -o out", ModelError, "empty.tflite"),
    *(
        Case(f"report json/{name}.json -o out", ConfigError, f"{name}.json")
        for name in (
            *("text", "empty", "list", "number", "null", "deep", "deep_whole", "infinity", "types", "bench", "ragged"),
            *("bench_number", "bench_text", "models", "models_list", "ranges", "digits", "profile_kind", "latin"),
            "surrogate",
        )
    ),
    Case("report json/text.json -o out", MissingExtraError, "report", without=("matplotlib",)),
]
"""Results that are none."""

NUMBERS = ("nan", "inf", "-inf", "9" * 31, "much", "[1]", "'{a: 1}'", "1e400", "")


def settings_cases() -> Iterator[Case]:
    """Every setting that holds a number or a choice, with values that it cannot hold."""
    for name, value in _leaves(to_dict(Config())):
        if name in _OF_ANY_SIZE:
            continue
        if isinstance(value, bool):
            yield Case(f"data check {name}=perhaps", ConfigError, name)
        elif isinstance(value, int | float):
            yield from (Case(f"data check {name}={bad}", ConfigError, name) for bad in NUMBERS)
        elif isinstance(value, list) and value and isinstance(value[0], int | float):
            bad_lists = [f"[{', '.join([bad] * len(value))}]" for bad in ("nan", "inf", "9" * 31, "much")]
            yield from (Case(f"data check '{name}={bad}'", ConfigError, name) for bad in ("3", "[]", *bad_lists))


_OF_ANY_SIZE: tuple[str, ...] = ()


def _leaves(settings: object, where: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(settings, dict) and settings:
        for key, value in settings.items():
            yield from _leaves(value, f"{where}.{key}" if where else key)
    else:
        yield where, settings


LIGHT = [*COMMAND_LINES, *SETTINGS, *DATA, *OPENING, *REPORTS]
"""Cases that need no model, in an order in which nothing starts TensorFlow."""

PREDICTIONS = with_each(
    "predict sealed.tflite",
    [
        *(
            Case(f"bad/{name} -o out", DataError, name)
            for name in (
                *("empty.png", "text.png", "cut.png", "head.png", "flipped.png", "none.png", "many.png", "cut.jpg"),
                *(
                    "head.jpg",
                    "empty.jpg",
                    "broken.tif",
                    "short.tif",
                    "empty.tif",
                    "webp.webp",
                    "empty.bmp",
                    "text.jp2",
                ),
                "deep.png",
            )
        ),
        Case("bad/folder.png -o out", DataError, "no image"),
        Case("bad -o out", DataError, "bad/"),
        Case("gone.png -o out", DataError, "gone.png"),
        Case("hollow -o out", DataError, "hollow"),
        Case("'*.nothing' -o out", DataError, "*.nothing"),
        Case("dangling.png -o out", DataError, "dangling.png"),
        Case("circle.png -o out", DataError, "circle.png"),
        Case("loop -o out", FINE, ""),
        Case("pipes -o out", DataError, "pipe"),
        Case("pipes/pipe.png -o out", DataError, "pipe.png"),
        Case("pipes/zero.png -o out", DataError, "zero.png"),
        Case("/dev/zero -o out", DataError, "/dev/zero"),
        Case("odd -o out", FINE, ""),
        Case("'odd/caf\udce9.png' -o out", FINE, ""),
        Case("'gone\udce9.png' -o out", DataError, "gone"),
        Case("survey/images -o survey/images", ConfigError, "survey/images"),
        Case("survey/images -o a_file", RssegError, "a_file"),
        Case("survey/images -o /proc/maps", RssegError, "/proc"),
        Case(f"survey/images -o {'x' * 300}", RssegError, "shorter name"),
        Case("survey/images -o out --overlap 32", ConfigError, "overlap"),
        Case("survey/images -o out --bands nan,1,2", ConfigError, "band"),
        Case("survey/images -o out --bands nan", ConfigError, "band"),
        Case("survey/images -o out --bands 1.5,2,3", ConfigError, "band"),
        Case("survey/images -o out --bands 1,2", ConfigError, "band"),
        Case("survey/images -o out --bands 0,1,2", ConfigError, "band"),
        Case("survey/images -o out --bands inf,1,2", ConfigError, "band"),
        Case(f"survey/images -o out --bands 1,2,{'9' * 31}", ConfigError, "band"),
        Case("survey/images -o out --bands 4,5,6", ConfigError, "band"),
        Case("survey/images -o out --scale 9,3", ConfigError, "scale"),
        Case("survey/images -o out --scale nan,3", ConfigError, "scale"),
        Case("survey/images -o out --scale 0,inf", ConfigError, "scale"),
        Case("survey/images -o out --scale 1", ConfigError, "scale"),
        Case("survey/images -o out --scale ''", ConfigError, "--scale"),
        Case("survey/images -o out --mean 1", ConfigError, "already describes itself"),
        Case("survey/images -o out --names a,b --std 1", ConfigError, "already describes itself"),
        Case("survey/images -o out --simplify", ConfigError, "--polygons"),
        Case("survey/images -o out --polygons gpkg --least-area 3 --gsd 0", ConfigError, "--gsd"),
        Case("survey/images -o out --delegate gone.so", ConfigError, "gone.so"),
        Case("survey/images -o out --delegate models/text.tflite", ModelError, "text.tflite"),
        Case("survey/images -o out --polygons gpkg", MissingExtraError, "geo", without=("pyogrio",)),
        Case("camera:99 -o out", DataError, "camera:99"),
        Case("camera:x -o out", DataError, "camera:x"),
        Case("gone.mp4 -o out", DataError, "gone.mp4"),
        Case("a_file -o out", DataError, "a_file"),
    ],
)
"""Images and options that `predict` refuses."""

MODELS = [
    Case("evaluate sealed.tflite", ConfigError, "config.yaml"),
    Case("evaluate sealed.tflite -c survey.yaml", RssegError, "class"),
    Case("evaluate sealed.tflite gone.tflite -c survey.yaml", ConfigError, "gone.tflite"),
    Case("evaluate foreign.tflite -c survey.yaml", ConfigError, "pixels"),
    Case("evaluate foreign.tflite -c survey.yaml --std 1", RssegError, "class"),
    Case("evaluate sealed.tflite -c four.yaml --split nothing", DataError, "nothing"),
    Case("evaluate sealed.tflite -c scenes.yaml", ModelError, "classes"),
    Case("benchmark sealed.tflite --repeats 1 --warmup 0 --data gone.yaml", ConfigError, "gone.yaml"),
    Case("benchmark sealed.tflite --repeats 1 --warmup 0 --data survey.yaml", RssegError, "class"),
    Case("benchmark sealed.tflite --repeats 1 --profile a_file", ConfigError, "a_file"),
    Case("benchmark sealed.tflite --repeats 1 --profile survey", ConfigError, "survey"),
    Case("predict foreign.tflite survey/images -o out --names a,b --std 1", ConfigError, "4 classes"),
    Case("predict foreign.tflite survey/images -o out --names a,a,b,c --std 1", ConfigError, "a, a"),
    *(
        Case(f"{command} cut{share}.tflite{rest}", ModelError, f"cut{share}.tflite")
        for share in (1, 30, 60, 90)
        for command, rest in (("inspect", ""), ("benchmark", " --repeats 1"), ("predict", " survey/images -o out"))
    ),
    Case("report cut60.tflite -o out", ModelError, "cut60.tflite"),
]
"""Models that do not fit what is asked of them."""

OF_A_MODEL = [*PREDICTIONS, *MODELS]
"""Cases that need a `.tflite` file, but no TensorFlow."""
