"""``n_components="auto"``: the number of latent variables, found in the course of one training."""

import numpy as np
import torch

from passive_pruner.training._distributed import n_processes
from passive_pruner.training._training import DECAY, EPOCH_STEPS, PROBE_ROWS
from passive_pruner.training._width import (
    START_WIDTH,
    STEPS_PER_STEP_AFTER_CUT,
    find_variables,
    necessary_factors,
    of_variables,
)
from passive_pruner.vae._random import plain_torch

# Looks at the held-out rows, after a start at factor analysis, in what is an epoch otherwise.
LOOKS = 4
# How often training from there goes on at a fifth of the rate before it ends.
N_DECAYS = 2


class AutoWidth:
    """Mixin of :class:`VAEEncoder`: how training finds the number of latent variables."""

    def _start_width(self, table, rows, eval_rows, seed):
        """Set `n_components_` to what training begins with, and tell whether it is to be cut."""
        if self.n_components != "auto":
            self.n_components_ = self.n_components
            return False
        if n_processes() > 1:
            raise ValueError(
                "n_components='auto' is found on the rows of one process, and another process may "
                "find another number. Fit on a sample before the process group is made, and give "
                "the n_components_ that it finds."
            )
        self.n_components_ = min(self._n_inputs, START_WIDTH)
        if self.init_ == "random":
            return True
        with plain_torch(grad=True):
            network = self._network_at_random(table, seed)
            start = self._factor_analysis_start(network, table, rows, eval_rows)
            n_factors = start.write(network)
            while n_factors == self.n_components_ < self._n_inputs:
                self.n_components_ = min(2 * self.n_components_, self._n_inputs)
                network = self._network_at_random(table, seed)
                n_factors = start.write(network)
            if n_factors > 0:
                self.n_components_ = necessary_factors(network, table, rows, seed)
        return n_factors == 0

    def _search(self, table, rows, eval_rows, seed, *, max_steps, on_epoch=None, **kwargs):
        """Train at the widths that "auto" begins with, the last of which is `n_components_` then.

        Returns the trainings, whether one was ended from outside, and the numbers of the variables
        of the last that carry information.
        """
        trainings = []
        is_ended = False

        def end_epoch(history):
            nonlocal is_ended
            is_ended = on_epoch is not None and on_epoch(trainings[-1].module, history)
            return is_ended

        def train(width, n_steps):
            nonlocal is_ended
            self.n_components_ = width
            network, start = self._new_network(table, rows, eval_rows, seed)
            params = {**start, **kwargs, "n_steps": n_steps, "on_epoch": end_epoch}
            training = self._training(network, table, rows, eval_rows, seed, **params)
            trainings.append(training)
            training.run()
            # After an interrupt the optimiser has no state to go on from.
            is_ended = is_ended or training.state is None
            return network, n_steps if is_ended else training.history[-1]["step"]

        numbers = find_variables(train, table, self._n_inputs, max_steps=max_steps, seed=seed)
        return trainings, is_ended, numbers

    def _train_auto(self, table, rows, eval_rows, seed, *, on_epoch, **params):
        """Train wide, cut out the variables that carry no information, and train to the end."""
        max_steps = self.max_steps - self.max_steps // (STEPS_PER_STEP_AFTER_CUT + 1)
        trainings, is_ended, numbers = self._search(
            table,
            rows,
            eval_rows,
            seed,
            max_steps=max_steps,
            on_epoch=on_epoch,
            n_decays=0,
            **params,
        )
        wide = trainings[-1]
        with torch.no_grad():
            blueprint, weights = self._blueprint().cut(wide.module.weights(), numbers)
        self.n_components_ = len(numbers)
        network = blueprint.load(weights)
        n_wide = wide.history[-1]["step"]
        n_steps = self.max_steps - sum(training.history[-1]["step"] for training in trainings)
        if not wide.counts_start or not self.early_stopping:
            n_steps = min(n_steps, n_wide // STEPS_PER_STEP_AFTER_CUT)
        training = self._training(
            network,
            table,
            rows,
            eval_rows,
            seed + n_wide,
            n_steps=0 if is_ended else n_steps,
            learning_rate=self.learning_rate / DECAY,
            epoch_steps=EPOCH_STEPS // LOOKS,
            n_decays=N_DECAYS - 1 if wide.counts_start else 0,
            counts_start=True,
            first_step=n_wide,
            history=of_variables(wide.history, numbers),
            on_epoch=lambda history: on_epoch(network, history),
            **params,
        )
        training.run()
        return network, training

    def _can_cut(self, table, seed):
        """Whether passive variables can be cut out of the network."""
        blueprint = self._blueprint()
        network = blueprint.build(table.part(slice(0, PROBE_ROWS))[:], seed)
        try:
            with torch.no_grad():
                blueprint.cut(network.weights(), np.arange(1))
        except ValueError:
            return False
        return True
