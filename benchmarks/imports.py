"""Time of ``import passive_pruner`` relative to ``import sklearn``.

``python -m benchmarks.imports``; lower is better.
"""

import subprocess
import sys

from benchmarks._timing import in_turn, print_table, ratio


def main():
    def importing(module):
        return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True)

    times = in_turn({name: importing(name) for name in ("sklearn", "passive_pruner")}, repeats=11)
    median, low, high = (1 / value for value in ratio(times, "passive_pruner", "sklearn"))
    print_table(
        ("import", "time relative to sklearn"),
        [("passive_pruner", f"{median:.2f} ({high:.2f} to {low:.2f})")],
    )


if __name__ == "__main__":
    main()
