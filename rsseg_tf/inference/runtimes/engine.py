"""One input, one output of those that a file has, one thread pool: what is asked of every runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.errors import ModelError, first_line
from rsseg_tf.quiet import quiet_stderr
from rsseg_tf.tflite.interpreter import delegate_partitions, invoke, open_interpreter

Stored = NDArray[Any]


class Engine(Protocol):
    """A model file that is loaded and can be run."""

    def set_input(self, stored: Stored) -> None:
        """Copy an array as the file stores it into the input."""
        ...

    def invoke(self) -> None:
        """Run the network once.

        Raises:
            ModelError: if a kernel fails.
        """
        ...

    def output(self) -> Stored:
        """Return the output of the last run as it is stored; it may change with the next run."""
        ...

    def partitions(self) -> tuple[int, list[str]]:
        """Return how many pieces of the graph the runtime's fast kernels take, and the operators outside them."""
        ...


class LiteRT:
    """LiteRT, the interpreter of `.tflite` files, with XNNPACK or a delegate.

    Args:
        path: the file.
        threads: CPU threads.
        place: of the output, where there are several.
        delegate: shared library of a delegate.

    Attributes:
        shapes: of the input and the output, as the operators make them.
    """

    def __init__(self, path: Path, *, threads: int, place: int = 0, delegate: Path | None = None) -> None:
        self._path = path
        self._native = open_interpreter(path, threads=threads, delegate=delegate)
        sides = (self._native.get_input_details()[0], self._native.get_output_details()[place])
        self._input, self._output = (int(each["index"]) for each in sides)
        source, result = (tuple(map(int, each["shape"])) for each in sides)
        self.shapes = (source, result)

    def set_input(self, stored: Stored) -> None:
        """Copy an array into the input."""
        self._native.set_tensor(self._input, stored)

    def invoke(self) -> None:
        """Run the network once."""
        invoke(self._native, path=self._path)

    def output(self) -> Stored:
        """Return the output of the last run, where the interpreter keeps it."""
        stored: Stored = self._native.tensor(self._output)()
        return stored

    def partitions(self) -> tuple[int, list[str]]:
        """Return how many delegate partitions there are, and the operators outside them."""
        return delegate_partitions(self._native)


class Describing(Engine, Protocol):
    """An engine of a file format that it takes apart itself.

    Attributes:
        shapes: of the input and the output.
        input_dtype: of the input's numbers, as NumPy calls it.
        notes: what the file says about itself.
    """

    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    input_dtype: str
    notes: Mapping[str, str]


class OpenVINO:
    """OpenVINO on the CPU, of a `.tflite` or `.onnx` file and of its output at `place`."""

    def __init__(self, path: Path, *, threads: int, place: int = 0) -> None:
        import openvino

        def load() -> Any:
            core = openvino.Core()
            settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            model = core.read_model(path)
            _close_batch(model)
            return model, core.compile_model(model, "CPU", settings)

        self._path = path
        self._place = place
        with quiet_stderr():
            model, compiled = _trying(load, f"OpenVINO cannot run `{path}`")
        self._request = compiled.create_infer_request()
        self.shapes = _trying(
            lambda: (tuple(compiled.input(0).shape), tuple(compiled.output(place).shape)),
            f"OpenVINO cannot read `{path}`",
        )
        self.input_dtype = str(np.dtype(compiled.input(0).element_type.to_dtype()))
        self.notes: Mapping[str, str] = _trying(lambda: _notes_of(model), f"OpenVINO cannot read `{path}`")
        self._tensor = openvino.Tensor

    def set_input(self, stored: Stored) -> None:
        """Copy an array into the input."""
        self._request.set_input_tensor(self._tensor(np.ascontiguousarray(stored)))

    def invoke(self) -> None:
        """Run the network once."""
        _trying(self._request.infer, f"OpenVINO failed to run `{self._path}`")

    def output(self) -> Stored:
        """Return the output of the last run, where OpenVINO keeps it."""
        stored: Stored = self._request.get_output_tensor(self._place).data
        return stored

    def partitions(self) -> tuple[int, list[str]]:
        """Return one piece: OpenVINO runs all of a file or refuses it."""
        return 1, []


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    def __init__(self, path: Path, *, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4

        def load() -> Any:
            return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

        self._path = path
        self._session = _trying(load, f"ONNX Runtime cannot run `{path}`")
        source, result = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._input = source.name
        self.shapes = (tuple(source.shape), tuple(result.shape))
        self.input_dtype = _ONNX_TYPES.get(source.type, "float32")
        self.notes: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self._given: Stored = np.zeros(0)
        self._result: Stored = np.zeros(0)

    def set_input(self, stored: Stored) -> None:
        """Keep an array for the next run."""
        self._given = np.ascontiguousarray(stored)

    def invoke(self) -> None:
        """Run the network once."""
        feed = {self._input: self._given}
        self._result = _trying(lambda: self._session.run(None, feed), f"ONNX Runtime failed to run `{self._path}`")[0]

    def output(self) -> Stored:
        """Return the output of the last run."""
        return self._result

    def partitions(self) -> tuple[int, list[str]]:
        """Return one piece: its CPU provider runs all of a file or refuses it."""
        return 1, []


_ONNX_TYPES = {"tensor(uint8)": "uint8", "tensor(int8)": "int8", "tensor(float16)": "float16"}


def _close_batch(model: Any) -> None:
    """Have OpenVINO take one image at a time where a file leaves the batch open; an open height or width stays."""
    sides = model.input(0).partial_shape
    if sides.rank.is_static and len(sides) > 1 and sides[0].is_dynamic:
        sides[0] = 1
        model.reshape(sides)


def _notes_of(model: Any) -> Mapping[str, str]:
    """Return what OpenVINO keeps of the metadata of an ONNX file."""
    if not model.has_rt_info(["framework"]):
        return {}
    kept = model.get_rt_info(["framework"]).value
    return {str(name): str(value) for name, value in kept.items()}


def _trying(action: Callable[[], Any], failed: str) -> Any:
    try:
        return action()
    except Exception as error:  # both raise their own kinds, and RuntimeError of what C++ throws
        raise ModelError(f"{failed}: {_reason(error)}", hint="use another --runtime") from error


def _reason(error: Exception) -> str:
    """Return the line of an error that says what is wrong: OpenVINO's first ones say where in its sources."""
    lines = [
        line for line in str(error).splitlines() if line.strip() and not line.startswith(("Exception from", "Check"))
    ]
    return lines[0].strip() if lines else first_line(error)
