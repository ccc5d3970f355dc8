"""A local page on which to look at a fitted encoder and to try thresholds.

``python -m passive_pruner.explore --help`` shows what the command takes.
"""

from passive_pruner.explore._explorer import Explorer, explore

__all__ = ["Explorer", "explore"]
