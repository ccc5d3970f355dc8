"""Write an objective of your own: a class with one method.

"Free bits" (Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive
Flow", arXiv 1606.04934) counts the KL divergence of a variable only above a floor. Below it a
variable costs nothing, so none has a reason to collapse entirely. The example trains a VAE with
the ELBO and with free bits on handwritten digits, prints what each variable then is, and lets a
grid search choose the floor.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import shuffle

from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP, Objective, kl_per_variable


class FreeBits(Objective):
    """KL divergence of which every variable has `free_nats` for free."""

    def __init__(self, free_nats=0.5):
        self.free_nats = free_nats

    def regularizer(self, codes, *, step=0):
        kl = kl_per_variable(codes.mean, codes.log_variance).mean(dim=0)
        return kl.clamp(min=self.free_nats).sum()


def main():
    X, y = shuffle(*load_digits(return_X_y=True), random_state=0)
    X = StandardScaler().fit_transform(X)
    encoder = VAEEncoder(
        n_components=20,
        architecture=MLP((64,)),
        add_variance=True,
        max_steps=1000,
        learning_rate=3e-3,
        random_state=0,
    )
    kinds, kl = {}, {}
    for name, objective in (("ELBO", None), ("free bits", FreeBits(0.5))):
        encoder.set_params(objective=objective).fit(X)
        kl[name] = encoder.moments(X).kl
        remover = PassiveVariableRemover(criterion="variance").fit(encoder.transform(X))
        kinds[name] = remover.variable_types_
        print(f"{name + ':':<10} mean ELBO {encoder.score(X):.1f} nats")

    print("\nKL divergence of the variables in nats, from the largest to the smallest")
    orders = {name: np.argsort(-kl[name]) for name in kl}
    print("   ".join(f"{name:<16}" for name in orders))
    for ranked in zip(*orders.values(), strict=True):
        cells = zip(orders, ranked, strict=True)
        print("   ".join(f"{kl[name][j]:6.2f}  {kinds[name][j]:<8}" for name, j in cells))

    pipe = Pipeline([("encode", encoder), ("classify", LogisticRegression(max_iter=2000))])
    pipe.set_params(encode__objective=FreeBits(), encode__add_variance=False)
    pipe.set_params(encode__max_steps=300)
    grid = GridSearchCV(pipe, {"encode__objective__free_nats": [0.0, 0.1, 0.5, 2.0]}, cv=3)
    grid.fit(X, y)
    print("\nCross-validated accuracy of logistic regression on the codes")
    for params, score in zip(
        grid.cv_results_["params"], grid.cv_results_["mean_test_score"], strict=True
    ):
        print(f"  {params['encode__objective__free_nats']:>4} free nats  {score:.3f}")


if __name__ == "__main__":
    main()
