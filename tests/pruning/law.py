"""The law of pruning: what mask leaves computes what rebuild makes."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import tree

from rsseg_tf import pruning

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Law:
    """How far a model is from the law, relative to the scale of its outputs."""

    masked_against_rebuilt: float
    dense_against_keep_all: float
    cost_as_predicted: bool
    removed_params: float

    @property
    def holds(self) -> bool:
        errors = (self.masked_against_rebuilt, self.dense_against_keep_all)
        return max(errors) <= TOLERANCE and self.cost_as_predicted and self.removed_params > 0


def check_law(model, *, fraction=0.5, seed=0):
    """Randomise `model`, prune it at random, and compare; the model ends masked."""
    randomise(model, seed)
    x = random_inputs(model)
    groups = pruning.find_groups(model)
    dense = run(model, x)
    same = pruning.rebuild(model, pruning.random_plan(groups, 0.0, seed=seed))
    plan = pruning.random_plan(groups, fraction, seed=seed)
    slim = pruning.rebuild(model, plan)
    unchanged = run(model, x)
    pruning.mask(model, plan)
    return Law(
        masked_against_rebuilt=distance(run(model, x), run(slim, x)),
        dense_against_keep_all=max(distance(dense, run(same, x)), distance(dense, unchanged)),
        cost_as_predicted=pruning.cost(slim) == groups.cost(plan),
        removed_params=1 - plan.share("params"),
    )


def randomise(model, seed=0):
    """Give every bias, batch-norm variable and slope a random value, so that nothing hides behind 0 and 1."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        name = variable.path.rsplit("/", 1)[-1]
        if "variance" in name or "gamma" in name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) <= 1 or "alpha" in name:
            variable.assign(rng.normal(0.0, 0.3, variable.shape))


def random_inputs(model, batch=2, seed=1):
    rng = np.random.default_rng(seed)
    return tree.map_structure(lambda t: rng.normal(0, 1, (batch, *t.shape[1:])).astype(np.float32), model.input)


def run(model, x):
    return [keras.ops.convert_to_numpy(y) for y in tree.flatten(model(x, training=False))]


def distance(first, second):
    """Largest absolute difference over the largest absolute value, over all outputs."""
    return max(float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30)) for a, b in zip(first, second, strict=True))
