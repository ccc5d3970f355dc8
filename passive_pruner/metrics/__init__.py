"""Metrics of representations, as functions of codes, of their covariance, and of factors."""

from passive_pruner.metrics._activity import active_units, effective_rank, mean_entropy
from passive_pruner.metrics._correlation import (
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
)
from passive_pruner.metrics._information import (
    modularity,
    mutual_information_gap,
    mutual_information_score,
)
from passive_pruner.metrics._intervention import (
    FactorDataset,
    beta_vae_score,
    factor_vae_score,
)
from passive_pruner.metrics._prediction import DCIScores, dci, sap_score

__all__ = [
    "DCIScores",
    "FactorDataset",
    "active_units",
    "beta_vae_score",
    "dci",
    "effective_rank",
    "factor_vae_score",
    "gaussian_total_correlation",
    "gaussian_wasserstein_correlation",
    "mean_entropy",
    "modularity",
    "mutual_information_gap",
    "mutual_information_score",
    "sap_score",
]
