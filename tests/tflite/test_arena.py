from __future__ import annotations

import itertools

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st

from rsseg_tf.tflite.arena import LITERT, MICRO, Planner, arena_bytes, plan_arena
from rsseg_tf.tflite.flatbuffer import Op, Tensor, TFLiteModel, parse_model
from tests.tflite.networks import scratchless_model


def activation(index: int, nbytes: int) -> Tensor:
    return Tensor(index, f"t{index}", (nbytes,), "int8", np.zeros(0, np.float32), np.zeros(0, np.int64), 0, None)


@st.composite
def graphs(draw: st.DrawFn) -> TFLiteModel:
    """Every operator reads one or two earlier tensors and makes one."""
    tensors = [activation(0, draw(st.integers(1, 2000)))]
    ops = []
    for index in range(draw(st.integers(1, 12))):
        inputs = draw(st.lists(st.sampled_from(tensors), min_size=1, max_size=2))
        tensors.append(activation(index + 1, draw(st.integers(1, 2000))))
        ops.append(Op(index, "ADD", tuple(inputs), (tensors[-1],), {}))
    return TFLiteModel(tuple(tensors), tuple(ops), (tensors[0],), (tensors[-1],))


PLANNERS = pytest.mark.parametrize("planner", [LITERT, MICRO], ids=["litert", "micro"])


@PLANNERS
@given(graphs())
def test_tensors_that_live_together_do_not_overlap(planner: Planner, model: TFLiteModel) -> None:
    for one, other in itertools.combinations(plan_arena(model, planner), 2):
        if one.first_op <= other.last_op and other.first_op <= one.last_op:
            assert one.end <= other.offset or other.end <= one.offset


@PLANNERS
@given(graphs())
def test_the_arena_lies_between_what_lives_at_once_and_everything(planner: Planner, model: TFLiteModel) -> None:
    plan = plan_arena(model, planner)
    alive = [sum(p.nbytes for p in plan if p.first_op <= op <= p.last_op) for op in range(len(model.ops) + 1)]
    assert max(alive) <= arena_bytes(model, planner) <= sum(p.nbytes for p in plan)


@PLANNERS
@given(graphs())
def test_every_activation_has_one_place(planner: Planner, model: TFLiteModel) -> None:
    used = {tensor.index for op in model.ops for tensor in op.activations}
    assert sorted(placement.tensor for placement in plan_arena(model, planner)) == sorted(used)


@pytest.mark.parametrize("kind", ["int8", "float32"])
def test_the_arena_is_as_large_as_the_interpreter_s_own(kind: str) -> None:
    """Without a delegate the addresses of its tensors are open to see."""
    content = scratchless_model(kind)
    native = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    native.allocate_tensors()
    model = parse_model(content, name=kind)
    spans = [_span(native.tensor(placement.tensor)()) for placement in plan_arena(model)]
    assert max(end for _, end in spans) - min(start for start, _ in spans) == arena_bytes(model)


def _span(values: np.ndarray) -> tuple[int, int]:
    """The first address of an array and the one after its last."""
    start = values.__array_interface__["data"][0]
    return start, start + values.nbytes
