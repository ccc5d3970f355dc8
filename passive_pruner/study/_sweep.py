"""Training and evaluation of the models of a sweep, one file of results each."""

import copy
import json
import os
import tempfile
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from passive_pruner import VAEEncoder
from passive_pruner.regime import LatentMoments, variance
from passive_pruner.regime._criteria import TYPES
from passive_pruner.study._config import OBJECTIVES, Model, Settings
from passive_pruner.study._correlation import correlation_by_type
from passive_pruner.study._data import load
from passive_pruner.study._subsets import evaluate_subsets, logistic_regression
from passive_pruner.vae import MLP, Conv


def run_sweep(settings: Settings, output: Path, *, n_jobs: int = 1, log=print, progress=None):
    """Train and evaluate the models that have no results in `output` yet.

    Parameters
    ----------
    settings : Settings
        What to train.
    output : Path
        Folder; results go to ``models/`` in it, where a file is either complete or absent.
    n_jobs : int, default=1
        Number of processes.
    log : callable, default=print
        Called with a line for every model.
    progress : callable, default=None
        Called with an iterator over models as they finish and with ``total=``; what it returns is
        iterated.

    Returns
    -------
    n_trained, n_failed : int
    """
    folder = output / "models"
    folder.mkdir(parents=True, exist_ok=True)
    todo = [m for m in settings.models() if not (folder / f"{m.name}.json").exists()]
    n_failed = 0
    # One thread per process: networks this small gain nothing from more.
    threads = {"inner_max_num_threads": 1} if n_jobs != 1 else {}
    with joblib.parallel_config(backend="loky", n_jobs=n_jobs, **threads):
        jobs = (joblib.delayed(_run_model)(model, settings, folder) for model in todo)
        finished = joblib.Parallel(return_as="generator_unordered")(jobs)
        if progress is not None:
            finished = progress(finished, total=len(todo))
        for name, line, failed in finished:
            log(f"{name}: {line}")
            n_failed += failed
    return len(todo) - n_failed, n_failed


def read_results(settings: Settings, output: Path):
    """Read the results of the models of a sweep that are finished.

    Returns
    -------
    models, subsets, correlations : DataFrame
        One row per model; the tables of `evaluate_subsets` and `correlation_by_type` for all
        models, with columns that name the model.
    """
    models: list[dict] = []
    tables: dict[str, list[pd.DataFrame]] = {"subsets": [], "correlations": []}
    for model in settings.models():
        path = output / "models" / f"{model.name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            models.append(result["model"])
            label = {k: result["model"][k] for k in ("dataset", "objective", "strength", "seed")}
            for name, parts in tables.items():
                parts.append(pd.DataFrame(result[name]).assign(**label))
    if not models:
        return pd.DataFrame(), pd.DataFrame(), pd.DataFrame()
    return pd.DataFrame(models), *(pd.concat(parts, ignore_index=True) for parts in tables.values())


def _run_model(model: Model, settings: Settings, folder: Path):
    """Write the results of a model to `folder`; return its name, a line, and whether it failed."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = _train_and_evaluate(model, settings)
    except (ValueError, FloatingPointError, RuntimeError) as error:
        return model.name, f"failed: {error}", True
    seconds = time.perf_counter() - start
    result["model"]["seconds"] = round(seconds, 2)
    _write_atomically(folder / f"{model.name}.json", json.dumps(result))
    counts = ", ".join(f"{result['model'][t]} {t}" for t in TYPES)
    return model.name, f"{counts}; {seconds:.0f} s", False


def _train_and_evaluate(model: Model, settings: Settings):
    data = load(model.dataset, tuple(settings.sprites.items()), settings.n_images)
    X, architecture = data.X, MLP(settings.hidden_layer_sizes)
    if X.ndim > 2 and settings.architecture == "conv":
        architecture = Conv(X.shape[1:] if X.ndim == 4 else (*X.shape[1:], 1))
    elif X.ndim > 2:
        X = X.reshape(len(X), -1).astype(np.float32) / 255
    objective = OBJECTIVES[model.objective](model.strength, model.steps, settings.discriminator)
    encoder = VAEEncoder(
        settings.n_components,
        objective=objective,
        likelihood=data.likelihood,
        architecture=architecture,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        random_state=model.seed,
    )
    start = time.perf_counter()
    states = _train(encoder, X, model.steps, settings.n_checkpoints)
    seconds = time.perf_counter() - start

    rows = np.random.default_rng(0).permutation(len(X))[: settings.n_examples]
    rows.sort()
    examples = X[rows]
    moments = LatentMoments.from_batch(*encoder.posterior(examples))
    types = variance(moments, 0.1)
    return {
        "model": {
            "dataset": model.dataset,
            "objective": model.objective,
            "strength": model.strength,
            "seed": model.seed,
            "steps": encoder.n_steps_,
            **{t: int(np.sum(types == t)) for t in TYPES},
            "kl": float(moments.kl.sum()),
            "elbo": encoder.history_[-1]["elbo"],
            "training_seconds": round(seconds, 2),
        },
        "moments": {
            "types": types.tolist(),
            "mean_covariance": moments.mean_covariance.tolist(),
            "mean_of_variance": moments.mean_of_variance.tolist(),
            "variance_of_variance": moments.variance_of_variance.tolist(),
            "kl": moments.kl.tolist(),
        },
        "subsets": _evaluate(encoder, examples, data.factors.iloc[rows], model.seed, settings),
        "correlations": correlation_by_type(states, examples).to_dict("list"),
    }


def _train(encoder, X, steps, n_checkpoints):
    """Train and return copies of the encoder by the number of gradient steps done.

    Each call of partial_fit gets the rows of up to 200 steps, which keeps the states of the
    optimiser and of the discriminator, reaches every checkpoint exactly, and costs little for
    data sets whose passes are short.
    """
    rng = np.random.default_rng(encoder.random_state)
    states, done = {}, 0
    for checkpoint in np.unique(
        np.geomspace(max(1, steps / 100), steps, n_checkpoints).astype(int)
    ):
        while done < checkpoint:
            done += (n_steps := min(200, int(checkpoint) - done))
            n_rows = n_steps * encoder.batch_size
            passes = [rng.permutation(len(X)) for _ in range(-(-n_rows // len(X)))]
            encoder.partial_fit(X[np.concatenate(passes)[:n_rows]])
        states[done] = copy.deepcopy(encoder)
    return states


def _evaluate(encoder, X, factors, seed, settings):
    """Run the paper's protocol; boosting reads codes by their order only, so without scaling."""
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    logistic = logistic_regression(Cs=3, cv=folds)
    subsets = ("full", "active", "mixed", "passive", "active+mixed", "random")
    tables = [
        evaluate_subsets(
            encoder, X, factors, estimators={"logistic_regression": logistic}, subsets=subsets,
            random_state=seed,
        )
    ]  # fmt: skip
    if settings.boosting:
        boosting = HistGradientBoostingClassifier(learning_rate=0.2, max_iter=20, max_leaf_nodes=15)
        table = evaluate_subsets(
            encoder, X, factors, estimators={"gradient_boosting": boosting},
            subsets=("full", "active+mixed", "passive"), scale=(False,), random_state=seed,
        )  # fmt: skip
        tables.append(table[table["estimator"].notna()])
    return pd.concat(tables, ignore_index=True).to_dict("list")


def _write_atomically(path: Path, text: str):
    """Write to another file first: `path` is never there in part, whenever the process ends."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".", suffix=".tmp", delete=False
    ) as file:
        file.write(text)
    os.replace(file.name, path)
