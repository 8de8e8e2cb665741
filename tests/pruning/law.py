"""The law of pruning: what mask leaves computes what rebuild makes."""

from dataclasses import dataclass

from rsseg_tf import pruning
from rsseg_tf.pruning.randomize import random_inputs, randomize
from rsseg_tf.pruning.verify import distance, outputs

__all__ = ["check_law", "distance", "random_inputs", "randomize", "run"]

run = outputs


@dataclass(frozen=True)
class Law:
    """A verification, and what it cannot see from outside.

    Attributes:
        unchanged_error: between the model before and after verifying and rebuilding.
        in_place_error: between the model itself, masked, and the rebuilt one.
        removed_params: share of the parameters that went.
    """

    verification: pruning.Verification
    unchanged_error: float
    in_place_error: float
    removed_params: float

    @property
    def holds(self):
        return self.is_exact and self.removed_params > 0

    @property
    def is_exact(self):
        return (
            self.verification.holds and self.unchanged_error == 0 and self.in_place_error <= self.verification.tolerance
        )


def check_law(model, *, fraction=0.5, seed=0, rules=None):
    """Randomize `model`, prune it at random, and compare; the model ends masked."""
    randomize(model, seed)
    x = random_inputs(model)
    dense = run(model, x)
    plan = pruning.random_plan(pruning.find_groups(model, rules=rules), fraction, seed=seed)
    verification = pruning.verify(model, plan, x, rules=rules)
    slim = pruning.rebuild(model, plan, rules=rules)
    unchanged = run(model, x)
    pruning.mask(model, plan, rules=rules)
    return Law(
        verification=verification,
        unchanged_error=distance(dense, unchanged),
        in_place_error=distance(run(model, x), run(slim, x)),
        removed_params=1 - plan.share("params"),
    )
