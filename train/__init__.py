"""Shards to a trained context-aware cross-attention model."""

import sys

# What Python says while it looks for the module of ``python -m train.COMMAND``.
if sys.argv[:1] == ["-m"]:
    from train.starting import end_quietly

    end_quietly()
