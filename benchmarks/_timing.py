"""Ratios of running times: candidates in turn, in one process, medians and spread."""

import platform
import statistics
import time
from importlib.metadata import PackageNotFoundError, version

PEERS = ("numpy", "scikit-learn", "torch", "skorch", "pythae", "pyod")


def versions():
    """One line that says what ran."""
    found = []
    for name in PEERS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"Python {platform.python_version()}, " + ", ".join(found)


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turn(candidates, repeats=5):
    """Seconds of every candidate: one untimed round, then `repeats` rounds of A, B, C, ..."""
    for function in candidates.values():
        function()
    times = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, function in candidates.items():
            times[name].append(seconds(function))
    return times


def ratio(times, name, reference):
    """How many times faster `name` is than `reference`: (median, lowest, highest) over rounds."""
    rounds = [r / t for t, r in zip(times[name], times[reference], strict=True)]
    return (
        statistics.median(times[reference]) / statistics.median(times[name]),
        min(rounds),
        max(rounds),
    )


def cell(times, name, reference):
    median, low, high = ratio(times, name, reference)
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def print_table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
    print(f"\n{versions()}")
