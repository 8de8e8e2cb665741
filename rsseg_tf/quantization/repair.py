"""An int8 file whose worst layers may stay float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rsseg_tf.quantization.checks.layer_error import LayerError, float_tensors, layer_errors
from rsseg_tf.quantization.int8.bias_correction import bias_corrected
from rsseg_tf.quantization.int8.calibrated import Images, quantize


@dataclass(frozen=True)
class ConvertedFile:
    """A file and what was decided on the way.

    Attributes:
        content: the TFLite file.
        keep_float: tensors whose operators stay float; empty where all are int8.
        errors: of every operator while all were int8, worst first; empty where they were not measured.
    """

    content: bytes
    keep_float: tuple[str, ...] = ()
    errors: tuple[LayerError, ...] = ()

    @property
    def float_layers(self) -> tuple[str, ...]:
        """The Keras layers that stay float, worst first."""
        return tuple(dict.fromkeys(error.layer for error in self.errors if error.tensor in self.keep_float))


def int8_file(  # noqa: PLR0913 - what is measured, kept and corrected
    calibrated: bytes,
    *,
    head: str = "logits",
    images: Images = (),
    layer_names: Sequence[str] = (),
    keep_float: int = 0,
    correct_on: Images = (),
    together: bool = False,
    throughout: bool = False,
) -> ConvertedFile:
    """Return the int8 file of a float file with ranges.

    Args:
        calibrated: from `rsseg_tf.quantization.convert.calibrated_model`.
        head: a name in `rsseg_tf.number_formats.HEADS`.
        images: uint8 (H, W, C), on which the layers' errors are measured; none for not at all.
        layer_names: of the Keras model, to name the operators by.
        keep_float: how many of the worst layers stay float; needs `images`.
        correct_on: images over which biases are corrected, which the errors do not show; none for not at all.
        together: also round the weights of a kernel together over these images; see `bias_corrected`.
        throughout: whether everything is to be integers, as an NPU needs it; see `quantize`.

    Raises:
        ModelError: if the converter fails.
    """
    errors: tuple[LayerError, ...] = ()
    tensors: tuple[str, ...] = ()
    if images:
        file = quantize(calibrated, head=head, throughout=throughout)
        errors = tuple(layer_errors(file, calibrated, images, layer_names=layer_names, throughout=throughout))
        tensors = float_tensors(errors, calibrated, count=keep_float)
    final = bias_corrected(calibrated, correct_on, together=together) if correct_on else calibrated
    return ConvertedFile(quantize(final, head=head, keep_float=tensors, throughout=throughout), tensors, errors)
