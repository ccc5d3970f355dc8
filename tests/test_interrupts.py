"""An interrupt or a divergence leaves the former state, or a model that its history describes."""

import copy
import warnings
from contextlib import contextmanager
from unittest.mock import patch

import dask.array as da
import joblib
import numpy as np
import pytest
from conftest import small_encoder
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from passive_pruner import VAEEncoder, _trained
from passive_pruner.exceptions import DivergenceWarning, TrainingInterruptedWarning
from passive_pruner.training import _training
from passive_pruner.vae import BetaVAE


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(200, 3)) @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(200, 6))


def encoder_of(**params):
    return small_encoder(**{"objective": BetaVAE(0.1), "early_stopping": False, **params})


def epochs(encoder):
    return [record["epoch"] for record in encoder.history_]


class Interrupting:
    """Raises an error in the n-th call of any of the functions that it is put before."""

    def __init__(self, n, error=KeyboardInterrupt):
        self.n = n
        self.error = error
        self.calls = 0

    def before(self, function):
        def called(*args, **kwargs):
            self.calls += 1
            if self.calls == self.n:
                raise self.error
            return function(*args, **kwargs)

        return called


PLACES = {
    "step": [(_training.VAENet, "train_step")],
    "evaluation": [(_training.VAENet, "evaluate"), (_training, "mean_over_processes")],
    "records": [
        (_training, "_record"),
        (_training, "copy_of_weights"),
        (_training.BestEpoch, "compare"),
        (_training.VAENet, "notify"),
        (_training.VAENet, "fit_loop"),
    ],
    "end": [
        (_training.Training, "_export_state"),
        (VAEEncoder, "_freeze"),
        (VAEEncoder, "_warn_if_collapsed"),
    ],
}


@contextmanager
def interrupted(place, n):
    interrupting = Interrupting(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingInterruptedWarning)
        patches = [
            patch.object(owner, name, interrupting.before(getattr(owner, name)))
            for owner, name in PLACES[place]
        ]
        for one in patches:
            one.start()
        try:
            yield interrupting
        finally:
            for one in patches:
                one.stop()


@contextmanager
def epochs_of(n_steps):
    """Epochs of fewer steps, so that fewer steps have as many places."""
    with patch.object(_trained, "EPOCH_STEPS", n_steps):
        yield


def fingerprint(encoder):
    return joblib.hash({k: v for k, v in vars(encoder).items() if k.endswith("_")})


@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("former", [False, True], ids=["first fit", "warm start"])
def test_an_interrupt_leaves_the_former_state_or_a_model_of_its_history(
    place, early_stopping, former, data
):
    params = {"warm_start": True, "early_stopping": early_stopping, "tol": 0.0}
    template = encoder_of(**params, max_steps=12)
    with epochs_of(4):
        if former:
            template.fit(data)
        undisturbed = copy.deepcopy(template).fit(data)
        outcomes = set()
        for n in range(1, 60):
            encoder = copy.deepcopy(template)
            before = fingerprint(encoder)
            with interrupted(place, n) as interrupting:
                try:
                    encoder.fit(data)
                except KeyboardInterrupt:
                    outcomes.add("former")
                    assert fingerprint(encoder) == before
                    continue
            if interrupting.calls < n:
                break
            outcomes.add("kept")
            assert_consistent(encoder, undisturbed)
            at_best = copy.deepcopy(template)
            steps = encoder.history_[encoder.best_epoch_ - 1]["step"] - 12 * former
            at_best.set_params(max_steps=steps, early_stopping=False)
            if not early_stopping:  # otherwise other rows are trained on
                np.testing.assert_array_equal(
                    at_best.fit(data).transform(data), encoder.transform(data)
                )
    assert "former" in outcomes
    assert interrupting.calls < n


def assert_consistent(encoder, undisturbed):
    """Attributes agree with each other and with the fit that nothing interrupted."""
    assert epochs(encoder) == list(range(1, encoder.n_iter_ + 1))
    assert encoder.n_iter_ == len(encoder.history_)
    assert encoder.n_steps_ == encoder.history_[-1]["step"]
    assert not any(value.flags.writeable for value in encoder.weights_.values())
    for record, expected in zip(encoder.history_, undisturbed.history_, strict=False):
        assert record["objective"] == expected["objective"]
    objective = [record["objective"] for record in encoder.history_]
    if encoder.early_stopping:
        assert encoder.best_epoch_ <= encoder.n_iter_
        of_this_call = objective[-3:] if len(objective) > 3 else objective
        assert objective[encoder.best_epoch_ - 1] <= max(of_this_call)
    else:
        assert encoder.best_epoch_ == encoder.n_iter_


@pytest.mark.parametrize("place", ["step", "evaluation", "end"])
def test_an_interrupted_partial_fit_leaves_the_former_state(place, data):
    template = encoder_of(batch_size=8).partial_fit(data)
    before = fingerprint(template)
    with epochs_of(10):
        for n in (1, 2, 12, 24):
            encoder = copy.deepcopy(template)
            with interrupted(place, n) as interrupting:
                try:
                    encoder.partial_fit(data)
                except KeyboardInterrupt:
                    assert fingerprint(encoder) == before
                else:
                    assert interrupting.calls < n


def test_ctrl_c_ends_a_pass_over_blocks(data):
    encoder = encoder_of(batch_size=10)
    blocks = da.from_array(np.tile(data, (4, 1)), chunks=(200, -1))
    with (
        epochs_of(5),
        interrupted("step", 30) as interrupting,
        pytest.raises(KeyboardInterrupt),
    ):
        encoder.partial_fit(blocks)
    assert interrupting.calls == 30
    with pytest.raises(NotFittedError):
        encoder.transform(data)


class DivergesAt(BetaVAE):
    """Becomes NaN at a step."""

    def __init__(self, beta=1.0, at=0):
        super().__init__(beta)
        self.at = at

    def regularizer(self, codes, *, step=0):
        return super().regularizer(codes) * (float("nan") if self.at <= step < 400 else 1.0)


@pytest.mark.parametrize("at", [130, 199, 250])
@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_divergence_leaves_a_model_of_its_history(at, early_stopping, data):
    encoder = encoder_of(objective=DivergesAt(0.1, at), max_steps=400)
    encoder.set_params(early_stopping=early_stopping)
    with pytest.warns(DivergenceWarning, match=f"kept step {at // 100 * 100}"):
        encoder.fit(data)
    n_epochs = at // 100
    assert epochs(encoder) == list(range(1, n_epochs + 1))
    undisturbed = clone(encoder).set_params(
        objective=DivergesAt(0.1, 400), max_steps=100 * encoder.best_epoch_
    )
    undisturbed.fit(data)
    np.testing.assert_array_equal(encoder.transform(data), undisturbed.transform(data))
