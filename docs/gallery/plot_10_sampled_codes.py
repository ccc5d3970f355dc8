"""
Sampled codes
=============

A draw from the posterior of a passive variable is standard normal noise: its variance is 1, as
that of an active variable, and codes alone cannot show which is which. Variances can.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP

X = StandardScaler().fit_transform(load_breast_cancer().data)
encoder = VAEEncoder(
    n_components=12, architecture=MLP((64,)), max_steps=2000, batch_size=128, random_state=0
).fit(X)
encoder.set_params(output="sampled", add_variance=True).set_output(transform="pandas")
codes = encoder.transform(X)
codes.iloc[:, :12].var(ddof=0).round(2)

# %%
# The default criterion reads mean codes. Given sampled ones it would keep the noise, so it refuses:
try:
    PassiveVariableRemover().fit(codes.iloc[:, :12])
except ValueError as error:
    print(error)

# %%
# With the variances appended, the rule of the paper names the types of sampled codes.
sampled = PassiveVariableRemover(criterion="variance").fit(codes)
mean = PassiveVariableRemover(criterion="variance").fit(
    encoder.set_params(output="mean").transform(X)
)
print("from sampled codes:", sampled.variable_types_)
print("from mean codes:   ", mean.variable_types_)

# %%
# The moments of draws give those of means up to chance: Cov(mu) is the covariance of the draws
# without the mean posterior variance on its diagonal.
fig, ax = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
x, y = mean.moments_.variance_of_mean, sampled.moments_.variance_of_mean
ax.plot([0, x.max()], [0, x.max()], color="0.7", zorder=0)
ax.scatter(x, y)
ax.set(xlabel="Var(mu) from mean codes", ylabel="Var(mu) from sampled codes")
plt.show()
