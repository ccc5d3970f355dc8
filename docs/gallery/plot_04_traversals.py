"""
What each variable draws
========================

Decode a code while one of its variables runs through the range of the prior. An active variable
changes the image; a passive one hardly does, because its draws were noise to the decoder, which has
learned to ignore them.
"""

# %%
# Handwritten digits of 8 by 8 pixels, whose values are read as probabilities of ink.
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.plots import ReconstructionDisplay, TraversalDisplay
from passive_pruner.vae import MLP, BetaVAE

X = load_digits().data / 16
pipe = make_pipeline(
    VAEEncoder(
        n_components=10,
        objective=BetaVAE(beta=1.5),
        likelihood="bernoulli",
        architecture=MLP((128,)),
        max_steps=2000,
        batch_size=128,
        random_state=0,
    ),
    PassiveVariableRemover(),
).fit(X)

# %%
# One row per variable, active ones first. The number at the right is the root mean square over
# pixels of the range of what is decoded: small for a passive variable, and not exactly 0.
TraversalDisplay.from_estimator(pipe, X, image_shape=(8, 8))
plt.show()

# %%
# Around the code of a digit instead of the mean of the prior:
TraversalDisplay.from_estimator(pipe, X, row=3, image_shape=(8, 8))
plt.show()

# %%
# Originals above, reconstructions from the kept variables below, over the numbers of their rows; at
# the right the error of each pixel.
ReconstructionDisplay.from_estimator(pipe, X, image_shape=(8, 8))
plt.show()
