"""How long the results of `EinsumDense` are: Keras leaves open what `output_shape` does, though the input says it."""

from __future__ import annotations

import keras


def has_open_lengths(operation: keras.Operation) -> bool:
    """Return whether an operation is such a layer, as those within Keras' attention are.

    Examples:
        >>> has_open_lengths(keras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 4)))
        True
    """
    return isinstance(operation, keras.layers.EinsumDense) and None in operation.partial_output_shape


def known_lengths(layer: keras.layers.EinsumDense, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the shape of a layer's result, without the batch, at an input of a shape.

    Examples:
        >>> known_lengths(keras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 4)), (None, 7, 3))
        (7, 4)
    """
    own: tuple[int | None, ...] = layer.partial_output_shape
    taken, _, made = layer.equation.replace(" ", "").partition("->")
    letters = taken.partition(",")[0]
    if "." in layer.equation or len(letters) != len(shape) or len(made) != len(own) + 1:
        return own
    sizes = dict(zip(letters, shape, strict=True))
    return tuple(sizes.get(letter) if size is None else size for letter, size in zip(made[1:], own, strict=True))
