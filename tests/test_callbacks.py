"""Truths about progress: callbacks see every fit and every epoch and leave nothing behind."""

import io
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from conftest import small_encoder
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, VAEEncoder
from passive_pruner.datasets import make_posterior
from passive_pruner.training import _log

callback = pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")

ESTIMATORS = {
    "encoder": small_encoder(),
    "pretrained": PretrainedEncoder(second_output="variance"),
    "remover": PassiveVariableRemover(),
}


@pytest.fixture(scope="module")
def codes():
    """Codes and their variances: a table that each of the estimators can be fitted on."""
    posterior, _ = make_posterior(["active", "passive"], random_state=0)
    return np.hstack(posterior)


class Recorder:
    """Keeps what callbacks are told; asks to stop after some epochs."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events = []
        self.scores = []
        self.open = 0

    def setup(self, estimator, context):
        self.open += 1

    def teardown(self, estimator, context):
        self.open -= 1

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.events.append(("end", context.estimator_name, context.task_name))
        if hasattr(fitted_estimator, "score") and context.estimator_name == "VAEEncoder":
            self.scores.append((fitted_estimator.n_steps_, fitted_estimator.score(X)))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after

    def count(self, *event):
        return self.events.count(event)


def test_every_epoch_is_a_task_with_a_fitted_encoder(cancer):
    X, y = cancer
    recorder = Recorder()
    encoder = small_encoder(max_steps=250, early_stopping=False).set_callbacks(recorder).fit(X, y)
    epoch = [("begin", "VAEEncoder", "epoch"), ("end", "VAEEncoder", "epoch")]
    fit = [("begin", "VAEEncoder", "fit"), ("end", "VAEEncoder", "fit")]
    assert recorder.events == [fit[0], *epoch * 3, fit[1]]
    steps, scores = zip(*recorder.scores, strict=True)
    assert steps == (100, 200, 250, 250)
    assert scores[-1] == scores[-2] == encoder.score(X)
    assert scores[0] < scores[-1]
    assert recorder.open == 0


def test_callbacks_change_nothing(cancer):
    X, y = cancer
    params = {"max_steps": 250, "warm_start": True}
    plain = small_encoder(**params).fit(X).fit(X)
    watched = small_encoder(**params).set_callbacks(Recorder()).fit(X, y).fit(X, y)
    assert joblib.hash(watched.set_callbacks().weights_) == joblib.hash(plain.weights_)
    assert [r["step"] for r in watched.history_] == [r["step"] for r in plain.history_]


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_callback_can_end_training(cancer, early_stopping):
    X, _ = cancer
    encoder = small_encoder(max_steps=1000, early_stopping=early_stopping)
    encoder.set_callbacks(Recorder(stop_after=2)).fit(X)
    assert encoder.n_iter_ == 2
    assert encoder.n_steps_ == 200
    assert np.isfinite(encoder.transform(X)).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fit_leaves_only_the_callbacks_that_were_set(name, codes):
    plain = clone(ESTIMATORS[name]).fit(codes)
    watched = clone(ESTIMATORS[name]).set_callbacks(Recorder()).fit(codes)
    assert vars(watched).keys() - vars(plain).keys() == {"_skl_callbacks"}
    watched.set_callbacks()
    assert vars(watched).keys() == vars(plain).keys()
    copies = (pickle.loads(pickle.dumps(estimator)) for estimator in (watched, plain))
    assert vars(next(copies)).keys() == vars(next(copies)).keys()


def test_hash_of_an_estimator_does_not_depend_on_a_fit_that_was_watched(codes):
    remover, watched = PassiveVariableRemover(), PassiveVariableRemover()
    watched.set_callbacks(Recorder()).fit(codes).set_callbacks()
    assert joblib.hash(watched) == joblib.hash(remover.fit(codes))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_callbacks_are_closed_when_fit_fails(name):
    recorder = Recorder()
    estimator = clone(ESTIMATORS[name]).set_callbacks(recorder)
    before = vars(estimator).copy()
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(np.full((5, 4), np.nan))
    assert recorder.open == 0
    assert vars(estimator) == before


def test_partial_fit_is_a_task(codes):
    recorder = Recorder()
    encoder = small_encoder(batch_size=5).set_callbacks(recorder).partial_fit(codes)
    assert recorder.count("end", "VAEEncoder", "epoch") == encoder.n_iter_ == 2
    PassiveVariableRemover().set_callbacks(recorder).partial_fit(codes)
    assert recorder.count("end", "PassiveVariableRemover", "fit") == 1
    assert recorder.open == 0


def test_one_training_finds_the_width_under_the_eyes_of_callbacks(cancer):
    X, _ = cancer
    recorder = Recorder()
    encoder = small_encoder(n_components="auto", max_steps=300).set_callbacks(recorder).fit(X)
    assert recorder.count("begin", "VAEEncoder", "fit") == 1
    # The cut is in the history, but is no epoch of training.
    assert recorder.count("end", "VAEEncoder", "epoch") == len(encoder.history_) - 1
    assert recorder.open == 0


def test_progress_nests_through_a_cached_grid(cancer, tmp_path, capsys):
    X, y = cancer
    steps = [
        ("enc", small_encoder(n_components=16, max_steps=200)),
        ("prune", PassiveVariableRemover()),
        ("clf", LogisticRegression(max_iter=1000)),
    ]
    grid = GridSearchCV(
        Pipeline(steps, memory=str(tmp_path)), {"prune__threshold": [0, 0.01, 0.05]}, cv=3
    )
    recorder = Recorder()
    grid.set_callbacks(recorder, callback.ProgressBar(max_propagation_depth=None))
    with patch.object(VAEEncoder, "fit", autospec=True, side_effect=VAEEncoder.fit) as fit:
        grid.fit(X, y)
    assert fit.call_count == recorder.count("end", "VAEEncoder", "fit") == 3 + 1
    assert recorder.count("end", "VAEEncoder", "epoch") == (3 + 1) * 2
    assert recorder.count("end", "PassiveVariableRemover", "fit") == 3 * 3 + 1
    assert recorder.open == 0
    printed = capsys.readouterr().out
    assert "VAEEncoder - fit" in printed
    assert "\x1b" not in printed
    assert not hasattr(grid.best_estimator_["enc"], "_skl_callbacks")


def test_progress_comes_from_other_processes(cancer, tmp_path, capsys):
    X, y = cancer
    steps = [("enc", small_encoder()), ("clf", LogisticRegression(max_iter=1000))]
    pipe = Pipeline(steps, memory=str(tmp_path))
    grid = GridSearchCV(pipe, {"clf__C": [0.1, 1]}, cv=2, n_jobs=2)
    grid.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(X, y)
    assert capsys.readouterr().out.count("VAEEncoder - fit") >= 2 + 1


def test_scoring_monitor_logs_the_elbo_of_every_epoch(cancer):
    X, y = cancer
    monitor = callback.ScoringMonitor(scoring={"elbo": lambda encoder, X, y: encoder.score(X)})
    encoder = small_encoder(max_steps=300).set_callbacks(monitor)
    make_pipeline(encoder, LogisticRegression(max_iter=1000)).fit(X, y)
    logs = monitor.get_logs().data_as_pandas
    assert logs["task_name"].tolist().count("epoch") == 3
    assert logs["elbo"].notna().all()


@pytest.mark.parametrize("scale", [1, 1e4])
def test_verbose_prints_one_aligned_line_per_epoch(cancer, capsys, scale):
    X, _ = cancer
    encoder = small_encoder(verbose=1, max_steps=250).fit(X * scale)
    titles, *lines = capsys.readouterr().out.splitlines()
    assert titles.split("  ")[-1] == "ETA at most"
    assert titles.split()[:7] == [
        "epoch",
        "step",
        "ELBO",
        "reconstruction",
        "KL",
        "active",
        "seconds",
    ]
    assert {len(line) for line in [titles, *lines]} == {len(titles)}
    assert "\x1b" not in "".join(lines)
    # The columns end where their titles end.
    ends = [match.end() for match in re.finditer(r"ETA at most|\S+", titles)]
    for line, record in zip(lines, encoder.history_, strict=True):
        assert [match.end() for match in re.finditer(r"\S+", line)] == ends
        epoch, step, elbo, _, kl, n_active, *_ = line.split()
        assert (int(epoch), int(step)) == (record["epoch"], record["step"])
        assert float(elbo) == pytest.approx(record["elbo"], rel=5e-3)
        assert float(kl) == pytest.approx(record["kl"], rel=5e-3)
        assert int(n_active) == record["n_active"]
    assert lines[-1].endswith(" 0:00:00")


def test_a_scikit_learn_without_callbacks_does_as_well():
    code = """
import sys
import sklearn.pipeline  # needs the module that is hidden below
sys.modules["sklearn.callback"] = None
from passive_pruner._common._callbacks import CallbackSupportMixin, fit_task, without_callbacks
from sklearn.base import BaseEstimator

class Estimator(CallbackSupportMixin, BaseEstimator):
    pass

assert not hasattr(Estimator, "set_callbacks")
with fit_task(without_callbacks(Estimator()), None, None, n_epochs=3) as task:
    task.begin_epoch()
    assert task.end_epoch(dict) is False
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal in which nobody has patience."""
    stream = Terminal()
    # pytest puts its own streams into the module itself.
    monkeypatch.setattr(_log, "sys", SimpleNamespace(stderr=stream, modules=sys.modules))
    monkeypatch.setattr(_log, "PATIENCE", 0.0)
    return stream


def test_who_waits_at_a_terminal_sees_one_line_that_is_gone_at_the_end(cancer, capsys, terminal):
    encoder = small_encoder(max_steps=200).fit(cancer[0])
    shown = terminal.getvalue().split("\r")
    for line, record in zip(shown[1:], encoder.history_, strict=False):
        assert line.startswith(f"VAEEncoder: step {record['step']} of at most 200, ELBO ")
    assert shown[-2].strip() == shown[-1] == ""
    assert len(shown[-2]) == len(shown[-3])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("why", ["patience", "silent", "pipe", "thread", "callback"])
def test_otherwise_training_says_nothing(cancer, terminal, monkeypatch, why):
    encoder = small_encoder(max_steps=100, verbose=0 if why == "silent" else "auto")
    if why == "patience":
        monkeypatch.setattr(_log, "PATIENCE", 100.0)
    if why == "pipe":
        monkeypatch.setattr(Terminal, "isatty", lambda self: False)
    if why == "callback":
        encoder.set_callbacks(Recorder())
    if why == "thread":
        with ThreadPoolExecutor(1) as threads:
            threads.submit(encoder.fit, cancer[0]).result()
    else:
        encoder.fit(cancer[0])
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("error", [None, ValueError, OSError])
def test_training_goes_on_where_the_line_cannot_be_written(cancer, terminal, monkeypatch, error):
    expected = small_encoder().fit_transform(cancer[0])
    if error is None:
        terminal.close()
    else:  # a terminal that goes away

        def write(self, text):
            raise error

        monkeypatch.setattr(Terminal, "write", write)
    np.testing.assert_array_equal(small_encoder().fit_transform(cancer[0]), expected)


@pytest.mark.parametrize("stream", [None, SimpleNamespace(write=print)])
def test_streams_that_are_no_files_are_no_terminals(monkeypatch, stream):
    monkeypatch.setattr(_log, "sys", SimpleNamespace(stderr=stream, modules={}))
    assert _log.progress_log("auto") is None


def test_a_notebook_is_watched(monkeypatch):
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert isinstance(_log.progress_log("auto"), _log.WaitingLine)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert _log.progress_log("auto") is None


@pytest.mark.parametrize("name", ["encoder", "remover"])
def test_callbacks_are_told_the_weights_of_rows(codes, name):
    class KeepsMetadata(Recorder):
        metadata = "none"

        def on_fit_task_begin(self, estimator, context, *, metadata):
            self.metadata = metadata

    recorder = KeepsMetadata()
    X, weights = codes[:, :2], np.ones(len(codes))
    estimator = clone(ESTIMATORS[name]).set_callbacks(recorder)
    estimator.fit(X, sample_weight=weights)
    assert recorder.metadata == {"sample_weight": weights}
    estimator.fit(X)
    assert recorder.metadata is None
