"""
An objective of your own
========================

An objective is a class with one method. *Free bits* [1]_ count the KL divergence of a variable only
above a floor: below it a variable costs nothing, so none has a reason to collapse.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from passive_pruner import VAEEncoder
from passive_pruner.plots import TrainingDisplay, VariableTypesDisplay
from passive_pruner.vae import MLP, Objective, kl_per_variable


class FreeBits(Objective):
    """KL divergence of which every variable has `free_nats` for free."""

    def __init__(self, free_nats=0.2):
        self.free_nats = free_nats

    def regularizer(self, codes, *, step=0):
        """Sum over variables of the mean KL divergence, at least `free_nats` each."""
        kl = kl_per_variable(codes.mean, codes.log_variance).mean(dim=0)
        return kl.clamp(min=self.free_nats).sum()


X = StandardScaler().fit_transform(load_breast_cancer().data)
encoder = VAEEncoder(
    n_components=16,
    architecture=MLP((64,)),
    max_steps=1500,
    batch_size=128,
    learning_rate=3e-3,
    random_state=0,
)

# %%
# The KL divergence of each variable, sorted, without and with free bits. The dashed line is the
# threshold of ``criterion="kl"``.
fig, axes = plt.subplots(2, 1, figsize=(7, 6), sharey=True, layout="constrained")
for ax, (name, objective) in zip(
    axes, {"ELBO": None, "free bits": FreeBits()}.items(), strict=True
):
    encoder.set_params(objective=objective).fit(X)
    VariableTypesDisplay.from_estimator(encoder, X, criterion="kl", kind="bar", ax=ax)
    ax.set_title(f"{name}: mean ELBO {encoder.score(X):.1f} nats")
plt.show()

# %%
# How it came to be: the parts of the objective, and the posterior variance of each variable, during
# training with free bits.
TrainingDisplay.from_estimator(encoder)
plt.show()

# %%
# Parameters of an objective are parameters of the pipeline: ``encode__objective__free_nats`` in a
# grid finds the floor.
#
# .. [1] Kingma et al. (2016), "Improving Variational Inference with Inverse Autoregressive Flow",
#    arXiv 1606.04934, section C.8.
