"""Training: a skorch net whose epochs are counted in gradient steps."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, EpochTimer
from torch import nn

from passive_pruner.exceptions import DivergenceWarning, TrainingInterruptedWarning
from passive_pruner.training._batches import Rows, permuted_batches
from passive_pruner.training._discriminator import Discriminator
from passive_pruner.training._distributed import (
    agree_on_steps,
    average_gradients,
    mean_over_processes,
    n_processes,
    own_seed,
    share_state,
)
from passive_pruner.training._fast import FastStep
from passive_pruner.training._log import TrainingLog
from passive_pruner.vae._network import VAE, seed_torch
from passive_pruner.vae._objectives import Objective, kl_divergence

# Gradient steps between two evaluations. An epoch in steps instead of passes over the data makes
# the budget, the patience of early stopping and the share of time spent on evaluation the same
# for 500 rows (where a pass is two steps) and for 5,000,000 (where it is 20,000).
EPOCH_STEPS = 100
# Variance of the mean above which a variable counts as active in the history: the default
# threshold of PassiveVariableRemover.
ACTIVITY_THRESHOLD = 0.1


def regularizer_weight(step: int, kl_warmup_steps: int) -> float:
    """Weight of the regulariser in the gradient step that follows `step` others.

    Divided by w, the loss with weight w and Gaussian noise of variance v is that with weight 1 and
    noise of variance w v. A linear model of that noise uses one variable for each principal
    component of larger variance (Tipping and Bishop 1999, "Probabilistic Principal Component
    Analysis", equation 7). So a small weight makes active what full weight would not, and as the
    weight grows variables become passive again, those that explain least first. At full weight
    from the start each has to pay for itself before the decoder can read it, and variables are
    lost that would have paid later (Bowman et al. 2016, "Generating Sentences from a Continuous
    Space", arXiv 1511.06349, section 3.1).

    The weight is above 0 in the first step, since otherwise nothing bounds the codes in it, and 1
    in the last step of the warm-up.
    """
    return min(1.0, (step + 1) / kl_warmup_steps) if kl_warmup_steps else 1.0


class Criterion(nn.Module):
    """Negative log-likelihood plus the objective's regulariser, in nats averaged over rows.

    In training mode the regulariser has the weight of the warm-up, in evaluation mode weight 1:
    numbers that are compared, by early stopping above all, have to measure the same thing.
    """

    def __init__(
        self,
        objective: Objective,
        kl_warmup_steps: int = 0,
        discriminator: Discriminator | None = None,
    ):
        super().__init__()
        self.objective = objective
        self.kl_warmup_steps = kl_warmup_steps
        self.discriminator = discriminator

    def forward(self, module: VAE, x: torch.Tensor, *, step: int, noise=None):
        """Return the reconstruction term, the regulariser and what the objective was given.

        The last is a dictionary of "mean", "log_variance", "sample" and "discriminator_logits".
        """
        outputs, *codes = module(x, noise)
        reconstruction = -module.likelihood.log_likelihood(outputs, x).mean()
        return reconstruction, *self.regularizer(*codes, step=step)

    def regularizer(self, mean, log_variance, sample, *, step: int):
        """Return the weighted regulariser and, as a dictionary, what the objective was given."""
        logits = self.discriminator.logits(sample) if self.discriminator else None
        codes = {
            "mean": mean,
            "log_variance": log_variance,
            "sample": sample,
            "discriminator_logits": logits,
        }
        return self.weight(step) * self.objective.regularizer(**codes, step=step), codes

    def weight(self, step: int) -> float:
        """Weight of the regulariser in the present mode."""
        return regularizer_weight(step, self.kl_warmup_steps) if self.training else 1.0


class VAENet(NeuralNet):
    """The skorch net: its optimiser, device, callbacks and history around an epoch in steps.

    It keeps no record of single batches and never reads a number back from the device between
    two evaluations: for small networks that costs more than the gradient step itself.
    """

    def __init__(
        self, module, criterion, *, fast_step, n_steps, first_step, x_eval, noise, **kwargs
    ):
        super().__init__(module, criterion, train_split=None, **kwargs)
        self.fast_step = fast_step
        self.n_steps = n_steps
        self.first_step = first_step
        self.x_eval = x_eval
        self.noise = noise

    def initialize(self):
        """Initialise as skorch does and set the step counter to where training begins."""
        super().initialize()
        self.step_ = self.first_step
        return self

    def get_all_learnable_params(self):
        """Yield the parameters of the autoencoder, as one where their gradients come as one."""
        if self.fast_step is None or self.fast_step.flat is None:
            yield from self.module_.named_parameters()
        else:
            yield "flat", self.fast_step.flat

    @property
    def _default_callbacks(self):
        log = [("log", TrainingLog())] if self.verbose else []
        return [("timer", EpochTimer()), *log]

    def get_dataset(self, X, y=None):
        """Batches are made by :func:`permuted_batches`; there is no data set to build."""
        return X

    def get_iterator(self, dataset, training=False):
        """Continue the endless stream of batches where the last epoch left it."""
        return dataset

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Take the gradient steps of one epoch, then evaluate."""
        if not training:
            return
        n_left = self.first_step + self.n_steps - self.step_
        self._set_training(True)
        for x in islice(iterator, min(EPOCH_STEPS, n_left)):
            step_fn(x)
        self.history.record("step", self.step_)
        share_state(self.module_)  # what a forward pass counts, such as the means of batch norm
        for key, value in self.evaluate().items():
            self.history.record(key, value)

    def train_step(self, x, **fit_params):
        """Take one gradient step."""
        if self.fast_step is None:
            x = x.to(self.device, non_blocking=True)
            reconstruction, regularizer, codes = self.criterion_(self.module_, x, step=self.step_)
            self.optimizer_.zero_grad()
            (reconstruction + regularizer).backward()
            sample = codes["sample"]
        else:
            sample = self.fast_step(x, step=self.step_)
        self.optimizer_.step()
        if self.criterion_.discriminator:
            self.criterion_.discriminator.train_step(sample)
        self.step_ += 1

    @torch.no_grad()
    def evaluate(self) -> dict[str, Any]:
        """Measure the objective on the evaluation rows, with the same noise every time.

        Schedules count as finished: otherwise an objective that grows stricter would look as if
        the model became worse, and early stopping would end training before the schedule does.
        """
        self._set_training(False)
        reconstruction, regularizer, codes = self.criterion_(
            self.module_, self.x_eval, step=self.first_step + self.n_steps, noise=self.noise
        )
        mean, log_variance = codes["mean"], codes["log_variance"]
        kl = kl_divergence(mean, log_variance)
        finite = torch.stack([p.isfinite().all() for p in self.module_.parameters()]).all()
        values = mean_over_processes(torch.stack([reconstruction, kl, regularizer])).tolist()
        if not (finite.item() and np.isfinite(values).all()):
            raise FloatingPointError
        reconstruction, kl, regularizer = values
        parts = self.criterion_.objective.parts(**codes, step=self.step_)
        variance_of_mean = mean_over_processes(mean.var(dim=0, correction=0)).cpu().numpy()
        mean_of_variance = mean_over_processes(log_variance.exp().mean(dim=0)).cpu().numpy()
        return {
            **{k: float(mean_over_processes(value, self.device)) for k, value in parts.items()},
            "elbo": -reconstruction - kl,
            "reconstruction": reconstruction,
            "kl": kl,
            "regularizer": regularizer,
            "objective": reconstruction + regularizer,
            "n_active": int((variance_of_mean > ACTIVITY_THRESHOLD).sum()),
            "variance_of_mean": variance_of_mean,
            "mean_of_variance": mean_of_variance,
        }


class StopAfterWarmup(EarlyStopping):
    """Early stopping that looks away until the warm-up of the regulariser is over.

    Until then training minimises something else than what is measured, which often gets worse
    meanwhile: patience would run out, and the weights that were restored would be those of a
    smaller weight.
    """

    def on_epoch_end(self, net, **kwargs):
        """Compare the epoch with the best one, if it counts."""
        if net.step_ >= net.criterion_.kl_warmup_steps:
            super().on_epoch_end(net, **kwargs)


@dataclass
class Training:
    """What came out of a training run."""

    history: list[dict[str, Any]] = field(default_factory=list)
    n_steps: int = 0
    optimizer_state: dict[str, Any] = field(default_factory=dict)


def train(
    module: VAE,
    objective: Objective,
    X: Rows,
    *,
    rows: np.ndarray,
    eval_rows: np.ndarray,
    n_steps: int,
    first_step: int,
    batch_size: int,
    learning_rate: float,
    device: torch.device,
    patience: int | None,
    tol: float,
    seed: int,
    verbose: bool,
    kl_warmup_steps: int = 0,
    optimizer_state: dict[str, Any] | None = None,
    on_epoch_begin: Callable[[], None] = lambda: None,
    on_epoch: Callable[[dict[str, Any]], bool] = lambda record: False,
) -> Training:
    """Train `module` in place, with every random draw from `seed`.

    Parameters
    ----------
    module : VAE
        What is trained.
    objective : Objective
        Supplies the regulariser.
    X : Rows of shape (n_samples, n_features)
        Data; read in batches and never copied as a whole.
    rows, eval_rows : ndarray of int
        Rows to train on and rows to evaluate on.
    n_steps, first_step : int
        Number of gradient steps to take, and the number taken by earlier runs.
    batch_size, learning_rate, device : int, float, torch.device
        As in :class:`VAEEncoder`.
    patience : int or None
        Epochs without an improvement of the objective on `eval_rows` by more than `tol` nats
        after which training stops; the best weights are then restored. None: neither. Epochs
        of the warm-up do not count.
    tol : float
        In nats per row.
    seed : int
        Seed of batches and noise. The caller forks torch's global generator. Each process of a
        process group draws its own from it.
    verbose : bool
        Whether to print one line per epoch.
    kl_warmup_steps : int, default=0
        As in :class:`VAEEncoder`.
    optimizer_state : dict or None, default=None
        State of the optimisers, and of the discriminator, to continue with.
    on_epoch_begin : callable, optional
        Called before every epoch.
    on_epoch : callable, optional
        Called with the record of every epoch; returning True ends training.

    Returns
    -------
    training : Training

    Raises
    ------
    ValueError
        If the objective is not finite after the first epoch.
    KeyboardInterrupt
        If interrupted before the end of the first epoch.
    """
    stopper = None
    if patience is not None:
        stopper = StopAfterWarmup(
            monitor="objective",
            patience=patience,
            threshold=tol,
            threshold_mode="abs",
            load_best=True,
            sink=lambda text: None,
        )
    module.to(device).eval()  # so that batch normalisation does not count the evaluation rows
    if n_processes() > 1:
        n_steps = agree_on_steps(
            n_steps,
            module,
            first_step=first_step,
            patience=patience,
            tol=tol,
            learning_rate=learning_rate,
            kl_warmup_steps=kl_warmup_steps,
        )
        share_state(module)
        seed = own_seed(seed)
        seed_torch(seed, device)
    x_eval = torch.from_numpy(X[eval_rows]).to(device)
    with torch.no_grad():
        noise = torch.randn_like(module.encode(x_eval)[0])
    network = objective.build_discriminator(noise.shape[1])
    discriminator = Discriminator(network, device) if network is not None else None
    criterion = Criterion(objective, kl_warmup_steps, discriminator)
    # On an accelerator operations queue up, their number matters less, and reading a number back
    # would wait for all of them.
    fast_step = FastStep(module, criterion, noise.shape[1]) if device.type == "cpu" else None
    net = VAENet(
        module,
        criterion,
        fast_step=fast_step,
        n_steps=n_steps,
        first_step=first_step,
        x_eval=x_eval,
        noise=noise,
        optimizer=torch.optim.Adam,
        optimizer__fused=device.type in ("cpu", "cuda"),
        lr=learning_rate,
        device=device,
        callbacks=[("early_stopping", stopper)] if stopper else [],
        verbose=int(verbose),
    ).initialize()
    if optimizer_state:
        net.optimizer_.load_state_dict(optimizer_state["autoencoder"])
        net.set_params(lr=learning_rate)
        if discriminator:
            discriminator.load_state_dict(optimizer_state["discriminator"])
    if n_processes() > 1:
        net.optimizer_.register_step_pre_hook(average_gradients)
        if discriminator:
            share_state(discriminator.network)
            discriminator.optimizer.register_step_pre_hook(average_gradients)
    batches = permuted_batches(X, rows, batch_size, np.random.RandomState(seed))

    result = Training()
    diverged = False
    net.notify("on_train_begin")
    while net.step_ < first_step + n_steps:
        on_epoch_begin()
        last_finite = {name: value.clone() for name, value in module.state_dict().items()}
        try:
            net.fit_loop(batches, epochs=1)
        except FloatingPointError:
            if not result.history:
                raise ValueError(
                    _diverged("Training met a non-finite objective at its start")
                ) from None
            module.load_state_dict(last_finite)
            warnings.warn(
                _diverged(f"Training met a non-finite objective and kept step {result.n_steps}"),
                DivergenceWarning,
                stacklevel=4,
            )
            diverged = True
            break
        except KeyboardInterrupt:
            # skorch's EarlyStopping stops by the exception that Ctrl-C raises.
            converged = stopper is not None and stopper.misses_ == stopper.patience
            if not converged:
                # The other processes would wait for gradients that do not come.
                if not result.history or n_processes() > 1:
                    raise
                warnings.warn(
                    f"Training was interrupted after {len(result.history)} epochs; the model "
                    "holds what was learned until then.",
                    TrainingInterruptedWarning,
                    stacklevel=4,
                )
                break
        result.history.append(_record(net))
        result.n_steps = net.step_
        stop = on_epoch(result.history[-1])
        # One process that is told to stop stops all of them.
        stop = mean_over_processes(float(stop), device) > 0
        if stop or (stopper and stopper.misses_ == stopper.patience):
            break
    net.notify("on_train_end")
    if not diverged:  # a NaN in the averages of Adam would stay in them
        result.optimizer_state["autoencoder"] = net.optimizer_.state_dict()
        if discriminator:
            result.optimizer_state["discriminator"] = discriminator.state_dict()
    return result


def _record(net: VAENet) -> dict[str, Any]:
    record = {k: v for k, v in net.history[-1].items() if k not in ("batches", "dur")}
    return {**record, "seconds": net.history[-1, "dur"]}


def _diverged(what: str) -> str:
    return (
        f"{what}. Likely causes: columns of very different or very large scale (put "
        "sklearn.preprocessing.StandardScaler before the encoder) or too large a learning_rate."
    )
