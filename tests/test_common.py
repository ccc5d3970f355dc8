"""scikit-learn's own checks, over several configurations."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from passive_pruner import PretrainedEncoder, VAEEncoder
from passive_pruner.vae import MLP, BetaVAE, Gaussian

# Repeated rows take other random numbers, and copies of held-out rows are trained on.
STATISTICAL = "weights are equivalent to repetition in expectation, see test_sample_weight.py"
EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": STATISTICAL,
    "check_sample_weight_equivalence_on_sparse_data": STATISTICAL,
}
TINY = {"n_components": 2, "architecture": MLP((8,)), "max_steps": 20}


# The data of these checks is noise, and the training is a few steps long: a collapsed encoder is
# the right answer there, and none of the checks is about it.
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
@parametrize_with_checks(
    [
        VAEEncoder(**TINY),
        VAEEncoder(**TINY, add_variance=True, early_stopping=False),
        VAEEncoder(**TINY, output="sampled", warm_start=True),
        VAEEncoder(
            **TINY, objective=BetaVAE(beta=0.1), likelihood=Gaussian("per_feature"), batch_size=5
        ),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL,
)
def test_encoder_passes_scikit_learn_checks(estimator, check):
    check(estimator)


class EncodeTwo:
    """Two variables made of the first column, elementwise: the same for a row in any batch."""

    def __call__(self, X):
        x = X[:, :1]
        return np.hstack([x, 0.1 * x]), np.hstack([-np.abs(x), -0.01 * np.abs(x)])

    def __repr__(self):  # of a function it holds an address, which processes do not share
        return "EncodeTwo()"


@parametrize_with_checks(
    [
        PretrainedEncoder(EncodeTwo()),
        PretrainedEncoder(EncodeTwo(), output="sampled", add_variance=True, batch_size=3),
    ]
)
def test_pretrained_encoder_passes_scikit_learn_checks(estimator, check):
    check(estimator)
