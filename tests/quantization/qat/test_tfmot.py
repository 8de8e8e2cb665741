"""TFMOT's import leaves the rest of the process, and its children, with Keras 3."""

import os
import subprocess
import sys

import pytest

from rsseg_tf.quantization.qat.tfmot import QUANTIZE_CONFIGS, tfmot

CODE = """
import os
import warnings
warnings.simplefilter("error", DeprecationWarning)
from rsseg_tf.quantization.qat.tfmot import QUANTIZE_CONFIGS, tfmot

with tfmot() as library:
    assert library.quantization.keras.quantize_annotate_layer
with tfmot("sparsity.keras") as sparsity:
    assert sparsity.ConstantSparsity
import tensorflow as tf

print(os.environ.get("TF_USE_LEGACY_KERAS"), tf.keras.layers.Dense.__module__.partition(".")[0])
"""


@pytest.mark.parametrize(
    ("switch", "left"), [(None, "None keras"), pytest.param("0", "0 keras", marks=pytest.mark.slow)]
)
def test_the_import_changes_nothing_outside(switch, left):
    environment = {**os.environ, **({"TF_USE_LEGACY_KERAS": switch} if switch else {})}

    result = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, env=environment)

    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.splitlines()[-1] == left


def test_the_module_without_a_public_name_is_still_there():
    with tfmot(QUANTIZE_CONFIGS) as module:
        assert hasattr(module, "Default8BitOutputQuantizeConfig")
        assert hasattr(module, "NoOpQuantizeConfig")
