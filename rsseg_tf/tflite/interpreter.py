"""The native TFLite interpreter."""

from __future__ import annotations

import ctypes
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rsseg_tf.errors import ModelError
from rsseg_tf.quiet import quiet_stderr
from rsseg_tf.tflite.runtime import load_runtime

_DELEGATE = "DELEGATE"
_MESSAGE_LENGTH = 200


def open_interpreter(path: Path, *, threads: int, delegate: Path | None = None) -> Any:
    """Return an interpreter with its memory allocated, XNNPACK on.

    Raises:
        ModelError: if the library refuses the file or the delegate.
    """
    runtime = load_runtime()
    delegates = [_load_delegate(runtime, delegate)] if delegate else None
    try:
        with quiet_stderr():  # what it says of failures is in its exceptions
            native = runtime.Interpreter(model_path=str(path), num_threads=threads, experimental_delegates=delegates)
            native.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"the interpreter refuses `{path}`: {_one_line(error)}") from error
    return native


def invoke(native: Any, *, path: Path) -> None:
    """Run the network on the input that was set.

    Raises:
        ModelError: if a kernel or a delegate fails.
    """
    try:
        native.invoke()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"`{path}` failed to run: {_one_line(error)}") from error


def delegate_partitions(native: Any) -> tuple[int, list[str]]:
    """Return how many pieces of the graph delegates run, and the operators that are left outside them.

    An interpreter lists a node for every delegate partition after the operators of the file, which
    stay in the list. What a partition replaces are the operators between its inputs and its outputs.
    """
    nodes = native._get_ops_details()
    ops = [node for node in nodes if node["op_name"] != _DELEGATE]
    partitions = [node for node in nodes if node["op_name"] == _DELEGATE]
    producers = {int(tensor): op for op in ops for tensor in op["outputs"]}
    delegated = {index for partition in partitions for index in _replaced(partition, producers)}
    return len(partitions), [op["op_name"] for op in ops if op["index"] not in delegated]


def _replaced(partition: Mapping[str, Any], producers: Mapping[int, Mapping[str, Any]]) -> set[int]:
    border = {int(tensor) for tensor in partition["inputs"]}
    pending = [int(tensor) for tensor in partition["outputs"]]
    found: set[int] = set()
    while pending:
        op = producers.get(pending.pop())
        if op is not None and op["index"] not in found:
            found.add(op["index"])
            pending.extend(int(tensor) for tensor in op["inputs"] if int(tensor) not in border)
    return found


def _load_delegate(runtime: ModuleType, path: Path) -> Any:
    try:
        ctypes.CDLL(str(path))  # a library that is not there fails here, without the runtime's own traceback
        return runtime.load_delegate(str(path))
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"cannot load the delegate `{path}`: {_one_line(error)}", hint="give the path of its shared library"
        ) from error


def _one_line(error: Exception) -> str:
    return textwrap.shorten(str(error), _MESSAGE_LENGTH, placeholder=" …")
