"""Local web page to inspect a fitted encoder and try thresholds.

``python -m passive_pruner.explore --help`` lists the options of the command.
"""

from passive_pruner.explore._explorer import Explorer, explore

__all__ = ["Explorer", "explore"]
