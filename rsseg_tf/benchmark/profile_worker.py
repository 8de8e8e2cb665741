"""A model and the pieces that it was cut into, timed on request: the far end of `rsseg_tf.benchmark.profile`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsseg_tf.child import serve
from rsseg_tf.tflite.interpreter import invoke, open_interpreter

PIECES = "pieces.json"
"""File next to the pieces: `pieces`, for each in the order of execution `file`, `inputs` and `outputs`, as in
`cutting.Piece`; and `others`, files that are timed as well, each alone."""


@dataclass(frozen=True)
class _Network:
    """An interpreter, and its inputs and outputs by their indices in the whole model."""

    path: Path
    native: Any
    inputs: Mapping[int, int]
    outputs: Mapping[int, int]

    @classmethod
    def of(cls, path: Path, threads: int, inputs: Sequence[int] | None = None, outputs: Sequence[int] = ()) -> _Network:
        """Return the network in a file; one without `inputs` is the whole model."""
        native = open_interpreter(path, threads=threads)
        ports = [detail["index"] for detail in native.get_input_details()]
        results = [detail["index"] for detail in native.get_output_details()]
        named = ports if inputs is None else inputs
        return cls(path, native, dict(zip(named, ports, strict=True)), dict(zip(outputs, results, strict=False)))

    def timed_run(self) -> float:
        """Return the milliseconds inside the interpreter."""
        started = time.perf_counter_ns()
        invoke(self.native, path=self.path)
        return (time.perf_counter_ns() - started) / 1e6


class _Profiler:
    """The whole model and its pieces, all fed from one random input."""

    def __init__(self, path: Path, folder: Path, *, threads: int, seed: int) -> None:
        self._whole = _Network.of(path, threads)
        self._frames = _frames(self._whole.native, np.random.default_rng(seed))
        files = json.loads((folder / PIECES).read_text(encoding="utf-8"))
        self._pieces = [_Network.of(folder / x["file"], threads, x["inputs"], x["outputs"]) for x in files["pieces"]]
        self._others = [_Network.of(folder / name, threads) for name in files["others"]]
        self._other_frames = [_frames(other.native, np.random.default_rng(seed)) for other in self._others]
        self._sources = {tensor: piece for piece in self._pieces for tensor in piece.outputs}

    def run_whole(self) -> float:
        """Return the milliseconds of the whole model."""
        for tensor, port in self._whole.inputs.items():
            self._whole.native.set_tensor(port, self._frames[tensor])
        return self._whole.timed_run()

    def run_pieces(self) -> list[float]:
        """Return the milliseconds of each piece, run one after the other on what those before it computed."""
        return [self._run_piece(piece) for piece in self._pieces]

    def run_others(self) -> list[float]:
        """Return the milliseconds of each of the other models, on what was just written into its inputs."""
        return [self._run_other(*other) for other in zip(self._others, self._other_frames, strict=True)]

    def _run_other(self, other: _Network, frames: Mapping[int, NDArray[Any]]) -> float:
        for port, values in frames.items():
            other.native.set_tensor(port, values)
        return other.timed_run()

    def _run_piece(self, piece: _Network) -> float:
        for tensor, port in piece.inputs.items():
            piece.native.set_tensor(port, self._value(tensor))
        return piece.timed_run()

    def _value(self, tensor: int) -> NDArray[Any]:
        source = self._sources.get(tensor)
        if source is None:
            return self._frames[tensor]
        value: NDArray[Any] = source.native.get_tensor(source.outputs[tensor])
        return value

    def differing(self) -> list[str]:
        """Return the names of outputs that the pieces do not compute as the whole model does; all must have run."""
        return [
            detail["name"]
            for detail in self._whole.native.get_output_details()
            if detail["index"] in self._sources
            and not np.array_equal(
                self._whole.native.get_tensor(detail["index"]), self._value(detail["index"]), equal_nan=True
            )
        ]


def _frames(native: Any, rng: np.random.Generator) -> dict[int, NDArray[Any]]:
    """Return input → random pixels; zeros where it takes anything but 8-bit or floating-point numbers."""
    frames = {}
    for detail in native.get_input_details():
        dtype = np.dtype(detail["dtype"])
        pixels = rng.integers(0, 256, detail["shape"]).astype(np.uint8)
        usable = pixels.view(dtype) if dtype.itemsize == 1 else pixels.astype(dtype)
        frames[detail["index"]] = usable if dtype.itemsize == 1 or dtype.kind == "f" else np.zeros_like(usable)
    return frames


def times(requests: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Time the model at a path and its pieces in a folder, then as many runs of all of them as each request says."""
    path, folder, threads, seed = next(requests)
    profiler = _Profiler(path, folder, threads=threads, seed=seed)
    profiler.run_whole()
    profiler.run_pieces()
    profiler.run_others()
    yield {"differing": profiler.differing()}
    for count in requests:
        profiler.run_whole()  # brings the model back into the caches that the pieces used
        whole = [profiler.run_whole() for _ in range(count)]
        profiler.run_pieces()
        pieces = [profiler.run_pieces() for _ in whole]
        yield {"whole_ms": whole, "pieces_ms": pieces, "others_ms": [profiler.run_others() for _ in whole]}


if __name__ == "__main__":
    sys.exit(serve(times))
