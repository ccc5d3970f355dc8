"""Regularisers of all objectives against disentanglement_lib: ``python -m benchmarks.parity``.

Inputs and reference figures are those of the tests, in tests/data.
"""

import json
from pathlib import Path

import numpy as np
import torch

from benchmarks._timing import print_table
from passive_pruner.vae import DIPVAE, AnnealedVAE, BetaTCVAE, BetaVAE, Codes, FactorVAE

DATA = Path(__file__).parent.parent / "tests" / "data"


def objective_of(name):
    """Objective and gradient step of a figure such as "beta_vae beta=4"."""
    kind, *settings = name.replace(" of ", " of=").split()
    values = {key: float(value) for key, value in (s.split("=") for s in settings)}
    if kind == "annealed_vae":
        return AnnealedVAE(values["gamma"], values["c_max"], int(values["of"])), values["step"]
    if kind.startswith("dip_vae"):
        return DIPVAE(kind.removeprefix("dip_vae_"), **values), 0
    classes = {"beta_vae": BetaVAE, "beta_tcvae": BetaTCVAE, "factor_vae": FactorVAE}
    return classes[kind](**values), 0


def main():
    with np.load(DATA / "reference.npz") as arrays:
        names = ("mean", "log_variance", "sample", "discriminator_logits")
        codes = Codes(**{n: torch.from_numpy(arrays[f"objective_{n}"]) for n in names})
    figures = json.loads((DATA / "reference.json").read_text())["objectives"]["regularizer"]
    rows = []
    for name, reference in figures.items():
        objective, step = objective_of(name)
        value = objective.regularizer(codes, step=step).item()
        error = abs(value / reference - 1)
        rows.append((name, f"{value:.6f}", f"{reference:.6f}", f"{error:.1e}"))
    print_table(("objective", "passive_pruner", "disentanglement_lib", "relative error"), rows)


if __name__ == "__main__":
    main()
