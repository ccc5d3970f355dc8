"""Find the passive variables of a VAE that another library trained, and remove them.

Trains a BetaVAE of pythae on the digits of scikit-learn, wraps its encoder, and prints the report
of the latent variables and a grid over thresholds. Needs pythae: pip install ".[recipes]"
An argument sets beta, 0.2 without it: more of it makes more variables passive.
"""

import sys

import pandas as pd
import torch
from pythae.models import BetaVAE, BetaVAEConfig
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, PretrainedEncoder

THRESHOLDS = [0, 0.02, 0.05, 0.1, 0.2]


def train_elsewhere(X, beta, n_steps=2000, batch_size=128):
    torch.manual_seed(0)
    # With squared errors, beta is the variance of a Gaussian likelihood.
    config = BetaVAEConfig(input_dim=(X.shape[1],), latent_dim=16, beta=beta)
    vae = BetaVAE(config)
    optimizer = torch.optim.Adam(vae.parameters(), lr=2e-3)
    X = torch.tensor(X, dtype=torch.float32)
    for _ in range(n_steps):
        batch = X[torch.randint(len(X), (batch_size,))]
        loss = vae({"data": batch}).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return vae


def main():
    pd.set_option("display.width", 200, "display.max_columns", None)
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    vae = train_elsewhere(X_train, beta=float(sys.argv[1]) if sys.argv[1:] else 0.2)

    # A pythae encoder returns an object with these two outputs.
    encoder = PretrainedEncoder(
        vae.encoder, outputs=("embedding", "log_covariance"), add_variance=True
    )
    codes = encoder.set_output(transform="pandas").fit_transform(X_train)
    remover = PassiveVariableRemover(criterion="variance").fit(codes)
    print(remover.report_.round(3).to_string())
    print(f"\n{sum(remover.variable_types_ == 'passive')} of {encoder.n_components_} are passive.")

    pipe = Pipeline(
        [
            ("encode", encoder),
            ("prune", PassiveVariableRemover(criterion="variance")),
            ("classify", LogisticRegression(max_iter=5000)),
        ]
    )
    grid = GridSearchCV(pipe, {"prune__threshold": THRESHOLDS}, cv=3).fit(X_train, y_train)
    print("\nthreshold   cross-validated accuracy")
    for threshold, score in zip(THRESHOLDS, grid.cv_results_["mean_test_score"], strict=True):
        print(f"{threshold:<12}{score:.3f}")
    print(f"\nTest accuracy with {grid.best_params_}: {grid.score(X_test, y_test):.3f}")


if __name__ == "__main__":
    main()
