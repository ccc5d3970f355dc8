"""
Types of variables, and how correlated they are
===============================================

What active, mixed and passive variables look like in a fitted encoder, and why passive ones matter:
in mean codes they are correlated with the others, in sampled codes they are not.
"""

# %%
# With ``add_variance=True`` the encoder appends the posterior variances to its codes, and
# ``criterion="variance"`` reads both. This is the rule of the paper.
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.metrics import gaussian_total_correlation
from passive_pruner.plots import CorrelationDisplay, VariableTypesDisplay
from passive_pruner.vae import MLP

X = load_breast_cancer().data
encoder = VAEEncoder(
    n_components=20,
    architecture=MLP((64,)),
    add_variance=True,
    max_steps=4000,
    batch_size=128,
    random_state=0,
)
pipe = make_pipeline(StandardScaler(), encoder, PassiveVariableRemover(criterion="variance")).fit(X)
remover = pipe[-1]
remover.report_.round(3)

# %%
# A passive variable has a posterior variance s2 of 1 in every row, lower right; an active one has a
# small one, lower left. A mixed variable is active in some rows only, or has not settled. Variables
# of one type that lie together share a label, their numbers or how many they are.
VariableTypesDisplay.from_estimator(pipe)
plt.show()

# %%
# The same variables in mean and in sampled codes. No sample is drawn for the second panel: the
# covariance of sampled codes follows from the moments of means and variances.
CorrelationDisplay.from_estimator(pipe)
plt.show()

# %%
# In numbers, the total correlation of a Gaussian with these covariances, in nats. Mixed variables
# are kept, and they lie between the two.
kept = remover.get_support()[: encoder.n_components]
for name, covariance in (
    ("mean codes", remover.moments_.mean_covariance),
    ("sampled codes", remover.moments_.sampled_covariance),
):
    pruned = covariance[np.ix_(kept, kept)]
    print(
        f"{name:<14} all variables {gaussian_total_correlation(covariance):6.2f}   "
        f"kept variables {gaussian_total_correlation(pruned):6.2f}"
    )
