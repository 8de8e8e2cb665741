"""Flows of layers that move channels, split them or multiply tensors with each other: attention, channel shuffle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from rsseg_tf.pruning.rules.flows import activated, frozen, frozen_parts
from rsseg_tf.pruning.rules.site import Ids, Signal, Site

_BATCH = "B"


def transposed_axes(site: Site) -> Signal:
    """Follow channels to where their axes go; the batch stays first."""
    x, layer = site.inputs[0], site.layer
    given = (0, *layer.dims) if isinstance(layer, keras.layers.Permute) else layer.axes
    rank = len(x.shape) + 1
    order = [axis % rank for axis in given] if given is not None else [*range(rank)][::-1]
    if order[0] != 0:
        return frozen(site, "moves the images of a batch")
    places = [order.index(place + 1) - 1 for place in x.places]
    by_place = np.argsort(places)
    axes = tuple(sorted(places))
    ids, dead = x.ids.transpose(by_place), x.dead.transpose(by_place)
    return site.output(ids, dead, axes=axes)


def split(site: Site) -> tuple[Signal, ...]:
    """Hand out the parts of the channels, which stay equal, or all channels to each part of the positions."""
    x, layer = site.inputs[0], site.layer
    cuts = layer.indices_or_sections
    number = cuts if isinstance(cuts, int) else len(cuts) + 1
    if layer.axis % (len(x.shape) + 1) != len(x.shape):
        return tuple(site.output(x.ids, x.dead, part=part) for part in range(number))
    if not isinstance(cuts, int):
        return frozen_parts(site, "splits the channels into parts of given sizes")
    parts, dead = x.ids.reshape(number, -1), x.dead.reshape(number, -1)
    for part in parts[1:]:
        site.join(parts[0], part)
    return tuple(site.output(parts[part], dead[part], part=part) for part in range(number))


def einsum_dense(site: Site) -> Signal:
    """Create channels from a sum over all, where the equation is that of a dense layer on the last axes."""
    x = site.inputs[0]
    summed, made = _dense_axes(site.layer.equation)
    if not summed or x.places != tuple(range(len(x.shape)))[-summed:] or not 1 <= made <= 2:
        return frozen(site, f"sums by `{site.layer.equation}`, which is not that of a dense layer")
    site.contract(Signal(x.shape, x.ids.reshape(-1), x.dead.reshape(-1)), can_fold=site.has_bias)
    sizes = tuple(size or 0 for size in site.output_shape[-made:])
    site.output_shape = (*x.shape[:-summed], *sizes)  # Keras leaves the other axes open
    ids = site.created(math.prod(sizes))
    if made == 1:
        site.resize("output_shape", ids)
        return activated(site, ids)
    grid = site.spread(ids.reshape(sizes))
    site.resize("output_shape", grid)
    out = activated(site, ids)
    rank = len(site.output_shape)
    return site.output(grid, out.dead.reshape(grid.shape), axes=(rank - 2, rank - 1))


def matmul(site: Site) -> Signal:
    """Multiply matrices of two tensors: what is summed over goes together, and so do heads."""
    ranks = {len(signal.shape) for signal in site.inputs}
    if len(site.inputs) != 2 or len(ranks) > 1:
        return frozen(site, "multiplies tensors of different numbers of axes")
    leading = "abcdefgh"[: ranks.pop() - 2]
    return _multiplied(site, f"{_BATCH}{leading}ij", f"{_BATCH}{leading}jk", f"{_BATCH}{leading}ik")


def einsum(site: Site) -> Signal:
    """Multiply two tensors as `matmul`, by an equation."""
    before, _, after = site.layer.subscripts.replace(" ", "").partition("->")
    parts = before.split(",")
    plain = len(parts) == len(site.inputs) == 2 and after and "." not in before
    batch = after[:1]
    if not plain or any(part[0] != batch or len(set(part)) < len(part) for part in (*parts, after)):
        return frozen(site, f"multiplies by `{site.layer.subscripts}`, which has no rule")
    return _multiplied(site, parts[0], parts[1], after)


def dot_product_attention(site: Site) -> Signal:
    """Compare queries with keys and mix values, each (positions, heads, width): heads go, and the width of all three.

    Keras takes the output for as wide as the queries.
    """
    signals = site.inputs
    grids = len(signals) == 3 and all(x.axes == (1, 2) for x in signals) and len({x.ids.shape for x in signals}) == 1
    if not grids:
        return frozen(site, "attends with masks, or with keys in other heads than its queries")
    query, key, value = signals
    site.join(query.ids, key.ids)
    site.join(query.ids, value.ids)
    heads = [site.heads(each.ids) for each in signals] if len(query.ids) > 1 else []
    if not any(isinstance(argument, float) for argument in site.arguments):
        site.freeze(heads[0].columns if heads else query.ids, "scales by the width of its heads")
    _need_zero(site, query, key)
    site.output_shape = query.shape
    return site.output(value.ids, np.where(value.dead == 0, 0.0, np.nan), axes=value.axes)


def _dense_axes(equation: str) -> tuple[int, int]:
    """Return how many last axes a dense equation sums over and how many it makes; (0, 0) for another equation."""
    before, _, after = equation.replace(" ", "").replace("...", _BATCH).partition("->")
    x, _, kernel = before.partition(",")
    made = len([letter for letter in after if letter not in x])
    summed = len(kernel) - made
    is_dense = x[-summed:] == kernel[:summed] and after == x[:-summed] + kernel[summed:]
    return (summed, made) if is_dense and len(set(x + kernel)) == len(x) + made else (0, 0)


def _multiplied(site: Site, first: str, second: str, out: str) -> Signal:
    """Return the product of two tensors whose axes, that of the batch included, have the given letters."""
    own = [_by_letter(signal, letters) for signal, letters in zip(site.inputs, (first, second), strict=True)]
    reason = _obstacle(own, first, second, out)
    if reason:
        return frozen(site, reason)
    a, b = site.inputs
    sizes = {
        letter: size
        for x, letters in ((a, first), (b, second))
        for letter, size in zip(letters[1:], x.shape, strict=True)
    }
    site.output_shape = tuple(sizes[letter] for letter in out[1:])
    summed = [letter for letter in own[0] if letter not in out]
    heads = [letter for letter in own[0] if letter in own[1] and letter in out]
    if summed and a.ids.ndim == b.ids.ndim:
        site.join(_ordered(a, own[0], own[1]), b.ids)
        _need_zero(site, a, b)
    if heads and summed:
        _rows(site, b)
    elif heads:
        if a.ids.ndim == b.ids.ndim > 1:
            site.freeze(_columns(site, b), "multiplies channels with each other")
        if len(a.ids) > 1:
            site.join(_rows(site, a), _rows(site, b))
    return _product(site, own, out, summed, heads)


def _product(site: Site, own: Sequence[Mapping[str, int]], out: str, summed: list[str], heads: list[str]) -> Signal:
    a, b = site.inputs
    wider = a if a.ids.ndim >= b.ids.ndim else b
    if summed:
        if not heads:
            return site.output(_one_that_stays(site).reshape(()), np.nan, axes=())
        ids = _rows(site, a) if len(a.ids) > 1 else _one_that_stays(site)
        return site.output(ids, np.nan, axes=(out.index(heads[0]) - 1,))
    dead = np.where(wider.dead == 0, 0.0, np.nan)
    letters = own[0] if wider is a else own[1]
    axes = tuple(out.index(letter) - 1 for letter in letters)
    return site.output(wider.ids, dead, axes=axes)


def _one_that_stays(site: Site) -> Ids:
    """Return the id of a tensor that holds no channels, or one: the products of channels of a single head."""
    ids = site.new_ids(1)
    site.freeze(ids, "multiplies channels with each other")
    return ids


def _obstacle(own: Sequence[Mapping[str, int]], first: str, second: str, out: str) -> str:
    """Return why a product of two tensors has no rule; empty where it has."""
    for mine, other, letters in ((own[0], own[1], second), (own[1], own[0], first)):
        for letter in mine:
            if letter not in other and letter in letters:
                return "multiplies channels with positions"
            if letter not in out and letter not in other:
                return "sums over channels of one tensor"
    heads = [letter for letter in own[0] if letter in own[1] and letter in out]
    if len(heads) > 1 or any(next(iter(mine)) != heads[0] for mine in own if heads):
        return "multiplies channels one by one"
    if all(own) and not heads and not any(letter not in out for letter in own[0]):
        return "multiplies tensors of channels"
    order = [out.index(letter) for mine in own for letter in mine if letter in out and letter not in heads]
    if any(place < out.index(heads[0]) for place in order if heads):
        return "multiplies channels in another order"
    return ""


def _by_letter(signal: Signal, letters: str) -> dict[str, int]:
    """Return the letters of the axes that hold channels → the axis of the ids."""
    return {letters[place + 1]: axis for axis, place in enumerate(signal.places)}


def _ordered(signal: Signal, own: Mapping[str, int], other: Mapping[str, int]) -> Ids:
    """Return the ids of a tensor with their axes in the order of another's."""
    return signal.ids.transpose([own[letter] for letter in other])


def _rows(site: Site, signal: Signal) -> Ids:
    """Return the ids of the heads of a tensor, (heads,)."""
    if signal.ids.ndim > 1 and len(signal.ids) > 1:
        return site.heads(signal.ids).rows
    return signal.ids.reshape(len(signal.ids), -1)[:, 0]


def _columns(site: Site, signal: Signal) -> Ids:
    """Return the ids of what stands at the same place in all heads of a tensor, (width,)."""
    return site.heads(signal.ids).columns if len(signal.ids) > 1 else signal.ids[0]


def _need_zero(site: Site, first: Signal, second: Signal) -> None:
    """Keep channels that would go on adding to a sum of products once they are removed."""
    for signal in (first, second):
        site.freeze(signal.ids[signal.dead != 0], "would keep multiplying a constant")
