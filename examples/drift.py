"""Watching an encoder: passive variables that become active show data it was not trained on.

An encoder is trained on some of the classes of a real data set. Its codes for held-out rows of the
same classes are compared with those of the training rows, then its codes for the other classes.
``python examples/drift.py`` prints a table for each data set. Moments are all that is kept of the
training rows.
"""

from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.regime import LatentMoments, compare
from passive_pruner.vae import Gaussian


def watch(what, known, unknown, *, scaler=None, max_steps):
    """Print what changes from training rows to held-out rows, and to rows of unknown classes."""
    train, held_out = train_test_split(known, test_size=0.3, random_state=0)
    if scaler is not None:
        scaler.fit(train)
        train, held_out, unknown = map(scaler.transform, (train, held_out, unknown))
    # One noise variance for all columns, and a random start: many variables stay passive.
    encoder = VAEEncoder(
        24, likelihood=Gaussian("shared"), init="random", max_steps=max_steps, random_state=0
    ).fit(train)
    then = PassiveVariableRemover().fit(encoder.transform(train)).moments_

    print(f"\n{what}: {len(train)} training rows")
    columns = "rows", "passive", "passive to active", "largest drift (se)", "ELBO"
    print(("{:24}" + "{:>20}" * 5).format("", *columns))
    for name, X in {"held-out rows": held_out, "unknown classes": unknown}.items():
        table = compare(then, LatentMoments.from_batch(encoder.transform(X)))
        passive = table[table.type_then == "passive"]
        top = table.loc[table.drift.idxmax()]
        drift = f"{top.drift:.2f} ({top.standard_error:.2f})"
        counts = len(X), len(passive), passive.changed.sum()
        print(("{:24}" + "{:>20}" * 5).format(name, *counts, drift, f"{encoder.score(X):.1f}"))
    return table


def main():
    X, y = load_breast_cancer(return_X_y=True)
    table = watch(
        "Breast cancer, trained on benign tumours",
        X[y == 1],
        X[y == 0],
        scaler=StandardScaler(),
        max_steps=1500,
    )
    print("\nMalignant tumours, the passive variables that become active:")
    print(table[table.changed].sort_values("drift").round(2).to_string())
    X, y = load_digits(return_X_y=True)
    for digit in (0, 6):
        watch(
            f"Digits, trained without {digit}",
            X[y != digit] / 16,
            X[y == digit] / 16,
            max_steps=3000,
        )


if __name__ == "__main__":
    main()
