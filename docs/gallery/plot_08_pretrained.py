"""
A posterior that was trained elsewhere
======================================

:class:`~passive_pruner.PretrainedEncoder` gives the encoder of another library a place in
pipelines. It takes a torch module, a file, a function or, shown last, arrays of means and
variances.
"""

# %%
# Here "elsewhere" is a torch loop of a few lines: a VAE whose encoder returns means and
# log-variances side by side.
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from passive_pruner import PassiveVariableRemover, PretrainedEncoder
from passive_pruner.plots import VariableTypesDisplay

X, y = load_wine(return_X_y=True)
X = StandardScaler().fit_transform(X).astype("float32")
torch.manual_seed(0)
d = 8
encoder = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 2 * d))
decoder = nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, 13))
optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
data = torch.from_numpy(X)
for _ in range(2000):
    mean, log_variance = encoder(data).chunk(2, dim=1)
    z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
    squared_error = (decoder(z) - data).square().sum(dim=1).mean()
    kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1).mean()
    loss = squared_error + kl  # a Gaussian likelihood of variance 1/2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %%
# ``fit`` trains nothing: it encodes one batch, checks what comes back, and counts the variables.
wrapped = PretrainedEncoder(encoder, add_variance=True).set_output(transform="pandas")
codes = wrapped.fit_transform(X)
remover = PassiveVariableRemover(criterion="variance").fit(codes)
remover.report_.round(3)

# %%
VariableTypesDisplay.from_estimator(remover)
plt.show()

# %%
# In a pipeline it takes the place of :class:`~passive_pruner.VAEEncoder`. The VAE has seen all
# rows, so these scores compare thresholds, not models.
for threshold in (0, 0.1):
    pipe = make_pipeline(
        PretrainedEncoder(encoder, add_variance=True),
        PassiveVariableRemover(threshold=threshold, criterion="variance"),
        LogisticRegression(),
    )
    print(f"threshold {threshold}: accuracy {cross_val_score(pipe, X, y).mean():.3f}")

# %%
# A table of means and variances is enough, and needs no torch:
posterior = np.hstack(wrapped.posterior(X))
codes = PretrainedEncoder(second_output="variance", add_variance=True).fit_transform(posterior)
print(PassiveVariableRemover(criterion="variance").fit(codes).variable_types_)
