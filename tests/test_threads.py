"""Numbers do not depend on threads, and settings of threads stay as they were."""

import os
import threading
import time
from contextlib import contextmanager, nullcontext

import joblib
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from passive_pruner import VAEEncoder
from passive_pruner._common._rows import Rows
from passive_pruner.vae import Conv, _threads
from passive_pruner.vae._random import plain_torch
from passive_pruner.vae._threads import one_thread, share

X = np.random.default_rng(0).standard_normal((1500, 32), dtype=np.float32).cumsum(axis=1)
# Large enough that torch shares its matrix products among the threads that it has.
PARAMS = {"n_components": 8, "batch_size": 512, "max_steps": 8, "device": "cpu", "random_state": 0}


@contextmanager
def torch_threads(count):
    """Another count of threads in torch, for this test."""
    former = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(former)


def in_new_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def fitted_arrays(**params):
    encoder = VAEEncoder(**PARAMS, **params).fit(X)
    return [*encoder.weights_.values(), encoder.transform(X)]


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, other)


def n_computing(function):
    """CPU time of the process per CPU time of this thread."""
    function()
    process, thread = time.process_time(), time.thread_time()
    for _ in range(3):
        function()
    return (time.process_time() - process) / (time.thread_time() - thread)


def settings():
    counts = {name: value for name, value in os.environ.items() if "THREADS" in name}
    return torch.get_num_threads(), in_new_thread(torch.get_num_threads), counts


@pytest.mark.parametrize("count", [1, 2, 3])
def test_settings_are_left_as_they_were(count):
    with torch_threads(count):
        before = settings()
        encoder = VAEEncoder(**PARAMS).fit(X)
        encoder.transform(X)
        encoder.score(X)
        assert settings() == before
        with pytest.raises(ValueError, match="no finite code"):
            encoder.transform(np.full((1, 32), 1e300))
        with pytest.raises(ZeroDivisionError), plain_torch(grad=True), plain_torch(grad=False):
            assert torch.get_num_threads() == 1
            assert in_new_thread(torch.get_num_threads) == count
            raise ZeroDivisionError
        assert settings() == before


@pytest.mark.parametrize("set_by", ["torch", "openmp"])
def test_one_thread_computes(set_by):
    a = torch.randn(1200, 1200, generator=torch.Generator().manual_seed(0))
    image = a[:1024, :1024].reshape(16, 16, 64, 64)
    layer = torch.nn.Conv2d(16, 16, 3)
    limits = threadpool_limits(2, user_api="openmp") if set_by == "openmp" else torch_threads(2)
    with limits, torch.no_grad():
        for work in (lambda: a @ a, lambda: layer(image), lambda: (a * a).exp()):
            with one_thread():
                assert n_computing(work) < 1.2
        assert n_computing(lambda: layer(image)) > 1.2
        if set_by == "torch":  # which sets MKL's own count as well
            assert n_computing(lambda: a @ a) > 1.2


@pytest.mark.parametrize("architecture", [None, Conv((8, 4, 1), channels=(8,), hidden_size=16)])
def test_the_same_seed_gives_the_same_model_whatever_the_threads(architecture):
    def fit():
        return fitted_arrays(architecture=architecture)

    with torch_threads(1):
        expected = fit()
    with torch_threads(2):
        assert_same(fit(), expected)
        assert_same(in_new_thread(fit), expected)
        with threadpool_limits(2):
            assert_same(fit(), expected)
        with threadpool_limits(1):
            assert_same(fit(), expected)
        for arrays in joblib.Parallel(n_jobs=2, prefer="threads")(
            joblib.delayed(fit)() for _ in "ab"
        ):
            assert_same(arrays, expected)


@pytest.fixture
def helpers(monkeypatch):
    """Three cores, and every table worth sharing; gives the threads that read chunks."""
    monkeypatch.setattr(_threads, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    readers = set()
    read = Rows.__getitem__

    def getitem(self, index):
        readers.add(threading.get_ident())
        time.sleep(1e-3)  # gives the others the time to take one
        return read(self, index)

    monkeypatch.setattr(Rows, "__getitem__", getitem)
    return readers


def test_shared_rows_are_those_of_one_thread(helpers):
    encoder = VAEEncoder(**PARAMS).fit(X)
    table = np.tile(X, (8, 1))
    with torch_threads(1):
        expected = [encoder.transform(table), encoder.score_samples(X)]
        expected.append(encoder.inverse_transform(expected[0]))
    helpers.clear()
    before = threading.active_count()
    with torch_threads(3):
        codes = encoder.transform(table)
        assert len(helpers) == 3
        shared = [codes, encoder.score_samples(X), encoder.inverse_transform(codes)]
    assert_same(shared, expected)
    assert threading.active_count() == before


def test_the_first_row_without_a_code_is_named(helpers):
    encoder = VAEEncoder(**PARAMS).fit(X)
    table = np.tile(X, (8, 1)).astype(float)
    table[[3000, 5000, 7000, 11_000]] = 1e300
    before = threading.active_count()
    with torch_threads(3), pytest.raises(ValueError, match="Row 3000 of X"):
        encoder.transform(table)
    assert threading.active_count() == before


def test_an_interrupt_ends_the_helpers(monkeypatch):
    monkeypatch.setattr(_threads, "WORTH_SHARING", 0.0)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    caller, done, before = threading.get_ident(), [], threading.active_count()

    def work(item):
        if item and threading.get_ident() == caller:
            raise KeyboardInterrupt
        time.sleep(1e-3)
        done.append(item)

    with pytest.raises(KeyboardInterrupt):
        share(work, range(10_000), 3, nullcontext)
    assert len(done) < 10_000
    assert threading.active_count() == before


def test_short_work_is_not_shared():
    threads = set()
    share(lambda item: threads.add(threading.get_ident()), range(100), 8, nullcontext)
    assert threads == {threading.get_ident()}
