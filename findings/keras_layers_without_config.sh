#!/usr/bin/env bash
# A model with `keras.layers.Identity` or `ELU` that was given its data type as a policy object cannot be saved.
#
# These two alone of Keras' layers have no get_config of their own. The one that Keras makes up for them keeps the arguments of
# __init__, and a `keras.DTypePolicy`, which every layer takes, is not one that it can write. KerasHub's HGNetV2 makes its
# Identity layers so.
#
# Seen with keras 3.15.1 on 2026-11-29, Python 3.11, x86-64:
#   Identity: NotImplementedError, ELU: NotImplementedError, ReLU: saved
#   Identity, dtype="float32": saved
# Fails if that changes.
set -euo pipefail
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
"${PYTHON:-python3}" -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet --disable-pip-version-check "keras==3.15.1" "jax[cpu]" 2>/dev/null
cat > "$here/without_config.py" <<'PY'
import os
import tempfile

os.environ["KERAS_BACKEND"] = "jax"
import keras


def outcome(kind, dtype):
    model = keras.Sequential([keras.Input((4,)), kind(dtype=dtype)])
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save(os.path.join(folder, "model.keras"))
        except NotImplementedError:
            return "NotImplementedError"
    return "saved"


policy = keras.DTypePolicy("float32")
found = {kind.__name__: outcome(kind, policy) for kind in (keras.layers.Identity, keras.layers.ELU, keras.layers.ReLU)}
print(found, outcome(keras.layers.Identity, "float32"))
assert found == {"Identity": "NotImplementedError", "ELU": "NotImplementedError", "ReLU": "saved"}
assert outcome(keras.layers.Identity, "float32") == "saved"
PY
"$here/venv/bin/python" "$here/without_config.py"
