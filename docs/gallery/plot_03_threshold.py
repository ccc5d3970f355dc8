"""
Choose the threshold by cross-validation
========================================

The threshold of the remover is a parameter like any other. Put 0, which removes nothing, among its
values: pruning need not help.
"""

# %%
# A cache keeps the fitted encoder of each fold, so that both grids together train the VAE once per
# fold, and once more on all rows.
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.plots import ThresholdDisplay
from passive_pruner.vae import MLP

X, y = load_digits(return_X_y=True)
encoder = VAEEncoder(
    n_components=20,
    likelihood="bernoulli",
    architecture=MLP((128,)),
    max_steps=1000,
    batch_size=128,
    random_state=0,
)
thresholds = [0, 0.005, 0.01, 0.03, 0.1, 0.3]

searches = {}
with TemporaryDirectory() as cache:
    for name, after_pruning in {
        "as they are": "passthrough",
        "standardised": StandardScaler(),
    }.items():
        pipe = Pipeline(
            [
                ("encode", encoder),
                ("prune", PassiveVariableRemover()),
                ("scale", after_pruning),
                ("classify", KNeighborsClassifier()),
            ],
            memory=cache,
        )
        searches[name] = GridSearchCV(pipe, {"prune__threshold": thresholds}, cv=3).fit(X / 16, y)

# %%
# Nearest neighbours read codes as they are, in which a passive variable is small and hardly counts.
# The title names the threshold that the search chose (dotted line), and all that are within one
# standard error of the highest score, the shaded band: between these the folds do not decide. The
# dashed line is at the one of them that keeps the fewest variables. A search takes that one with
# ``refit=one_standard_error_rule``, from :mod:`passive_pruner.study`.
ThresholdDisplay.from_estimator(searches["as they are"])
plt.show()

# %%
# Behind a scaler every variable has unit variance, and a passive one weighs as much as any other.
ThresholdDisplay.from_estimator(searches["standardised"])
plt.show()

# %%
# The thresholds that these scores choose:
for name, grid in searches.items():
    print(f"codes {name:<13} {grid.best_params_}, accuracy {grid.best_score_:.3f}")
