"""What a user with a strict type checker writes: checked by mypy and pyright, never run."""

from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import passive_pruner
from passive_pruner import (
    PassiveVariableRemover,
    Posterior,
    PretrainedEncoder,
    VAEEncoder,
    metrics,
    plots,
    regime,
    trusted_types,
)
from passive_pruner.study import evaluate_subsets
from passive_pruner.vae import MLP, BetaVAE, Codes, Gaussian, Objective

X = np.zeros((100, 3))

encoder = VAEEncoder(
    n_components=2,
    objective=BetaVAE(beta=2.0),
    likelihood=Gaussian("shared"),
    architecture=MLP((16,)),
    output="mean",
    random_state=0,
)
assert_type(encoder, VAEEncoder)
assert_type(passive_pruner.VAEEncoder(), VAEEncoder)
assert_type(encoder.fit(X), VAEEncoder)
assert_type(encoder.partial_fit([[0.0, 1.0, 2.0]]), VAEEncoder)
assert_type(encoder.transform(X), NDArray[np.float32])
assert_type(encoder.posterior(X), Posterior)
assert_type(encoder.moments(X).variance_of_mean, np.ndarray)
assert_type(encoder.score(X), float)
assert_type(encoder.score_samples(X), NDArray[np.float64])
assert_type(encoder.fit_transform(X), np.ndarray)
assert_type(encoder.set_output(transform="pandas"), VAEEncoder)
assert_type(encoder.set_params(n_components=3), VAEEncoder)
assert_type(encoder.pruned([True, False]), VAEEncoder)
assert_type(encoder.n_components_, int)
assert_type(encoder.history_, list[dict[str, Any]])

remover = PassiveVariableRemover(threshold=0.1, criterion="variance", drop=["passive"])
assert_type(remover.fit(encoder.transform(X)), PassiveVariableRemover)
assert_type(remover.variable_types_, NDArray[np.str_])
assert_type(remover.get_support(), np.ndarray)
assert_type(remover.summary(), str)

assert_type(PretrainedEncoder("model.onnx", batch_size=64).fit(X), PretrainedEncoder)
assert_type(trusted_types(), list[str])
assert_type(plots.TrainingDisplay.from_estimator(encoder), plots.TrainingDisplay)
assert_type(regime.kl(encoder.moments(X), 0.1), np.ndarray)
assert_type(metrics.effective_rank(np.eye(3)), float)
table = evaluate_subsets(encoder, X, X, n_examples=50)
print(table.columns)


class Half(Objective):
    """Half of the KL divergence."""

    def regularizer(self, codes: Codes, *, step: int = 0) -> Any:
        return 0.25 * (codes.mean.square() + codes.log_variance.exp()).sum(dim=1).mean()


assert_type(VAEEncoder(2, objective=Half()), VAEEncoder)

# Each of these is an error: were it none, the comment would be reported as unused.
VAEEncoder(output="mode")  # type: ignore[arg-type]
VAEEncoder(objective="beta")  # type: ignore[arg-type]
passive_pruner.Encoder()  # type: ignore[attr-defined]
