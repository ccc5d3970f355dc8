"""Find the passive variables of a single-cell model that scvi-tools trained.

Draws counts of 40 genes from three programs, trains scvi's default model with 10 latent
variables, and prints their report. Needs scvi-tools: pip install scvi-tools
"""

import logging

import numpy as np
import pandas as pd
import scvi
from anndata import AnnData

from passive_pruner import PassiveVariableRemover, PretrainedEncoder


def main():
    pd.set_option("display.width", 200, "display.max_columns", None)
    rng = np.random.default_rng(0)
    programs = np.exp(0.7 * rng.standard_normal((3, 40)))
    counts = rng.poisson(rng.gamma(2.0, 1.0, (1000, 3)) @ programs).astype(np.float32)

    scvi.settings.seed = 0
    scvi.settings.verbosity = logging.WARNING
    data = AnnData(counts)
    scvi.model.SCVI.setup_anndata(data)
    model = scvi.model.SCVI(data, n_latent=10)
    model.train(max_epochs=150, accelerator="cpu", logger=False, enable_progress_bar=False)

    def encode(X):  # scvi gives variances, not their logarithms
        return model.get_latent_representation(AnnData(X), return_dist=True)

    encoder = PretrainedEncoder(encode, second_output="variance", add_variance=True)
    codes = encoder.fit_transform(counts)
    remover = PassiveVariableRemover(criterion="variance").fit(codes)
    print(remover.report_.round(3).to_string())


if __name__ == "__main__":
    main()
