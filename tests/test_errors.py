from __future__ import annotations

import pickle

import pytest

from rsseg_tf.errors import CheckFailedError, ConfigError, DataError, MissingExtraError, ModelError, RssegError


@pytest.mark.parametrize(
    "error",
    [
        *(
            kind("wrong", hint="do better")
            for kind in (RssegError, DataError, ModelError, ConfigError, CheckFailedError)
        ),
        MissingExtraError("rasterio", extra="geo"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_whole_in_another_process(error: RssegError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), there.message, there.hint) == (str(error), error.message, error.hint)
    assert there.__notes__ == error.__notes__
