"""Training and evaluation of the models of a sweep, one file of results each."""

import copy
import json
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
from passive_pruner._common._files import write_whole
from passive_pruner.regime import variance
from passive_pruner.regime._criteria import TYPES
from passive_pruner.study import _correlation, _subsets
from passive_pruner.study._config import OBJECTIVES, Model, Settings
from passive_pruner.study._correlation import correlation_by_type
from passive_pruner.study._data import load
from passive_pruner.study._subsets import evaluate_subsets, logistic_regression
from passive_pruner.study._summary import MODEL
from passive_pruner.vae import MLP, Conv

# Name of a table in a file of results -> columns that it must have.
_TABLES = {"subsets": _subsets.COLUMNS, "correlations": _correlation.COLUMNS}
# What ends one model and not the sweep: data that is missing, a training that diverges, memory or
# disk that is full.
_FAILURES = (ArithmeticError, ImportError, MemoryError, OSError, RuntimeError, ValueError)


def run_sweep(settings: Settings, output: Path, *, n_jobs: int = 1, log=print, progress=None):
    """Train and evaluate the models that have no results in `output` yet.

    Parameters
    ----------
    settings : Settings
        What to train.
    output : Path
        Folder; results go to ``models/`` in it, where a file is either complete or absent. One
        that holds anything else is named and replaced.
    n_jobs : int, default=1
        Number of processes; a negative one counts down from all cores, as in joblib.
    log : callable, default=print
        Called with a line for every model.
    progress : callable, default=None
        Called with an iterator over models as they finish and with ``total=``; what it returns is
        iterated.

    Returns
    -------
    n_trained, n_failed : int

    Raises
    ------
    OSError
        If `output` is no folder that can be written to.
    """
    folder = output / "models"
    folder.mkdir(parents=True, exist_ok=True)
    # Before hours of training whose results could not be kept.
    with tempfile.TemporaryFile(dir=folder):
        pass
    todo = []
    for model in settings.models():
        try:
            finished = _read(folder, model)
        except ValueError as error:
            log(f"{error} The model is trained again.")
            finished = None
        if finished is None:
            todo.append(model)
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
        models, with columns that name the model. Files that are no results are left out;
        :func:`run_sweep` has named them.
    """
    models: list[dict] = []
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in _TABLES}
    for model in settings.models():
        try:
            result = _read(output / "models", model)
        except ValueError:
            continue
        if result is not None:
            models.append(result["model"])
            label = {k: result["model"][k] for k in MODEL}
            for name, parts in tables.items():
                parts.append(result[name].assign(**label))
    if not models:
        return pd.DataFrame(), pd.DataFrame(), pd.DataFrame()
    return pd.DataFrame(models), *(pd.concat(parts, ignore_index=True) for parts in tables.values())


def _read(folder: Path, model: Model):
    """Read the results of a model, with tables as DataFrames; None if there are none.

    Raises
    ------
    ValueError
        Naming the file, if it holds anything but the results of this model.
    """
    path = folder / f"{model.name}.json"
    if not path.exists():
        return None
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        label = {key: result["model"][key] for key in (*MODEL, *TYPES)}
        if wrong := [key for key in MODEL if label[key] != getattr(model, key)]:
            raise ValueError(f"its {wrong[0]} is {label[wrong[0]]!r}")
        tables = {name: pd.DataFrame(result[name])[columns] for name, columns in _TABLES.items()}
    except (KeyError, OSError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold the results of its model ({type(error).__name__}: {error})."
        ) from error
    return {**result, **tables}


def _run_model(model: Model, settings: Settings, folder: Path):
    """Write the results of a model to `folder`; return its name, a line, and whether it failed."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = _train_and_evaluate(model, settings)
        seconds = time.perf_counter() - start
        result["model"]["seconds"] = round(seconds, 2)
        write_whole(folder / f"{model.name}.json", json.dumps(result))
    except _FAILURES as error:
        return model.name, f"failed: {str(error) or type(error).__name__}", True
    counts = ", ".join(f"{result['model'][t]} {t}" for t in TYPES)
    return model.name, f"{counts}; {seconds:.0f} s", False


def _train_and_evaluate(model: Model, settings: Settings):
    data = load(model.dataset, settings.sprites, settings.n_images)
    X, architecture = data.X, MLP(settings.hidden_layer_sizes, activation="relu")
    if X.ndim > 2 and settings.architecture == "conv":
        shape = X.shape[1:] if X.ndim == 4 else (*X.shape[1:], 1)
        architecture = Conv(shape, channels=(32, 32, 64, 64), hidden_size=256)
    elif X.ndim > 2:
        X = X.reshape(len(X), -1).astype(np.float32) / 255
    objective = OBJECTIVES[model.objective](model.strength, model.steps, settings.discriminator)
    # The model of the paper, which stays what it is when defaults of the package change.
    encoder = VAEEncoder(
        settings.n_components,
        objective=objective,
        likelihood=data.likelihood,
        architecture=architecture,
        init="random",
        output="mean",
        max_steps=model.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        kl_warmup_steps=0,
        early_stopping=False,
        random_state=model.seed,
    )
    start = time.perf_counter()
    states = _train(encoder, X, model.steps, settings.n_checkpoints)
    seconds = time.perf_counter() - start

    rows = np.random.default_rng(0).permutation(len(X))[: settings.n_examples]
    rows.sort()
    examples = X[rows]
    moments = encoder.moments(examples)
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
    subsets = ("full", *TYPES, "active+mixed", "random")
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
