"""
Missing values
==============

With ``allow_missing=True`` cells that are NaN are left out of the likelihood, and the encoder is
told which cells are present. What it decodes fills the gaps.
"""

# %%
# Remove a share of the cells of breast cancer at random, fit, and compare what is decoded with what
# was removed. Columns are standardised, so that filling with their means has an error near 1.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.impute import KNNImputer
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP

X = StandardScaler().fit_transform(load_breast_cancer().data)
shares = (0.1, 0.3, 0.5)
errors = {"column means": [], "5 nearest neighbours": [], "VAEEncoder": []}
for share in shares:
    missing = np.random.default_rng(0).random(X.shape) < share
    gaps = np.where(missing, np.nan, X)
    encoder = VAEEncoder(
        n_components=10,
        architecture=MLP((128,)),
        allow_missing=True,
        max_steps=1500,
        batch_size=128,
        random_state=0,
    ).fit(gaps)
    codes = encoder.transform(gaps)
    filled = {
        "column means": np.broadcast_to(np.nanmean(gaps, axis=0), X.shape),
        "5 nearest neighbours": KNNImputer().fit_transform(gaps),
        "VAEEncoder": encoder.inverse_transform(codes),
    }
    for name, values in filled.items():
        errors[name].append(np.mean((values - X)[missing] ** 2))
    types = PassiveVariableRemover().fit(codes).variable_types_
    print(f"{share:.0%} missing: {np.sum(types == 'passive')} of {len(types)} variables passive")

# %%
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for i, (name, values) in enumerate(errors.items()):
    ax.bar(np.arange(len(shares)) + 0.27 * (i - 1), values, width=0.25, label=name)
ax.set_xticks(range(len(shares)), [f"{share:.0%}" for share in shares])
ax.set(xlabel="cells removed", ylabel="mean squared error")
ax.legend()
plt.show()

# %%
# A likelihood of its own for each column, for tables that mix numbers, counts and categories, is
# :class:`~passive_pruner.vae.Mixed`.
