"""Repeat the experiments of "Be More Active!": objectives x strengths x seeds x data sets.

Trains every model, evaluates it, and writes tables, figures and a summary that checks the claims
of the paper. A sweep that was interrupted goes on where it was: finished models are kept.
"""

import argparse
import shlex
import sys
from concurrent.futures import BrokenExecutor
from pathlib import Path

from passive_pruner._common._files import write_whole
from passive_pruner.study._config import OBJECTIVES, load_settings
from passive_pruner.study._data import DATASETS
from passive_pruner.study._summary import write_summary
from passive_pruner.study._sweep import read_results, run_sweep


def main(arguments=None):
    """Run the command; return its exit status.

    Returns
    -------
    status : int
        0, or 1 if models failed, 2 for wrong input or files that cannot be read or written, 130
        if the keyboard interrupted.
    """
    options = vars(_parser().parse_args(arguments))
    output, n_jobs, preset = (options.pop(k) for k in ("output", "n_jobs", "preset"))
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = f"python -m passive_pruner.study {shlex.join(given)}".strip()
    try:
        if n_jobs == 0:
            raise ValueError("--n-jobs must be at least 1, or -1 for all cores, got 0.")
        settings = load_settings(preset, options.pop("config"), **options)
    except (OSError, ValueError) as error:
        return _error(error)
    try:
        return _run(settings, output, n_jobs, command)
    except OSError as error:
        return _error(error)
    except BrokenExecutor as error:
        return _error(
            f"a process ended before its model was finished, out of memory perhaps ({error}). "
            "Finished models are kept: the same command goes on, --n-jobs 1 needs least memory."
        )
    except KeyboardInterrupt:
        print("Stopped. Finished models are kept: the same command goes on.", file=sys.stderr)
        return 130


def _run(settings, output, n_jobs, command):
    n_trained, n_failed = run_sweep(settings, output, n_jobs=n_jobs, **_progress())
    models, subsets, correlations = read_results(settings, output)
    print(f"{n_trained} models trained, {len(models) - n_trained} kept, {n_failed} failed")
    if models.empty:
        return 1
    tables = {"models": models, "subsets": subsets, "correlations": correlations}
    for name, table in tables.items():
        write_whole(output / f"{name}.csv", table.to_csv(index=False))
    figures = []
    try:
        from passive_pruner.study._figures import save_figures

        figures = save_figures(output, models, subsets, correlations)
    except ImportError as error:
        print(f"no figures: {error}", file=sys.stderr)
    write_summary(output / "summary.md", settings, command, models, subsets, correlations, figures)
    print(f"Summary, tables and figures are in {output.resolve()}; read summary.md first.")
    return 1 if n_failed else 0


def _error(error):
    print(f"error: {error}", file=sys.stderr)
    return 2


def _parser():
    parser = argparse.ArgumentParser("python -m passive_pruner.study", description=__doc__)
    preset = parser.add_mutually_exclusive_group()
    preset.add_argument(
        "--quick", dest="preset", action="store_const", const="quick",
        help="two small data sets and 20 models, a few minutes",
    )  # fmt: skip
    preset.add_argument(
        "--paper", dest="preset", action="store_const", const="paper",
        help="settings of the paper: 64 x 64 sprites, convolutions, 300,000 steps (use a GPU)",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, help="TOML file with values of any setting")
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help=", ".join(DATASETS))
    parser.add_argument(
        "--objectives", nargs="+", metavar="NAME",
        help=f"{', '.join(OBJECTIVES)}; by default all but dip_vae_i, as in the paper",
    )  # fmt: skip
    parser.add_argument(
        "--strengths", dest="n_strengths", type=int, help="strengths per objective, 1 to 6"
    )
    parser.add_argument(
        "--seeds", dest="n_seeds", type=int, help="seeds per combination, at least 1"
    )
    parser.add_argument("--steps", type=int, help="gradient steps on sprites")
    parser.add_argument("--small-steps", type=int, help="gradient steps on the other data sets")
    parser.add_argument("--architecture", choices=("mlp", "conv"), help="networks for images")
    parser.add_argument(
        "--n-jobs", type=int, default=1, help="processes (default: 1); -1 for all cores"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("study"), help="folder of the results (default: study)"
    )
    return parser


def _progress():
    """Show a bar with the time left below the lines of models, if tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return {}
    return {"log": tqdm.write, "progress": lambda models, total: tqdm(models, total=total)}


if __name__ == "__main__":
    sys.exit(main())
