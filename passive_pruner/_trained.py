"""Training of a VAEEncoder: from components and data to fitted weights."""

from typing import Any, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from passive_pruner._auto_width import LOOKS, N_DECAYS, AutoWidth
from passive_pruner._by_column import is_by_column, learned_columns, likelihood_by_column
from passive_pruner._common._sample_weight import drawn_by_weight, rows_that_count
from passive_pruner._common._validation import seed_from
from passive_pruner._common._warnings import warn_user
from passive_pruner._training_data import TrainingData
from passive_pruner.exceptions import CollapseWarning, FirstBatchWarning, ScheduleWarning
from passive_pruner.regime import LatentMoments
from passive_pruner.regime import variance as variance_criterion
from passive_pruner.training._start import FactorAnalysisStart, obstacle_to_factor_analysis
from passive_pruner.training._summary import summarize_training
from passive_pruner.training._training import EPOCH_STEPS, PROBE_ROWS, Training
from passive_pruner.training._width import necessary_factors
from passive_pruner.vae import MLP, BetaVAE, Gaussian
from passive_pruner.vae._hints import refuse_other_than_components
from passive_pruner.vae._likelihoods import LIKELIHOODS
from passive_pruner.vae._network import is_own, resolve_device
from passive_pruner.vae._random import plain_torch

# Rows that the start values of a likelihood are taken from, and that a collapse is looked for in.
# Sparse data is written out densely for the first.
MAX_STATISTICS_ROWS = 2048
# Held-out rows are read after every epoch; more of them would cost time and tell little more.
MAX_EVALUATION_ROWS = 1024
# Times that one call of partial_fit reads a row, on average. More is a unit of weights that was not
# meant to be that, such as persons in a country, and would never end.
MOST_READINGS = 1000
# Draws that stand for each of them where rows have weights: the number of times that a row is drawn
# is within 1 of what its weight asks for.
DRAWS_PER_ROW = 4
# Fewer rows give start values that are off by a quarter of a standard deviation and more.
MIN_FIRST_ROWS = 10
# Rows of later calls that are compared with the first.
COMPARED_ROWS = 256
# Mean distance of a column from its location, in standard deviations, at which something is wrong.
FAR = 10.0


class TrainedVAE(AutoWidth, TrainingData):
    """Base class of :class:`VAEEncoder`: the steps that `fit` and `partial_fit` share."""

    def set_params(self, **params: Any) -> Self:
        """Set parameters, including those of components that are in use by default.

        Parameters
        ----------
        **params : dict
            Parameters by name. ``objective__beta`` sets `beta` of the objective, which is
            ``BetaVAE()`` if `objective` is None; the same holds for likelihood and architecture.

        Returns
        -------
        self : VAEEncoder
            The encoder.
        """
        defaults = {"objective": BetaVAE, "likelihood": Gaussian, "architecture": MLP}
        parts = [self]
        for name, default in defaults.items():
            nested = next((key for key in params if key.startswith(f"{name}__")), None)
            if nested is None:
                continue
            part = params.get(name, getattr(self, name))
            if name == "likelihood" and isinstance(part, str) and part in LIKELIHOODS:
                default, part = LIKELIHOODS[part], None
            if part is None:
                params[name] = default()
            elif hasattr(part, "set_params"):
                parts.append(part)
            else:
                raise ValueError(f"{name}={part!r} has no parameter that {nested!r} could set.")
        before = [vars(part).copy() for part in parts]
        try:
            return super().set_params(**params)
        except BaseException:
            for part, values in zip(parts, before, strict=True):
                vars(part).update(values)
            raise

    def summary(self) -> str:
        """Summarise the length of training, the quality of the model and the role of its variables.

        Returns
        -------
        summary : str
            Text of several lines, from the record of `history_` that belongs to `best_epoch_`: the
            ELBO in nats per row and its parts, and for every latent variable the variance of its
            mean, the mean of its posterior variance and the share that it explains. For a pruned
            encoder the ELBO is that of the encoder before. The types of a
            :class:`PassiveVariableRemover` may differ, as they are computed from other rows.

        Examples
        --------
        >>> from sklearn.datasets import load_wine
        >>> from sklearn.preprocessing import StandardScaler
        >>> from passive_pruner import VAEEncoder
        >>> X = StandardScaler().fit_transform(load_wine().data)
        >>> print(VAEEncoder(n_components=4, max_steps=200, random_state=0).fit(X).summary())
        200 gradient steps, 8 epochs; the model is that of epoch ...
        ELBO ... nats per row on held-out rows: log-likelihood ..., KL divergence ...
        4 latent variables: 3 with Var(mu) above 0.1, 1 below.
            Var(mu)  E[s2]  explains
        ...
        """
        check_is_fitted(self)
        # Encoders of earlier versions do not know these two.
        held_out = getattr(self, "_holds_out", self.early_stopping)
        held_out = held_out and not hasattr(self, "training_state_")
        rows = "held-out rows" if held_out else "training rows"
        if self.best_epoch_ <= getattr(self, "_epochs_before_pruning", -1):
            rows += ", before other variables were cut out"
        numbers = getattr(self, "variable_numbers_", range(self.n_components_))
        return summarize_training(
            self.history_,
            self.best_epoch_,
            names=[str(j) for j in numbers],
            explained=getattr(self, "explained_variance_ratio_", None),
            rows=rows,
        )

    def _html_boxes(self):
        boxes = super()._html_boxes()
        if hasattr(self, "weights_"):
            boxes[f"{self.n_components_} latent variables"] = self.summary()
        return boxes

    def _validate_params(self):
        refuse_other_than_components(self)
        super()._validate_params()

    def _settle(self, columns, *, continued, one_pass=False):
        """Take over the components, or refuse what cannot change, and return the seed."""
        if continued:
            self._refuse_changes()
        else:
            self.columns_ = columns
            self.init_ = "random"
            if not (one_pass and self.init == "auto"):
                self.init_ = self._init_in_use(columns)
            self.architecture_ = self._new_architecture(columns)
            self.allow_missing_ = self.allow_missing
            if columns is not None:
                self.allow_missing_ |= columns.may_miss or self.handle_unknown == "ignore"
            for name in ("variable_numbers_", "training_state_", "_epochs_before_pruning"):
                vars(self).pop(name, None)  # of an encoder that was pruned, or of earlier passes
        self.objective_ = (self.objective or BetaVAE()).validated()
        # Without the number of steps every call that continues would repeat the same draws.
        return seed_from(self.random_state) + (self.n_steps_ if continued else 0)

    def _columns_of(self, X, weights, *, continued):
        """Return what is known of the columns, or learn it from the rows that count."""
        if continued:
            return self.columns_
        return learned_columns(self, *rows_that_count(X, weights))

    def _refuse_changes(self):
        """Name a parameter that a fitted network cannot follow."""
        architecture = self._new_architecture(self.columns_)
        if self.architecture is None and type(self.architecture_) is MLP:
            # The start, on which the default depends, lies in the past.
            architecture = MLP(linear_path=self.architecture_.linear_path)
        likelihood = self._resolved_likelihood()
        now_by_column = self.likelihood is not None and is_by_column(self.likelihood)
        allows_missing = self.allow_missing
        if self.columns_ is not None and not self.allow_missing:
            allows_missing = self.allow_missing_  # by what the first rows were
        changed = {
            "n_components": self.n_components not in ("auto", self.n_components_),
            "architecture": not architecture.equals(self.architecture_),
            "likelihood": not likelihood.equals(self.likelihood_)
            or (now_by_column and self.columns_ is None),
            "allow_missing": allows_missing != self.allow_missing_,
        }
        for name in (name for name, is_changed in changed.items() if is_changed):
            fitted = getattr(self, f"{name}_")
            raise ValueError(
                f"{name}={getattr(self, name)!r} differs from {fitted!r}, with which the network "
                "was made that training goes on with. Set it back, or fit anew: fit with "
                "warm_start=False."
            )

    def _init_in_use(self, columns):
        """Start of :meth:`fit`: what "auto" stands for."""
        if self.init != "auto":
            return self.init
        architecture = self._new_architecture(columns)
        is_linear = type(architecture) is MLP and architecture.linear_path
        is_gaussian = type(self._new_likelihood(columns)) is Gaussian
        return "factor_analysis" if is_gaussian and is_linear else "random"

    def _new_architecture(self, columns):
        is_gaussian = type(self._new_likelihood(columns)) is Gaussian
        default = MLP(
            linear_path=self.init == "factor_analysis" or (self.init == "auto" and is_gaussian)
        )
        return (default if self.architecture is None else self.architecture).validated()

    def _new_likelihood(self, columns):
        likelihood = self.likelihood
        if is_by_column(likelihood):
            likelihood = (
                Gaussian() if columns is None else likelihood_by_column(columns, likelihood)
            )
        elif isinstance(likelihood, str):
            likelihood = LIKELIHOODS[likelihood]()
        return likelihood.validated()

    def _resolved_likelihood(self):
        names = getattr(self, "feature_names_in_", None) if self.columns_ is None else None
        return self._new_likelihood(self.columns_).resolve(self._n_inputs, names)

    def _check_start(self):
        """Refuse what has no factor analysis to start from."""
        if self.init != "factor_analysis":
            return
        name = obstacle_to_factor_analysis(self.likelihood_, self.architecture_, self._n_inputs)
        if name:
            raise ValueError(
                "init='factor_analysis' takes a likelihood of the package, with a part that is "
                "Gaussian, Bernoulli, categorical or for counts without exposure, and an MLP with "
                f"linear_path=True, got {name}={getattr(self, f'{name}_')!r}. Change it, or choose "
                "init='random'."
            )

    def _network_at_random(self, table, seed):
        statistics = table.draw(MAX_STATISTICS_ROWS, np.random.default_rng(seed))
        return self._blueprint().build(statistics[:], seed, statistics.weights)

    def _factor_analysis_start(self, network, table, rows, eval_rows):
        return FactorAnalysisStart(
            network.likelihood,
            table,
            rows,
            np.setdiff1d(eval_rows, rows),
            allow_missing=network.allow_missing,
            beta=self.objective_.beta if type(self.objective_) is BetaVAE else 1.0,
        )

    def _new_network(self, table, rows, eval_rows, seed):
        """Make a network, and the parameters of :class:`Training` that suit its start."""
        network = self._network_at_random(table, seed)
        if self.init_ == "random":
            return network, {}
        at_factors = self._factor_analysis_start(network, table, rows, eval_rows)
        n_factors = at_factors.write(network)
        if n_factors > 1 and self.n_components != "auto":
            needed = necessary_factors(network, table, rows, seed)
            if needed < n_factors:
                n_factors = at_factors.write(network, needed)
        start = {"counts_start": True, "n_decays": N_DECAYS}
        if n_factors == 0 and self.init == "auto":
            # Nothing is correlated, so whatever there is to find lies where all variables at the
            # prior are no way to begin: gradients vanish there. It takes longer to be better.
            patience = LOOKS * self.n_iter_no_change if self.early_stopping else None
            at_random = self._network_at_random(table, seed).state_dict()
            start |= {"other_start": at_random, "patience": patience}
        return network, start

    def _epoch_steps(self, columns):
        # A start that is a good model already is left in small steps, with many looks.
        return (
            EPOCH_STEPS // LOOKS if self._init_in_use(columns) == "factor_analysis" else EPOCH_STEPS
        )

    def _training(
        self, network, table, rows, eval_rows, seed, *, n_steps, one_pass=False, **kwargs
    ):
        """Prepare a run of training with the parameters of the encoder."""
        if table.weights is not None:
            # Rows that are drawn by their weights stand for those that are held out.
            rng = np.random.default_rng(seed)
            n_drawn = min(DRAWS_PER_ROW * len(eval_rows), MAX_EVALUATION_ROWS)
            weights = table.weights[eval_rows]
            eval_rows = eval_rows[drawn_by_weight(weights, n_drawn, rng.random())]
            if one_pass:
                # As many rows as weigh 1 each. None at all would be no step.
                weights = table.weights[rows]
                if weights.mean() > MOST_READINGS:
                    raise ValueError(
                        f"sample_weight is {weights.mean():.3g} on average, and partial_fit reads "
                        f"a row as many times, for which {MOST_READINGS} is the limit: divide the "
                        "weights of all calls by the same number."
                    )
                rows = rows[drawn_by_weight(weights, max(weights.sum(), 1.0), rng.random())]
                n_steps = -(-len(rows) // self.batch_size)
                table = table.reweighted(None)
        return Training(
            network,
            self.objective_,
            table,
            rows=rows,
            eval_rows=eval_rows,
            n_steps=n_steps,
            batch_size=self.batch_size,
            kl_warmup_steps=self.kl_warmup_steps,
            device=resolve_device(self.device),
            tol=self.tol,
            seed=seed,
            is_mlp=type(self.architecture_) is MLP,
            is_own=is_own(self.architecture_),
            **{
                "patience": self.n_iter_no_change if self.early_stopping else None,
                "epoch_steps": self._epoch_steps(self.columns_),
                "learning_rate": self.learning_rate,
                **kwargs,
            },
        )

    def _train(
        self, table, rows, eval_rows, seed, *, continued, task, one_pass=False, is_wide=False
    ):
        first_step = self.n_steps_ if continued else 0
        n_steps = -(-len(table) // self.batch_size) if one_pass else self.max_steps
        if not one_pass:
            self._compare_schedules(first_step + n_steps)

        def end_epoch(network, history):
            return task.end_epoch(
                lambda: {
                    "weights_": network.weights(),
                    "history_": list(history),
                    "n_iter_": history[-1]["epoch"],
                    "n_steps_": history[-1]["step"],
                    "best_epoch_": history[-1]["epoch"],
                }
            )

        # A callback shows progress in its own way.
        verbose = 0 if self.verbose == "auto" and task.has_callbacks else self.verbose
        with plain_torch(grad=True):
            if is_wide and not self._can_cut(table, seed):
                # Half a search is no search: an interrupted one ends the fit.
                limits = {"max_steps": self.max_steps, "keeps_interrupted": False}
                *_, numbers = self._search(table, rows, eval_rows, seed, **limits)
                self.n_components_, is_wide = len(numbers), False
            if is_wide:
                network, training = self._train_auto(
                    table,
                    rows,
                    eval_rows,
                    seed,
                    on_epoch_begin=task.begin_epoch,
                    on_epoch=end_epoch,
                    verbose=verbose,
                )
            else:
                if continued:
                    network, start = self._blueprint().load(self.weights_), {}
                else:
                    network, start = self._new_network(table, rows, eval_rows, seed)
                training = self._training(
                    network,
                    table,
                    rows,
                    eval_rows,
                    seed,
                    n_steps=n_steps,
                    verbose=verbose,
                    first_step=first_step,
                    one_pass=one_pass,
                    history=list(self.history_) if continued else [],
                    state=getattr(self, "training_state_", None) if one_pass else None,
                    on_epoch_begin=task.begin_epoch,
                    on_epoch=lambda history: end_epoch(network, history),
                    # A pass that is cut short is none: an interrupt ends the loop of passes.
                    keeps_interrupted=not one_pass,
                    **({**start, "patience": None} if one_pass else start),
                )
                if continued:
                    self._compare_with_start(network, table, seed)
                training.run()
        self.weights_ = network.weights()
        self._freeze()
        self.history_ = training.history
        self.n_iter_ = self.history_[-1]["epoch"]
        self.n_steps_ = self.history_[-1]["step"]
        if not is_own(self.architecture_):
            with plain_torch(grad=True):
                self._check_made_again(network, table)
        self.best_epoch_ = training.best_epoch
        self._holds_out = self.early_stopping
        vars(self).pop("training_state_", None)
        if one_pass and training.state is not None:
            self.training_state_ = training.state

    def _check_made_again(self, network, table):
        """Refuse networks of the user whose outputs do not follow from their weights."""
        x = torch.from_numpy(table.part(slice(0, PROBE_ROWS))[:])
        outputs = []
        for one in (network.cpu().eval(), self._blueprint().load(self.weights_)):
            with self._running():  # what draws, draws the same in both
                codes = one.encode(x)
                outputs.append([*codes, one.decoder(codes[0].clone())])
        pairs = zip(*outputs, strict=True)
        if not all(torch.allclose(a, b, rtol=1e-4, atol=1e-4, equal_nan=True) for a, b in pairs):
            raise ValueError(
                f"The networks of {self.architecture_!r} compute something else when they are made "
                "again from their weights. Constants that they draw or keep belong into "
                "register_buffer, and every call of the factory must return the same layers."
            )

    def _warn_of_first_rows(self, table, seed):
        """Warn where the first rows say too little of the columns."""
        sample = table.draw(MAX_EVALUATION_ROWS, np.random.default_rng(seed))[:]
        n_rows = table.n_effective
        if n_rows < MIN_FIRST_ROWS or (sample == sample[0]).all():
            what = "equal rows" if n_rows >= MIN_FIRST_ROWS else "rows"
            warn_user(
                f"The first call of partial_fit has {n_rows:.6g} {what}, from which location and "
                f"scale of every column are taken for good. Begin with at least {MIN_FIRST_ROWS} "
                "rows, better some hundred, that are drawn from all data.",
                FirstBatchWarning,
            )

    def _compare_with_start(self, network, table, seed):
        """Warn where data is far from that by which the columns are standardised."""
        standardization = network.likelihood.standardization(self._n_inputs)
        if standardization is None:
            return
        logged, location, scale = standardization
        rows = table.draw(COMPARED_ROWS, np.random.default_rng(seed))[:]
        values = np.where(logged, np.log1p(np.maximum(rows, 0)), rows)
        with np.errstate(over="ignore", invalid="ignore"):
            # Missing cells count as what the network takes them for.
            values = np.nan_to_num((values - location) / scale)
            distance = np.mean(np.abs(values), axis=0)
            spread = np.std(values, axis=0).max()
        if 0 < spread < 1 / FAR / 2:
            warn_user(
                f"No column varies by more than {spread:.3g} standard deviations of the rows by "
                "which it is standardised, those of the first call. Were the units of X changed, "
                "or was the first batch unlike the others? Fit anew on rows that are drawn from "
                "all data.",
                FirstBatchWarning,
            )
        far = np.flatnonzero(distance > FAR)
        if len(far):
            worst = far[np.argmax(distance[far])]
            (name,) = self._column_names([worst])
            warn_user(
                f"{len(far)} columns are far from the rows by which they are standardised, those "
                f"of the first call: column {name!r} on average by {distance[worst]:.3g} standard "
                "deviations. Were its units changed, or was the first batch unlike the others? "
                "Fit anew on rows that are drawn from all data.",
                FirstBatchWarning,
            )

    def _compare_schedules(self, n_steps):
        """Warn where training cannot reach the end of a schedule."""
        if self.kl_warmup_steps >= n_steps:
            warn_user(
                f"kl_warmup_steps={self.kl_warmup_steps} is not below the {n_steps} gradient steps "
                "that training may take, so the regulariser never has full weight and another "
                "objective is trained. Lower it, or raise max_steps.",
                ScheduleWarning,
            )
        if self.objective_.schedule_steps() > n_steps:
            warn_user(
                f"The schedule of {self.objective_!r} ends after "
                f"{self.objective_.schedule_steps()} gradient steps, but training takes at most "
                f"{n_steps}. Shorten it, or raise max_steps.",
                ScheduleWarning,
            )

    def _warn_if_collapsed(self, table, rng):
        rows = table.draw(MAX_STATISTICS_ROWS, rng)
        moments = LatentMoments.from_batch(*self._posterior(rows), sample_weight=rows.weights)
        if (variance_criterion(moments, 0.1) == "passive").all():
            scale = "Scale the columns of X (StandardScaler), raise max_steps,"
            if self.columns_ is not None:  # whose numbers the network standardises
                scale = (
                    "A variable pays only for what several columns have in common, and these may "
                    "have nothing. Raise max_steps,"
                )
            warn_user(
                f"All {self.n_components_} latent variables are passive: the codes carry no "
                f"information. {scale} lower the weight of the KL divergence in `objective`, or "
                "choose a likelihood that fits the data.",
                CollapseWarning,
            )
