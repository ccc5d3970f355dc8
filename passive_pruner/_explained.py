"""What every latent variable of a VAEEncoder explains, and codes in these units."""

import numpy as np
import torch

from passive_pruner.training._distributed import mean_over_processes
from passive_pruner.vae._explained import Explained, explain

# Rows that stand for the training data: a mean square of normal numbers over so many is known to
# 6 %, and the scale of a code, a ratio on the same rows, much better. More would take a noticeable
# part of a short training.
EXPLAINED_ROWS = 512
# A pass of partial_fit reads each row once, and an eighth of them costs little beside that.
MIN_EXPLAINED_ROWS = 64
# Rows that are decoded at a time, few enough for the activations of images.
DECODED_ROWS = 256

#: Attributes with one number per latent variable that follow from weights and training data.
EXPLAINED = ("explained_variance_", "explained_variance_ratio_", "code_scale_")


class ExplainedVariance:
    """Mixin of :class:`VAEEncoder`: the attributes in `EXPLAINED`, and what `whiten` does."""

    def _explain(self, table, seed, *, one_pass=False):
        """Learn what the latent variables explain of some rows, drawn by the seed."""
        n_rows = EXPLAINED_ROWS
        if one_pass:
            n_rows = min(max(len(table) // 8, MIN_EXPLAINED_ROWS), EXPLAINED_ROWS)
        network = self._network()
        device = next(network.parameters()).device
        rows = table.draw(n_rows, np.random.default_rng(seed))
        with self._running():
            chunks = (torch.from_numpy(x).to(device) for _, x in rows.chunks(DECODED_ROWS))
            found = explain(network, chunks, rows.weights)
            means = np.array([*found.change, *found.square, found.total], dtype=np.float32)
            means = mean_over_processes(torch.from_numpy(means).to(device)).numpy(force=True)
        change, square = means[:-1].astype(np.float64).reshape(2, -1)
        found = Explained(change, square, float(means[-1]))
        self.explained_variance_ = found.change
        self.explained_variance_ratio_ = found.ratio
        self.code_scale_ = found.scale

    def _cut_explained(self, keep):
        for name in EXPLAINED:
            if hasattr(self, name):
                setattr(self, name, getattr(self, name)[keep])

    def _forget_explained(self):
        for name in EXPLAINED:
            vars(self).pop(name, None)

    def _code_scale(self):
        """Return what codes are multiplied by, float32, or None where the prior's units stay."""
        if self.whiten:
            return None
        if not hasattr(self, "code_scale_"):
            raise ValueError(
                "whiten=False needs to know what the latent variables explain, but this encoder "
                "was saved by an earlier version, or has weights from a file that does not say. "
                "Fit it anew, call partial_fit with some rows, or set whiten=True."
            )
        return self.code_scale_.astype(np.float32)

    def _in_prior_units(self, codes):
        """Undo what `whiten` does to codes."""
        scale = self._code_scale()
        return codes if scale is None else codes / scale
