"""Training speed of VAEEncoder against loops and libraries that train the same network.

``python -m benchmarks.fit`` prints, per network and batch size, how many times as many samples
per second are trained as by a hand-written loop with fused Adam: one process, one thread, in
turn, medians of five rounds with the lowest and highest. ``--peers`` compares with skorch in its
defaults, pythae and PyOD instead, on one pass over the data, and ``--objectives`` the objectives
with each other.
"""

import argparse
import contextlib
import io
import logging
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import _peers
from benchmarks._timing import cell, in_turn, print_table
from passive_pruner import VAEEncoder
from passive_pruner.vae import DIPVAE, MLP, AnnealedVAE, BetaTCVAE, BetaVAE, FactorVAE

N_ROWS = 50_000
NETWORKS = {"large 64-256-256-2x16": (64, (256, 256), 16), "small 16-32-2x4": (16, (32,), 4)}
STEPS = {256: 800, 64: 2000}


def ours(X, n_components, hidden, batch_size, n_steps, **params):
    params = {"architecture": MLP(hidden), "early_stopping": False, **params}
    return VAEEncoder(
        n_components,
        batch_size=batch_size,
        max_steps=n_steps,
        device="cpu",
        random_state=0,
        **params,
    ).fit(X)


def data(n_features):
    """Rows near a curved surface of four dimensions."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((N_ROWS, 4)) @ rng.standard_normal((4, n_features))
    return (np.tanh(factors) + 0.1 * rng.standard_normal(factors.shape)).astype(np.float32)


def silent(function, *args):
    """Run a peer that reports its progress, without the report."""
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        function(*args)
    logging.disable(logging.NOTSET)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action="store_true", help="compare with libraries instead")
    parser.add_argument("--objectives", action="store_true", help="compare objectives instead")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peers:
        with TemporaryDirectory() as folder:
            compare_with_libraries(folder)
    elif options.objectives:
        compare_objectives()
    else:
        compare_with_loop()


def compare_with_loop():
    rows = []
    for name, (n_features, hidden, n_components) in NETWORKS.items():
        X = data(n_features)
        for batch_size, n_steps in STEPS.items():
            work = (X, n_components, hidden, batch_size)
            candidates = {
                "by hand": partial(_peers.train_by_hand, *work, n_steps),
                "built-in MLP": partial(ours, *work, n_steps),
                "own modules": partial(ours, *work, n_steps, architecture=own_modules(hidden)),
                "defaults": partial(
                    ours, *work, n_steps, early_stopping=True, n_iter_no_change=1000
                ),
            }
            times = in_turn(candidates)
            rows.append(
                (
                    name,
                    batch_size,
                    *(cell(times, c, "by hand") for c in ("built-in MLP", "own modules")),
                    cell(times, "defaults", "built-in MLP"),
                )
            )
    print_table(
        ("network", "batch", "built-in MLP / by hand", "own modules / by hand",
         "with early stopping / without"),
        rows,
    )  # fmt: skip


def compare_objectives():
    objectives = {
        "BetaVAE": BetaVAE(),
        "AnnealedVAE": AnnealedVAE(),
        "DIPVAE": DIPVAE(),
        "BetaTCVAE": BetaTCVAE(),
        "FactorVAE, 2 x 64": FactorVAE(discriminator_layer_sizes=(64, 64)),
    }
    rows = []
    for name, (n_features, hidden, n_components) in NETWORKS.items():
        work = (data(n_features), n_components, hidden, 256, 300)
        candidates = {
            kind: partial(ours, *work, objective=objective)
            for kind, objective in objectives.items()
        }
        times = in_turn(candidates, repeats=3)
        rows.append((name, *(cell(times, kind, "BetaVAE") for kind in list(objectives)[1:])))
    print_table(("speed relative to BetaVAE", *list(objectives)[1:]), rows)


def compare_with_libraries(folder):
    rows = []
    for name, (n_features, hidden, n_components) in NETWORKS.items():
        work = (data(n_features), n_components, hidden, 256)
        one_pass = -(-N_ROWS // 256)
        candidates = {
            "ours": partial(ours, *work, one_pass),
            "skorch": partial(_peers.train_with_skorch, *work, 1),
            "pythae": partial(silent, _peers.train_with_pythae, *work, 1, folder),
            "PyOD": partial(silent, _peers.train_with_pyod, *work, 1),
        }
        times = in_turn(candidates)
        rows.append((name, 256, *(cell(times, "ours", c) for c in ("skorch", "pythae", "PyOD"))))
    print_table(("network", "batch", "against skorch", "against pythae", "against PyOD"), rows)


def own_modules(hidden):
    from passive_pruner.vae import FromFactory

    return FromFactory(partial(_own_halves, hidden))


def _own_halves(hidden, n_inputs, n_components, n_outputs):
    return tuple(map(_peers.Half, _peers.halves(n_inputs, n_components, hidden)))


if __name__ == "__main__":
    main()
