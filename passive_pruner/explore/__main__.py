"""Open a local page on a fitted encoder: types, correlations, traversals, and a threshold slider.

The page is served to this machine only, and loads nothing from the network.
"""

import argparse
import sys
import warnings
import webbrowser
import zipfile
from pathlib import Path

from passive_pruner._common._files import write_whole
from passive_pruner.explore._explorer import HOST, Explorer
from passive_pruner.explore._page import make_page
from passive_pruner.explore._values import compute_values

# An archive may unpack to so many bytes, or to so many times its own size, if that is more.
_MOST_UNPACKED, _MOST_RATIO = 2**28, 20


def main(arguments=None):
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        estimator = load_model(options.model)
        X, y = load_data(options.data, estimator, options.target)
        print(f"Computing {len(X)} rows ...", flush=True)
        with warnings.catch_warnings():
            # A model that was fitted on an array: the names of the table serve as labels.
            warnings.filterwarnings("ignore", "X has feature names", UserWarning)
            values = compute_values(
                estimator,
                X,
                y,
                thresholds=options.thresholds,
                cv=options.cv,
                scoring=options.scoring,
                image_shape=options.image_shape,
            )
        page = make_page(values)
        if options.save is not None:
            write_whole(options.save, page)
            print(f"Wrote {options.save}")
            return 0
        explorer = Explorer(page, port=options.port)
    except (ImportError, OSError, OverflowError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(f"{explorer}, bound to {HOST}: this machine only. Ctrl-C stops it.", flush=True)
    if options.browser:
        webbrowser.open(explorer.url)
    with explorer:
        try:
            explorer.wait()
        except KeyboardInterrupt:
            print()
    return 0


def load_model(path):
    """Load a skops file that holds types of scikit-learn and of this package only.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    estimator : object

    Raises
    ------
    ValueError
        If it is no skops file, such as a pickle, holds other types, is small and unpacks to
        gigabytes, or holds an encoder that would run a model file.
    ImportError
        If skops is not installed.
    """
    try:
        from skops.io import get_untrusted_types, load
    except ImportError as error:
        raise ImportError(
            "Models are read by skops. Install it with pip install 'passive_pruner[explore]'."
        ) from error
    from passive_pruner._trusted import refuse_model_files, trusted_types

    if not zipfile.is_zipfile(path):
        Path(path).open("rb").close()  # a missing file has its own error
        raise ValueError(
            f"{path} is not a skops file. Pickle and joblib files are refused, because loading one "
            "runs whatever code is in it. Save the model with skops.io.dump(model, 'model.skops'), "
            "or load it yourself and call passive_pruner.explore.explore(model, X, y)."
        )
    _check_size(path)
    trusted = trusted_types()
    try:
        unknown = sorted(set(get_untrusted_types(file=path)) - set(trusted))
        if not unknown:
            model = load(path, trusted=trusted)
    except Exception as error:
        # A file that skops has not written, or that was cut or changed since: its readers of JSON,
        # arrays and archives raise whatever they stumble over.
        raise ValueError(
            f"{path} is an archive, but not one that skops can read "
            f"({type(error).__name__}: {error}). Save the model with "
            "skops.io.dump(model, 'model.skops')."
        ) from error
    if unknown:
        raise ValueError(
            f"{path} holds types that are neither of scikit-learn nor of this package: "
            f"{', '.join(unknown)}. If you know them, load it yourself with skops.io.load and call "
            "passive_pruner.explore.explore(model, X, y)."
        )
    refuse_model_files(model)
    return model


def _check_size(path):
    """Refuse an archive that unpacks to far more than it is: weights hardly shrink by packing."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is a damaged archive: {error}.") from error
    packed = Path(path).stat().st_size
    if unpacked > max(_MOST_UNPACKED, _MOST_RATIO * packed):
        raise ValueError(
            f"{path} has {packed:,} bytes and would unpack to {unpacked:,}: it is not a model, or "
            "one of constants. If you know it, load it yourself with skops.io.load and call "
            "passive_pruner.explore.explore(model, X, y)."
        )


def load_data(path, estimator, target=None):
    """Read a table and split it into what the estimator takes and the target.

    Parameters
    ----------
    path : Path
        A Parquet or CSV file.
    estimator : estimator
        Fitted; the columns that it was fitted on are taken, whatever their order.
    target : str, default=None
        Column of the target.

    Returns
    -------
    X : DataFrame
    y : Series or None

    Raises
    ------
    ValueError
        If the file is neither, or columns are missing.
    """
    import pandas as pd

    readers = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    path = Path(path)
    if path.suffix.lower() not in readers:
        raise ValueError(f"The data must be a .parquet or .csv file, got {path}.")
    X = readers[path.suffix.lower()](path)
    y = None
    if target is not None:
        if target not in X:
            raise ValueError(f"{path} has no column {target!r}; its columns are {_listed(X)}.")
        y = X.pop(target)
    wanted = getattr(estimator, "feature_names_in_", None)
    if wanted is not None:
        if missing := [name for name in wanted if name not in X]:
            raise ValueError(f"{path} lacks columns of the model: {_listed(missing)}.")
        return X[list(wanted)], y
    n_features = getattr(estimator, "n_features_in_", X.shape[1])
    if X.shape[1] != n_features:
        raise ValueError(
            f"The model was fitted on {n_features} columns without names, but {path} has "
            f"{X.shape[1]}{'' if target is None else ' besides the target'}: {_listed(X)}. "
            "--target names the column that is the target."
        )
    return X, y


def _listed(names, most=10):
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _parser():
    parser = argparse.ArgumentParser("python -m passive_pruner.explore", description=__doc__)
    parser.add_argument("model", type=Path, help="skops file of an encoder or pipeline")
    parser.add_argument("data", type=Path, help="Parquet or CSV file of the rows")
    parser.add_argument("--target", metavar="COLUMN", help="target of the cross-validated score")
    parser.add_argument("--scoring", metavar="NAME", help="score, as in scikit-learn")
    parser.add_argument(
        "--cv", type=int, default=5, metavar="N", help="folds, at least 2 (default: 5)"
    )
    parser.add_argument(
        "--thresholds", type=float, nargs="+", metavar="T",
        help="steps of the slider, finite and at least 0",
    )  # fmt: skip
    parser.add_argument(
        "--image-shape", type=int, nargs="+", metavar="N",
        help="height, width and, for colour, channels of images in flat rows",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="port; 0, the default, is a free one")
    parser.add_argument(
        "--no-browser", dest="browser", action="store_false", help="open no browser"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write the page to this file and serve nothing"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
