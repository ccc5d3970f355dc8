"""
A first pipeline
================

A variational autoencoder (VAE) as a step of a scikit-learn pipeline, and the removal of the latent
variables that carry no information. The data is wine: 178 wines, 13 measurements.
"""

# %%
# The encoder gets more latent variables than the data needs. Those that are left over become
# *passive*: their posterior is the prior in every row. How many are left over is a matter of the
# data: of 16 variables for breast cancer none is.
import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.plots import VariableTypesDisplay

X, y = load_wine(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
pipe = Pipeline(
    [
        ("scale", StandardScaler()),
        ("encode", VAEEncoder(n_components=12, max_steps=1500, random_state=0)),
        ("prune", PassiveVariableRemover()),
        ("classify", LogisticRegression()),
    ]
)
pipe.fit(X_train, y_train)

# %%
# The remover says what it found. By default it looks at the variance of the mean codes;
# :ref:`sphx_glr_auto_examples_plot_02_types.py` looks at posterior variances as well.
remover = pipe["prune"]
print(remover.summary())

# %%
# The same as a table:
remover.report_[["type", "decided", "variance_of_mean", "max_correlation_mean"]].round(3)

# %%
# The classifier sees the kept variables only, and they keep their names.
print(list(pipe[:-1].get_feature_names_out()))

# %%
# Pruning is a question for a held-out set. A threshold of 0 removes nothing:
for threshold in (0, 0.1):
    pipe.set_params(prune__threshold=threshold).fit(X_train, y_train)
    n_kept = pipe["prune"].get_support().sum()
    print(f"threshold {threshold}: {n_kept} variables, accuracy {pipe.score(X_test, y_test):.3f}")

# %%
# Variables sorted by the variance of their means. The dashed line is the threshold; what is close
# to it is undecided.
VariableTypesDisplay.from_estimator(pipe, kind="bar")
plt.show()
