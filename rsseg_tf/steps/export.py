"""The job of `rsseg-tf export-tflite`: a `.keras` in, a proven `.tflite` that describes itself out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsseg_tf.config import Config, ExportConfig
from rsseg_tf.config.export import GPTQ, MICRO, check_export
from rsseg_tf.errors import ConfigError, extras_named
from rsseg_tf.inference.runner import TFLiteRunner
from rsseg_tf.number_formats import FORMATS, RECOVERY
from rsseg_tf.quantization.checks import agreement, proof
from rsseg_tf.quantization.convert import calibrated_model, convert
from rsseg_tf.quantization.int8.calibrated import Images
from rsseg_tf.quantization.int8.scores import with_range_of_scores
from rsseg_tf.quantization.repair import ConvertedFile, int8_file
from rsseg_tf.runs import atomic_path, require_output, write_json
from rsseg_tf.steps.opening import find_model
from rsseg_tf.steps.qat import forget_training, qat_flatbuffer
from rsseg_tf.steps.shared.exported import Source, agreement_of, open_source, provenance, source_metadata, suited_file
from rsseg_tf.steps.shared.windows import windows
from rsseg_tf.tflite import arena, kernels
from rsseg_tf.tflite.edgetpu import lint as edgetpu
from rsseg_tf.tflite.ethosu import vela
from rsseg_tf.tflite.flatbuffer import parse_model
from rsseg_tf.tflite.front.signature import with_signature
from rsseg_tf.tflite.metadata import embed_metadata

_ERROR_SAMPLES, _CORRECTED_ON = 8, 16


@extras_named()
def export(model: Path | str, config: Config, out: Path | str) -> Mapping[str, Any]:
    """Write a trained model as the TFLite file `out`, which appears only once it has been proven.

    Beside it lies `{out}.json`: the result, what it was made from, and the windows it was calibrated on. An export
    with quantization-aware training that was killed, or whose file was refused, goes on from the last saved step,
    which `{out}.qat` holds.

    Args:
        model: the `.keras` file, or the folder of a finished run.
        config: the settings; `config.export` says which kind of file.
        out: the `.tflite` file.

    Returns:
        `model` (path), `type`, `head`, `file_bytes`, `proof`, `agreement`, `calibration`; `keep_float` (layers);
        `layer_errors`, worst first, if `export.layer_error` asks for them; `recovered`: None, or where
        `export.recover` had the file trained, the agreement of the plain `int8` one and the points won back;
        `edgetpu` and `ethosu`: the lint, or what Vela says, for such a target, else None; `micro_arena_bytes`: for the
        target `micro` the memory of activations as TFLite Micro plans it, else None; and `kernels`: see
        `rsseg_tf.tflite.kernels.KernelAgreement`, None for a file that computes on floats.

    Raises:
        CheckFailedError: if the file is not what its type promises, does not map to its target, loses too much
            accuracy, or is another by other kernels.
        RssegError: of any other kind where settings, data or model are at fault.
    """
    path = find_model(model)
    if Path(out).suffix.lower() == ".onnx":
        raise ConfigError(f"`{out}` ends like an ONNX file", hint="use export-onnx, or another name")
    require_output(Path(out), kinds=[".tflite"], reads=[path])
    return _export(path, config, Path(out))


def _export(model_path: Path, config: Config, out: Path) -> Mapping[str, Any]:
    check_export(config.export)
    if config.export.target in vela.USUAL:
        vela.require_installed()
    source = open_source(model_path, config)
    config = source.config
    with atomic_path(out) as temporary:
        tried = [_attempt(source, config.export.type, temporary, out=out)]
        if _is_to_recover(tried[0], config.export):
            tried.append(_attempt(source, RECOVERY[config.export.type], temporary, out=out))
        mapped = None
        if config.export.target == "edgetpu":
            mapped = edgetpu.require_mapped(temporary, out=out, layer_names=source.layer_names)
        made = tried[-1]
        by_vela = _by_vela(source, temporary, out=out)
        by_kernels = _by_kernels(source, temporary, out=out)
        agreement.require(made.agreement, max_drop=config.export.max_drop, number_format=made.number_format)
    result = {
        "model": str(out),
        **made.record(source),
        "file_bytes": out.stat().st_size,
        "recovered": _recovered(*tried) if len(tried) == 2 else None,
        "edgetpu": mapped.record() if mapped else None,
        "ethosu": by_vela.record() if by_vela else None,
        "micro_arena_bytes": _memory(out) if config.export.target == MICRO else None,
        "kernels": by_kernels.record() if by_kernels else None,
    }
    write_json(out.with_name(f"{out.name}.json"), {**result, **provenance(source, out)})
    if FORMATS[made.number_format].trained_from:
        forget_training(out)
    return result


@dataclass(frozen=True)
class _Attempt:
    """A file of one type, proven, and how it compares with its model."""

    number_format: str
    made: ConvertedFile
    proof: proof.Proof
    agreement: agreement.Agreement

    def record(self, source: Source) -> dict[str, Any]:
        wanted = source.config.export
        return {
            "type": self.number_format,
            "head": wanted.head,
            "proof": self.proof.record(),
            "agreement": self.agreement.record(),
            "calibration": source.calibration_record(self.number_format),
            "keep_float": self.made.float_layers,
            "layer_errors": [error.record() for error in self.made.errors] if wanted.layer_error else [],
        }


def _attempt(source: Source, number_format: str, path: Path, *, out: Path) -> _Attempt:
    """Return the file of a type, written to `path` and proven as `out`."""
    made = _made(source, number_format, out=out)
    content = suited_file(made.content, source.config.export.target, name=str(out))
    named = with_signature(content, head=source.config.export.head)
    path.write_bytes(embed_metadata(named, source_metadata(source, number_format)))
    facts = proof.prove(path, layer_names=source.layer_names)
    proof.require(facts, number_format, path=out, keep_float=made.keep_float)
    return _Attempt(number_format, made, facts, agreement_of(source, TFLiteRunner(path)))


def _is_to_recover(attempt: _Attempt, wanted: ExportConfig) -> bool:
    loses = attempt.agreement.drop > wanted.max_drop
    return attempt.number_format in RECOVERY and wanted.recover == "qat" and loses


def _recovered(plain: _Attempt, trained: _Attempt) -> dict[str, Any]:
    return {"int8": plain.agreement.record(), "won_back": plain.agreement.drop - trained.agreement.drop}


def _made(source: Source, number_format: str, *, out: Path) -> ConvertedFile:
    """Return the file of a type, trained, repaired where the settings say so, or as the converter makes it."""
    wanted, calibration = source.config.export, source.calibration
    if FORMATS[number_format].trained_from:
        dataset, hashes = source.dataset, source.hashes
        trained = qat_flatbuffer(source.model, dataset, source.config, calibration, out=out, hashes=hashes)
        return ConvertedFile(trained)
    if FORMATS[number_format].can_be_repaired:
        return _repaired(source)
    content = convert(
        source.model,
        number_format=number_format,
        head=wanted.head,
        calibration=calibration.images,
        method=wanted.calibration_method,
    )
    return ConvertedFile(content)


def _repaired(source: Source) -> ConvertedFile:
    wanted, images = source.config.export, source.calibration.images
    ranged = calibrated_model(
        source.model,
        head=wanted.head,
        calibration=images,
        method=wanted.calibration_method,
        equalize=wanted.equalize,
    )
    return int8_file(
        with_range_of_scores(ranged, images),
        head=wanted.head,
        images=images[:_ERROR_SAMPLES] if wanted.layer_error or wanted.keep_float else (),
        layer_names=source.layer_names,
        keep_float=wanted.keep_float,
        correct_on=_to_correct_on(images) if wanted.bias_correction or wanted.rounding == GPTQ else (),
        together=wanted.rounding == GPTQ,
        throughout=wanted.throughout,
    )


def _to_correct_on(images: Images) -> Images:
    """Return some of the calibration images: means and covariances need fewer than extremes do."""
    return images[:: math.ceil(len(images) / _CORRECTED_ON)]


def _by_vela(source: Source, path: Path, *, out: Path) -> vela.VelaReport | None:
    """Return what Vela says of the file `path`, to be `out`; None for another target."""
    accelerator = vela.USUAL.get(source.config.export.target)
    if accelerator is None:
        return None
    found = vela.estimate(path, accelerator, layer_names=source.layer_names, name=str(out))
    vela.require_on_npu(found)
    return found


def _memory(path: Path) -> int:
    return arena.arena_bytes(parse_model(path.read_bytes(), name=str(path)), arena.MICRO)


def _by_kernels(source: Source, path: Path, *, out: Path) -> kernels.KernelAgreement | None:
    """Return how the file `path`, to be `out`, differs by other kernels; None where floats are all that differs."""
    content, wanted = path.read_bytes(), source.config.export
    if not (wanted.kernel_samples and kernels.is_quantized(content, name=str(out))):
        return None
    count = min(wanted.kernel_samples, wanted.check_samples)
    images = [image for _, image, _ in windows(source.dataset, source.config, "val", count=count)]
    found = kernels.compare_kernels(content, images, name=str(out), layer_names=source.layer_names)
    kernels.require_same(found, most_steps=wanted.kernel_steps, setting="export.kernel_steps")
    return found
