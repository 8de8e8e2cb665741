"""Which output of a network with several holds the scores of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsseg_tf.errors import ModelError

Sides = Sequence[int | None]


def scores_among(outputs: Mapping[str, Sides], image: Sides, *, wanted: str | None, model: str, option: str) -> int:
    """Return the place of the output that holds a score, or a class, for every pixel.

    The only output is it. Of several it is the one that is wanted, or else the only one as high and wide as the image:
    coarse maps are of auxiliary losses.

    Args:
        outputs: name → dimensions, but for the batch, in the order of the network; None for one that is open.
        image: height and width of the input.
        wanted: a name, or a place from 0 on; empty for no wish, None where any will do.
        model: what errors call the network.
        option: how a user names the output, such as `model.output=`.

    Raises:
        ModelError: if there is no such output, or several could be it and none is wanted.
    """
    names = list(outputs)
    if len(names) == 1:
        return 0
    known = ", ".join(f"{place}: `{name}` {_size(outputs[name])}" for place, name in enumerate(names))
    if wanted in names:
        return names.index(wanted)
    if wanted:
        if wanted.isdecimal() and int(wanted) < len(names):
            return int(wanted)
        raise ModelError(f"`{model}` has no output `{wanted}`", hint=f"it has {known}")
    full = [place for place, sides in enumerate(outputs.values()) if _is_map(sides) and sides[:2] == tuple(image[:2])]
    if len(full) == 1 or wanted is None:
        return full[0] if full else 0
    raise ModelError(
        f"`{model}` has {len(names)} outputs, and {len(full) or 'none'} of them as high and wide as its image",
        hint=f"say which holds the classes, by its name or number: {option}{full[-1] if full else 0}; it has {known}",
    )


def _is_map(sides: Sides) -> bool:
    return len(sides) in (2, 3)


def _size(sides: Sides) -> str:
    return "×".join("?" if side is None else str(side) for side in sides) or "1"
