"""
Counts: which likelihood fits
=============================

Each value of a digit of scikit-learn is a count, of dark pixels in a block of 4 by 4. Likelihoods
of counts and the Gaussian give different models of the same data. The ELBO on held-out rows
compares the two for counts; the Gaussian is a density, and its ELBO is not comparable.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from passive_pruner import VAEEncoder
from passive_pruner.metrics import active_units
from passive_pruner.vae import MLP, NegativeBinomial, Poisson

X_train, X_test = train_test_split(load_digits().data, random_state=0)
likelihoods = {"Poisson": Poisson(), "negative binomial": NegativeBinomial(), "Gaussian": None}
encoders = {}
for name, likelihood in likelihoods.items():
    encoders[name] = VAEEncoder(
        n_components=24,
        likelihood=likelihood,
        architecture=MLP((128,)),
        max_steps=800,
        batch_size=128,
        random_state=0,
    ).fit(X_train)

for name in ("Poisson", "negative binomial"):
    print(f"{name:<18} held-out ELBO {encoders[name].score(X_test):.1f} nats per row")
for name, encoder in encoders.items():
    n_used = active_units(encoder.transform(X_train), threshold=0.1)
    print(f"{name:<18} {n_used} of 24 variables have a mean whose variance is above 0.1")

# %%
# Draws from the model show what a likelihood means. Those of the Gaussian are negative in places,
# and no integers.
fig, axes = plt.subplots(4, 8, figsize=(8, 4.6), layout="constrained")
rows = {"data": X_train} | {name: e.sample(200) for name, e in encoders.items()}
for row, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(row, images, strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16)
        ax.set(xticks=[], yticks=[])
    row[0].set_title(name, loc="left", fontsize="medium")
plt.show()

# %%
for name, images in rows.items():
    whole = np.mean(images == np.round(images))
    print(
        f"{name:<18} mean {images.mean():.2f}, smallest {images.min():5.1f}, "
        f"largest {images.max():5.1f}, share of whole numbers {whole:.2f}"
    )
