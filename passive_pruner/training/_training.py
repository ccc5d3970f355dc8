"""Training: a skorch net whose epochs are counted in gradient steps."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer

from passive_pruner._common._rows import Rows
from passive_pruner._common._warnings import warn_user
from passive_pruner.exceptions import DivergenceWarning, TrainingInterruptedWarning
from passive_pruner.regime import CRITERIA
from passive_pruner.training._batches import permuted_batches
from passive_pruner.training._best_epoch import Average, BestEpoch, copy_of_weights
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
from passive_pruner.training._log import progress_log
from passive_pruner.training._loss import Loss
from passive_pruner.training._optimizer_state import export_adam, import_adam
from passive_pruner.vae._network import VAE
from passive_pruner.vae._objective import Objective, kl_divergence
from passive_pruner.vae._random import LocalDraws

# Gradient steps between two evaluations. An epoch in steps instead of passes over the data makes
# the budget, the patience of early stopping and the share of time spent on evaluation the same
# for 500 rows (where a pass is two steps) and for 5,000,000 (where it is 20,000).
EPOCH_STEPS = 100
# Variance of the mean above which a variable counts as active in the history.
ACTIVITY_THRESHOLD = CRITERIA["active_units"].threshold
# What the learning rate is divided by on a plateau.
DECAY = 5.0
# Rows on which a network of the user is tried out.
PROBE_ROWS = 64


class VAENet(NeuralNet):
    """The skorch net: its optimiser, device, callbacks and history around an epoch in steps.

    It keeps no record of single batches and never reads a number back from the device between
    two evaluations: for small networks that costs more than the gradient step itself.
    """

    def __init__(self, module, criterion, *, training, **kwargs):
        super().__init__(module, criterion, train_split=None, **kwargs)
        self.training = training

    def initialize(self):
        """Initialise as skorch does, with the history and the step of earlier calls."""
        super().initialize()
        self.history.extend(self.training.history)
        self.step_ = self.training.first_step
        return self

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        """Give the epoch the number after that of the one before it."""
        number = self.history[-1]["epoch"] + 1 if self.history else 1
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self.history.record("epoch", number)

    def record_start(self):
        """Record where training starts: as epoch 0, or the next where it goes on."""
        number = self.history[-1]["epoch"] + 1 if self.history else 0
        self.history.new_epoch()
        start = {"epoch": number, "dur": 0.0, "step": self.step_, **self.evaluate()}
        for key, value in start.items():
            self.history.record(key, value)

    def get_all_learnable_params(self):
        """Yield the parameters of the autoencoder, as one where their gradients come as one."""
        fast_step = self.training.fast_step
        if fast_step is None or fast_step.flat is None:
            yield from self.module_.named_parameters()
        else:
            yield "flat", fast_step.flat

    @property
    def _default_callbacks(self):
        log = progress_log(self.training.verbose)
        return [("timer", EpochTimer())] + ([("log", log)] if log else [])

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
        self._set_training(True)
        for x in islice(
            iterator, min(self.training.epoch_steps, self.training.last_step - self.step_)
        ):
            step_fn(x)
        self.history.record("step", self.step_)
        if self.training.average:
            self.training.average.show()
        share_state(self.module_)  # what a forward pass counts, such as the means of batch norm
        for key, value in self.evaluate().items():
            self.history.record(key, value)

    def train_step(self, x, **fit_params):
        """Take one gradient step."""
        with self.training.draws:
            if self.training.fast_step is not None:
                sample = self.training.fast_step(x, step=self.step_)
            else:
                x = x.to(self.device, non_blocking=True)
                reconstruction, regularizer, codes = self.criterion_(
                    self.module_, x, step=self.step_, noise=self.training.noise(len(x))
                )
                self.optimizer_.zero_grad()
                (reconstruction + regularizer).backward()
                sample = codes.sample
        if self.step_ + 1 < self.criterion_.kl_warmup_steps:
            self.training.hold_likelihood()
        self.optimizer_.step()
        if self.training.average:
            self.training.average.update()
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
        with self.training.same_draws():
            reconstruction, regularizer, codes = self.criterion_(
                self.module_,
                self.training.x_eval,
                step=self.training.last_step,
                noise=self.training.eval_noise,
            )
        mean, log_variance = codes.mean, codes.log_variance
        kl = kl_divergence(mean, log_variance)
        finite = torch.stack([p.isfinite().all() for p in self.module_.parameters()]).all()
        values = mean_over_processes(torch.stack([reconstruction, kl, regularizer])).tolist()
        if not (finite.item() and np.isfinite(values).all()):
            raise FloatingPointError
        reconstruction, kl, regularizer = values
        parts = self.criterion_.objective.parts(codes, step=self.step_)
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


@dataclass
class Training:
    """One run of training, which changes `module` in place; every random draw is from `seed`.

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
    n_steps : int
        Number of gradient steps to take.
    batch_size, learning_rate, kl_warmup_steps, device : int, float, int, torch.device
        As in :class:`VAEEncoder`.
    patience : int or None
        Epochs without an improvement of the objective on `eval_rows` by more than `tol` nats
        after which training stops; the best weights are then restored. Those that are evaluated
        are averages over the last steps. None: nothing of this.
    tol : float
        In nats per row.
    seed : int
        Seed of batches, noise and all else. Each process of a process group draws its own from it.
    is_mlp, is_own : bool
        Whether the halves are perceptrons of the package, whose derivatives are written out, and
        whether they are networks of the package, which draw nothing.
    verbose : int or "auto", default=0
        Whether to print one line per epoch, or one for all where somebody waits.
    first_step : int, default=0
        Number of steps taken by earlier runs.
    history : list of dict, default=[]
        Records of earlier runs; those of this one are added.
    state : dict of str to ndarray, optional
        State of the optimisers, and of the discriminator, to go on from.
    on_epoch_begin : callable, optional
        Called before every epoch.
    on_epoch : callable, optional
        Called with the records so far after every epoch; returning True ends training.
    keeps_interrupted : bool, default=True
        Whether an interrupt from the keyboard ends training with a warning instead of an error.

    counts_start : bool, default=False
        Whether the start is recorded and compared like an epoch: as epoch 0, or the one after
        those of `history`.
    other_start : dict of str to Tensor, optional
        Weights to train from once the start is recorded.
    epoch_steps : int, default=100
        Gradient steps between two evaluations.
    n_decays : int, default=0
        How often training goes on from the best weights at a fifth of the rate when patience has
        run out, before it stops.

    Attributes
    ----------
    best_epoch : int
        Number of the epoch whose weights the module has after :meth:`run`.
    """

    module: VAE
    objective: Objective
    X: Rows
    rows: np.ndarray
    eval_rows: np.ndarray
    n_steps: int
    batch_size: int
    learning_rate: float
    kl_warmup_steps: int
    device: torch.device
    patience: int | None
    tol: float
    seed: int
    is_mlp: bool
    is_own: bool
    verbose: int | Literal["auto"] = 0
    first_step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, np.ndarray] | None = None
    on_epoch_begin: Callable[[], None] = lambda: None
    on_epoch: Callable[[list[dict[str, Any]]], bool] = lambda history: False
    keeps_interrupted: bool = True
    counts_start: bool = False
    other_start: dict[str, torch.Tensor] | None = None
    epoch_steps: int = EPOCH_STEPS
    n_decays: int = 0
    best_epoch: int = 0

    @property
    def last_step(self) -> int:
        """Number of steps after this run if nothing ends it sooner."""
        return self.first_step + self.n_steps

    def noise(self, n_rows: int) -> torch.Tensor:
        """Draw standard normal noise for a batch."""
        return torch.randn(
            n_rows,
            self.n_components,
            generator=self.generator,
            dtype=torch.float32,
            device=self.device,
        )

    def same_draws(self):
        """Context in which a network that draws, draws the same every time."""
        return LocalDraws(self.seed) if self.is_drawing else nullcontext()

    def hold_likelihood(self):
        """Keep what the likelihood learns where it is for the coming step."""
        for parameter in self.module.likelihood.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()

    def run(self) -> None:
        """Train.

        Raises
        ------
        ValueError
            If the objective is not finite after the first epoch.
        KeyboardInterrupt
            If interrupted before the end of the first epoch.
        """
        net = self._prepare()
        stopper = self.average = None
        if self.patience is not None:
            stopper = BestEpoch(self.patience, self.tol, self.kl_warmup_steps)
        batches = permuted_batches(self.X, self.rows, self.batch_size, self._batch_order)
        net.notify("on_train_begin")
        # A start that earlier training led to is a model that an interrupt leaves.
        is_model = self.counts_start and len(self.history) > 0
        n_before = 0 if is_model else len(self.history) + self.counts_start
        weights, n_decays = None, self.n_decays
        try:
            if self.counts_start:
                net.record_start()
                self.history.append(_record(net))
                if stopper:
                    stopper.compare(self.history[-1], self.module)
            if self.other_start is not None:
                self.module.load_state_dict(self.other_start)
            if stopper:
                self.average = Average([p for _, p in net.get_all_learnable_params()])
            while net.step_ < self.last_step:
                if self.average:
                    self.average.hide()
                weights = copy_of_weights(self.module)
                self.on_epoch_begin()
                net.fit_loop(batches, epochs=1)
                self.history.append(_record(net))
                if stopper:
                    stopper.compare(self.history[-1], self.module)
                # One process that is told to stop stops all of them.
                stop = float(self.on_epoch(self.history))
                if mean_over_processes(stop, self.device) > 0:
                    break
                if stopper and stopper.is_over:
                    if n_decays == 0:
                        break
                    n_decays -= 1
                    self._decay(net, stopper)
            self.state = self._export_state(net)
        except (FloatingPointError, KeyboardInterrupt) as error:
            is_interrupt = isinstance(error, KeyboardInterrupt)
            if len(self.history) <= n_before:
                if is_interrupt:
                    raise
                raise ValueError(
                    _diverged("Training met a non-finite objective at its start")
                ) from None
            # The other processes would wait for gradients that do not come.
            if is_interrupt and (n_processes() > 1 or not self.keeps_interrupted):
                raise
            if weights is not None and len(net.history) > len(self.history):
                self.module.load_state_dict(weights)  # those of the last epoch that was finished
            self.state = None  # a NaN in the averages of Adam would stay in them
            self._warn(is_interrupt, len(self.history) - n_before)
        net.notify("on_train_end")
        best = self.history[-1]
        if stopper and stopper.best:
            best, weights = stopper.best
            self.module.load_state_dict(weights)
        self.best_epoch = best["epoch"]

    def _decay(self, net, stopper):
        """Go on from the best weights at a lower rate."""
        self.module.load_state_dict(stopper.best[1])
        self.average.restart()
        stopper.misses = 0
        for group in net.optimizer_.param_groups:
            group["lr"] /= DECAY

    def _warn(self, is_interrupt, n_epochs):
        if is_interrupt:
            warn_user(
                f"Training was interrupted after {n_epochs} epochs; the model holds what was "
                "learned until then.",
                TrainingInterruptedWarning,
            )
        else:
            step = self.history[-1]["step"]
            warn_user(
                _diverged(f"Training met a non-finite objective and kept step {step}"),
                DivergenceWarning,
            )

    def _prepare(self) -> VAENet:
        """Bring everything that a step needs into place, and return the net."""
        module = self.module.to(self.device).eval()  # evaluation rows are none of batch norm's
        if n_processes() > 1:
            self.n_steps = agree_on_steps(
                self.n_steps,
                module,
                first_step=self.first_step,
                patience=self.patience,
                tol=self.tol,
                learning_rate=self.learning_rate,
                kl_warmup_steps=self.kl_warmup_steps,
            )
            share_state(module)
            self.seed = own_seed(self.seed)
        self.generator = torch.Generator(self.device).manual_seed(self.seed)
        self._batch_order = np.random.RandomState(self.seed % 2**32)
        self.x_eval = torch.from_numpy(self.X[self.eval_rows]).to(self.device)
        with torch.no_grad(), LocalDraws(self.seed):
            self.n_components = module.encode(self.x_eval[:1])[0].shape[1]
            network = self.objective.build_discriminator(self.n_components)
        self.eval_noise = self.noise(len(self.x_eval))
        discriminator = None
        if network is not None:
            discriminator = Discriminator(network.float(), self.device, self.generator)
        loss = Loss(self.objective, self.kl_warmup_steps, discriminator)
        self.is_drawing = not self.is_own and self._is_drawing(loss)
        self.draws = LocalDraws(self.seed) if self.is_drawing else nullcontext()
        # On an accelerator operations queue up, their number matters less, and reading a number
        # back would wait for all of them.
        self.fast_step = None
        if self.device.type == "cpu":
            self.fast_step = FastStep(
                module, loss, self.n_components, self.generator, is_mlp=self.is_mlp
            )
        net = VAENet(
            module,
            loss,
            training=self,
            optimizer=torch.optim.Adam,
            optimizer__fused=self.device.type in ("cpu", "cuda"),
            lr=self.learning_rate,
            device=self.device,
            verbose=0,
        ).initialize()
        self._import_state(net, discriminator)
        if n_processes() > 1:
            net.optimizer_.register_step_pre_hook(average_gradients)
            if discriminator:
                share_state(discriminator.network)
                discriminator.optimizer.register_step_pre_hook(average_gradients)
        return net

    def _is_drawing(self, loss) -> bool:
        """Try out whether networks of the user draw random numbers, as dropout does."""
        module = self.module
        before = copy_of_weights(module)
        x = torch.from_numpy(self.X[self.rows[:PROBE_ROWS]]).to(self.device)
        with torch.no_grad(), LocalDraws(self.seed) as draws:
            for training in (True, False):
                module.train(training)
                loss(module, x, step=0, noise=torch.zeros(len(x), self.n_components).to(x))
        module.load_state_dict(before)
        return draws.n_draws > 0

    def _named_parameters(self):
        return [(name, p) for name, p in self.module.named_parameters() if p.requires_grad]

    def _export_state(self, net) -> dict[str, np.ndarray]:
        flat = self.fast_step.flat if self.fast_step else None
        state = export_adam(net.optimizer_, self._named_parameters(), flat)
        discriminator = net.criterion_.discriminator
        if discriminator:
            state |= {f"discriminator/{k}": v for k, v in discriminator.export_state().items()}
        return state

    def _import_state(self, net, discriminator) -> None:
        if not self.state:
            return
        flat = self.fast_step.flat if self.fast_step else None
        import_adam(net.optimizer_, self._named_parameters(), flat, self.state)
        if discriminator:
            prefix = "discriminator/"
            discriminator.import_state(
                {k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)}
            )


def _record(net: VAENet) -> dict[str, Any]:
    record = {k: v for k, v in net.history[-1].items() if k not in ("batches", "dur")}
    return {**record, "seconds": net.history[-1, "dur"]}


def _diverged(what: str) -> str:
    return (
        f"{what}. Likely causes: columns of very different or very large scale (put "
        "sklearn.preprocessing.StandardScaler before the encoder) or too large a learning_rate."
    )
