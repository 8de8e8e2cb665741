"""Structured pruning of Keras graphs: groups of channels that go together, scores, plans, exact rebuilding."""

from rsseg_tf.config.pruning import Limits, Loop, Ranking, Target
from rsseg_tf.graphs import flatten, live_taps, prunable
from rsseg_tf.pruning.cost import Cost, LayerCost, cost
from rsseg_tf.pruning.groups import Family, Groups, find_groups
from rsseg_tf.pruning.latency import LatencyProfile, load_profile
from rsseg_tf.pruning.loop.recalibrate import recalibrate
from rsseg_tf.pruning.loop.run import SCHEDULES, Hooks, prune_loop
from rsseg_tf.pruning.plan import Plan
from rsseg_tf.pruning.randomize import randomize
from rsseg_tf.pruning.rebuild import mask, rebuild
from rsseg_tf.pruning.rules import flows
from rsseg_tf.pruning.rules.site import Signal, Site
from rsseg_tf.pruning.rules.table import RULES, Rule
from rsseg_tf.pruning.scoring.criteria import CRITERIA, score
from rsseg_tf.pruning.scoring.drawn_labels import drawn_labels
from rsseg_tf.pruning.scoring.oracle import RankCorrelation, Truth, oracle, rank_correlation, spread_groups
from rsseg_tf.pruning.scoring.ranking import group_scores
from rsseg_tf.pruning.scoring.scores import Scores
from rsseg_tf.pruning.select import choose, largest_cut, random_plan
from rsseg_tf.pruning.verify import Verification, verify

__all__ = [
    "CRITERIA",
    "RULES",
    "SCHEDULES",
    "Cost",
    "Family",
    "Groups",
    "Hooks",
    "LatencyProfile",
    "LayerCost",
    "Limits",
    "Loop",
    "Plan",
    "RankCorrelation",
    "Ranking",
    "Rule",
    "Scores",
    "Signal",
    "Site",
    "Target",
    "Truth",
    "Verification",
    "choose",
    "cost",
    "drawn_labels",
    "find_groups",
    "flatten",
    "flows",
    "group_scores",
    "largest_cut",
    "live_taps",
    "load_profile",
    "mask",
    "oracle",
    "prunable",
    "prune_loop",
    "random_plan",
    "randomize",
    "rank_correlation",
    "rebuild",
    "recalibrate",
    "score",
    "spread_groups",
    "verify",
]
