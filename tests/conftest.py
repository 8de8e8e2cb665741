from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# A law's examples may take as long as they take: nothing here depends on the machine's speed.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
