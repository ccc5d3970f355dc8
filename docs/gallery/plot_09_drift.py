"""
Drift of the codes
==================

:func:`~passive_pruner.regime.compare` tells which latent variables changed between two data sets.
New data of the same kind shows no drift; data that the encoder was not trained on does.
"""

# %%
# The encoder learns digits as they are. Afterwards it meets other digits, the same ones turned by a
# right angle, and digits with half the ink.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from passive_pruner import VAEEncoder
from passive_pruner.regime import LatentMoments, compare
from passive_pruner.vae import MLP

X_train, X_new = train_test_split(load_digits().data / 16, test_size=0.4, random_state=0)
encoder = VAEEncoder(
    n_components=12,
    likelihood="bernoulli",
    architecture=MLP((128,)),
    max_steps=1500,
    batch_size=128,
    random_state=0,
).fit(X_train)


def moments_of(X):
    """Moments of the posterior of some rows; those of batches add up by `merge`."""
    return LatentMoments.from_batch(*encoder.posterior(X))


then = moments_of(X_train)
turned = np.rot90(X_new.reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
tables = {
    "other digits": compare(then, moments_of(X_new)),
    "turned": compare(then, moments_of(turned)),
    "half as dark": compare(then, moments_of(X_new / 2)),
}
tables["turned"].round(3)

# %%
# Drift of each variable in nats, with two standard errors to either side.
fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
for i, (name, table) in enumerate(tables.items()):
    ax.bar(
        table.index + 0.27 * (i - 1),
        table["drift"],
        yerr=2 * table["standard_error"],
        width=0.25,
        label=name,
    )
ax.set(xticks=range(12), xlabel="latent variable", ylabel="drift (nats)")
ax.legend()
plt.show()

# %%
for name, table in tables.items():
    significant = (table["drift"] > 2 * table["standard_error"]).sum()
    print(
        f"{name:<13} {significant:2} of 12 variables drifted by more than two standard errors, "
        f"{table['changed'].sum()} changed their type"
    )
