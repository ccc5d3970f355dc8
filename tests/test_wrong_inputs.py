"""What is wrong is an error of a known class that names it, and changes nothing."""

import json
import os

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from conftest import small_encoder

from passive_pruner import PassiveVariableRemover, PretrainedEncoder
from passive_pruner.datasets import load_dsprites, make_posterior, make_sprites
from passive_pruner.explore import Explorer
from passive_pruner.metrics import (
    active_units,
    beta_vae_score,
    factor_vae_score,
    gaussian_total_correlation,
    modularity,
    mutual_information_gap,
    mutual_information_score,
)
from passive_pruner.onnx import feeds
from passive_pruner.plots import (
    CorrelationDisplay,
    ReconstructionDisplay,
    ScreeDisplay,
    ThresholdDisplay,
    TrainingDisplay,
    TraversalDisplay,
    VariableTypesDisplay,
)
from passive_pruner.regime import CRITERIA, LatentMoments, compare, report, standard_errors
from passive_pruner.study import correlation_by_type, evaluate_subsets
from passive_pruner.vae import MLP, BetaVAE, Gaussian, Mixed

RNG = np.random.default_rng(0)
X = (RNG.standard_normal((60, 3)) @ RNG.standard_normal((3, 8))).astype(np.float32)
X += 0.3 * RNG.standard_normal(X.shape).astype(np.float32)
Y = np.arange(60) % 2
FRAME = pd.DataFrame(X, columns=[f"column {j}" for j in range(8)])
TYPES = ["active", "passive", "mixed"]
POSTERIOR, _ = make_posterior(TYPES, n_samples=60, random_state=0)
MOMENTS = LatentMoments.from_batch(*POSTERIOR)
SPRITES = make_sprites(16, n_scales=1, n_orientations=2, n_positions=2)
BIG = 10**9
SEARCHED = {
    "params": [{"threshold": 0.0}, {"threshold": 0.1}],
    "mean_test_score": np.array([0.5, 0.6]),
    "std_test_score": np.zeros(2),
    **{f"split{i}_test_score": np.array([0.5, 0.6]) for i in range(2)},
}


def encoder_of(**params):
    return small_encoder(**{"n_components": 3, "max_steps": 30, "init": "random", **params})


@pytest.fixture(scope="module")
def encoder():
    return encoder_of(architecture=MLP((8,))).fit(X)


def fit(**params):
    return lambda encoder: encoder_of(**params).fit(X)


def column(value):
    cells = FRAME["column 2"].tolist()
    cells[3] = value
    return FRAME.assign(**{"column 2": cells})


#: What is called with a fitted encoder -> class, part of the message.
CASES = {
    # parameters
    "n_components=True": (fit(n_components=True), ValueError, "'n_components'.*True"),
    "batch_size=True": (fit(batch_size=True), ValueError, "'batch_size'.*True"),
    "learning_rate=True": (fit(learning_rate=True), ValueError, "'learning_rate'.*True"),
    "random_state=True": (fit(random_state=True), ValueError, "'random_state'.*True"),
    "learning_rate=nan": (fit(learning_rate=np.nan), ValueError, "'learning_rate'.*nan"),
    "device": (fit(device="cpu:7"), ValueError, "device='cpu:7' is not available"),
    "n_components=1e9": (fit(n_components=BIG * 1000), MemoryError, "no memory for.*variables"),
    "layers of 1e12": (fit(architecture=MLP((BIG * 1000,))), MemoryError, "no memory for.*MLP"),
    "layers in no order": (fit(architecture=MLP({8, 4})), ValueError, "list sizes in an order"),
    "layers of True": (fit(architecture=MLP((True,))), ValueError, "hidden_layer_sizes.*True"),
    "beta=True": (fit(objective=BetaVAE(True)), ValueError, "'beta'.*True"),
    "variance=1e-300": (fit(likelihood=Gaussian(1e-300)), ValueError, "'variance'.*1e-300"),
    "variance=1e300": (fit(likelihood=Gaussian(1e300)), ValueError, "'variance'.*1e[+]300"),
    "parts of None": (
        fit(likelihood=Mixed([("gaussian", None)])), ValueError, "part of Mixed.*got None",
    ),
    "threshold=True": (
        lambda _: PassiveVariableRemover(threshold=True).fit(X), ValueError, "'threshold'.*True",
    ),
    # data
    "Series": (lambda _: encoder_of().fit(FRAME["column 1"]), ValueError, "a Series named 'column"),
    "text": (lambda _: encoder_of().fit(column("a")), ValueError, "'column 2' of X has text"),
    "dict": (lambda _: encoder_of().fit(column({1: 2})), ValueError, "'column 2' of X has cells"),
    "NaN": (lambda _: encoder_of().fit(column(np.nan)), ValueError, "row 3 of column 'column 2'"),
    "inf": (lambda _: encoder_of().fit(column(np.inf)), ValueError, "row 3 of column 'column 2'"),
    "complex": (lambda _: encoder_of().fit(X + 1j), ValueError, "[Cc]omplex"),
    "no rows": (lambda _: encoder_of().fit(X[:0]), ValueError, "0 sample"),
    "one row": (lambda _: encoder_of().fit(X[:1]), ValueError, "1 sample"),
    "ragged": (lambda _: encoder_of().fit([[1, 2], [3]]), ValueError, "2D array of numbers"),
    "tiny": (
        lambda _: encoder_of().fit(FRAME.assign(small=X[:, 0] * 1e-25)), ValueError,
        "column 'small' lie within .*StandardScaler",
    ),
    "below float32": (
        lambda _: encoder_of().fit(FRAME.assign(small=X[:, 0].astype(float) * 1e-60)), ValueError,
        "column 'small' lie within .*StandardScaler",
    ),
    "huge": (
        lambda _: encoder_of().fit(FRAME.assign(large=X[:, 0] * 1e20)), ValueError,
        "column 'large' lie within .*StandardScaler",
    ),
    "class": (lambda _: encoder_of().fit(np.ndarray), TypeError, "got the class ndarray"),
    "class of codes": (
        lambda _: PassiveVariableRemover().fit(np.ndarray), TypeError, "got the class ndarray",
    ),
    "class for a module": (
        lambda _: PretrainedEncoder(torch.nn.Linear(8, 4)).fit(np.ndarray), TypeError,
        "got the class ndarray",
    ),
    "tensor with a gradient": (
        lambda e: e.transform(torch.tensor(X, requires_grad=True)), ValueError, r"X\.detach\(\)",
    ),
    "bfloat16": (lambda e: e.fit(torch.tensor(X).bfloat16()), ValueError, r"float\(\)\.numpy"),
    "codes of text": (
        lambda e: e.inverse_transform(pd.DataFrame({"a": ["x"]})), ValueError,
        "Z must be codes of 3 columns.*'x'",
    ),
    "keep of several lengths": (lambda e: e.pruned([[1], [0, 2]]), ValueError, "keep must be a ma"),
    "too few columns": (lambda e: e.transform(X[:, :3]), ValueError, "3 features.*expecting 8"),
    "codes of another width": (lambda e: e.inverse_transform(X), ValueError, "Z has 8 columns"),
    "keep": (lambda e: e.pruned([0, 0]), ValueError, "distinct numbers"),
    "sample(True)": (lambda e: e.sample(True), TypeError, "n_samples must be a number"),
    "sample(1.5)": (lambda e: e.sample(1.5), TypeError, "n_samples must be an instance of int"),
    "sample(1e13)": (lambda e: e.sample(10**13), MemoryError, "10000000000000 rows of 8"),
    # models from elsewhere
    "no file": (
        lambda _: PretrainedEncoder("no.onnx").fit(X), FileNotFoundError, "'no.onnx' is not a file",
    ),
    "module of another width": (
        lambda _: PretrainedEncoder(torch.nn.Linear(5, 4)).fit(X), ValueError, "Check that X has",
    ),
    "complex posterior": (
        lambda _: PretrainedEncoder(lambda x: (x + 1j, x)).fit(X), ValueError, "complex numbers",
    ),
    # moments and criteria
    "moments of variances": (
        lambda _: LatentMoments.from_batch(pd.DataFrame({"a0_variance": [1.0, 2.0]})), ValueError,
        "'a0_variance', whose name says",
    ),
    "moments of draws": (
        lambda _: LatentMoments.from_batch(pd.DataFrame({"a0_sampled": [1.0, 2.0]})), ValueError,
        "'a0_sampled', whose name says.*sampled=True",
    ),
    "variances of draws": (
        lambda _: LatentMoments.from_batch(X[:2, :1], pd.DataFrame({"a_sampled": [1.0, 2.0]})),
        ValueError, "variance has the column 'a_sampled'",
    ),
    "masked codes": (
        lambda _: LatentMoments.from_batch(np.ma.masked_less(X, 0)), ValueError, "masked entries",
    ),
    "codes of several lengths": (
        lambda _: LatentMoments.from_batch([[1.0], [1.0, 2.0]]), ValueError, "mean must be real",
    ),
    "units of None": (
        lambda _: CRITERIA["variance"].check_units(None), TypeError, "must be LatentMoments",
    ),
    "read None": (lambda _: CRITERIA["kl"].read(None), TypeError, "must be LatentMoments"),
    "drop": (
        lambda _: CRITERIA["variance"].q_values(MOMENTS, 0.1, drop=3), TypeError, "drop must be.*3",
    ),
    "criterion of compare": (
        lambda _: compare(MOMENTS, MOMENTS, criterion=["kl"]), ValueError, "criterion must be one",
    ),
    "names of compare": (
        lambda _: compare(MOMENTS, MOMENTS, names=3), ValueError, "names must have.*got 3",
    ),
    "merge": (lambda _: MOMENTS.merge(None), TypeError, "other must be LatentMoments"),
    "compare": (lambda _: compare(MOMENTS, 3), TypeError, "now must be LatentMoments"),
    "report": (lambda _: report(X, TYPES), TypeError, "moments must be LatentMoments"),
    "report of a number": (lambda _: report(MOMENTS, 3), ValueError, "types must have one entry"),
    "names of a number": (
        lambda _: report(MOMENTS, TYPES, names=3), ValueError, "names must have one entry",
    ),
    "standard errors": (lambda _: standard_errors(X), TypeError, "moments must be LatentMoments"),
    # metrics
    "n_bins=1e9": (lambda _: mutual_information_score(X, BIG), ValueError, "n_bins=1000000000"),
    "gap n_bins": (lambda _: mutual_information_gap(X, Y[:, None], BIG), ValueError, "n_bins="),
    "modularity n_bins": (
        lambda _: modularity(X, np.stack([Y, Y], 1), BIG), ValueError, "n_bins=1000000000",
    ),
    "n_bins=True": (lambda _: mutual_information_score(X, True), TypeError, "n_bins.*True"),
    "levels of 1e30": (
        lambda _: mutual_information_gap(X, Y[:, None] * 1e30), ValueError, "holds the level 1",
    ),
    "active_units(nan)": (lambda _: active_units(X, np.nan), ValueError, "threshold.*nan"),
    "active_units(inf)": (lambda _: active_units(X, np.inf), ValueError, "threshold.*inf"),
    "no function": (lambda _: factor_vae_score(None, SPRITES), TypeError, "encode must be a fun"),
    "no data set": (lambda _: beta_vae_score(len, None), TypeError, "dataset must have"),
    "batches of 1e9": (
        lambda _: factor_vae_score(len, SPRITES, batch_size=BIG), ValueError, "batch_size",
    ),
    "metric of text": (
        lambda _: active_units(pd.DataFrame({"a": ["x", "y"]})), ValueError,
        "mean_codes must be real numbers.*'x'",
    ),
    "metric of dates": (
        lambda _: mutual_information_score(X.astype("M8[s]")), ValueError,
        "codes must be real numbers, got datetime64",
    ),
    "weights of dates": (
        lambda _: LatentMoments.from_batch(X, sample_weight=Y.astype("M8[s]")), ValueError,
        "sample_weight must be real numbers, got datetime64",
    ),
    "covariance of several lengths": (
        lambda _: gaussian_total_correlation([[1.0], [1.0, 2.0]]), ValueError, "cov must be a squ",
    ),
    "complex covariance": (
        lambda _: gaussian_total_correlation(np.eye(2) + 0j), ValueError, "complex128",
    ),
    # data sets
    "make_posterior(True)": (
        lambda _: make_posterior(TYPES, n_samples=True), TypeError, "n_samples must be a number",
    ),
    "sprites.sample(True)": (lambda _: SPRITES.sample(True), TypeError, "n must be a number"),
    "text as dSprites": (lambda _: load_dsprites(__file__), ValueError, "it is no .npz archive"),
    "indices of several lengths": (
        lambda _: SPRITES.factors_of([[1], [1, 2]]), ValueError, "indices must be integers",
    ),
    # study
    "types of no encoder": (
        lambda _: correlation_by_type({1: "a"}, X), TypeError, "encoder must be a fitted.*'a'",
    ),
    "n_examples": (
        lambda e: evaluate_subsets(e, X, Y, n_examples=-5), ValueError, "'n_examples'.*-5",
    ),
    "test_size": (lambda e: evaluate_subsets(e, X, Y, test_size=2), ValueError, "'test_size'.* 2"),
    "threshold of types": (
        lambda e: correlation_by_type({1: e}, X, threshold=-1), ValueError, "threshold.*-1",
    ),
    # displays
    "scree lengths": (lambda _: ScreeDisplay([0.5, 0.3], TYPES).plot(), ValueError, "types must"),
    "scree NaN": (lambda _: ScreeDisplay([np.nan] * 3, TYPES).plot(), ValueError, "finite numbers"),
    "scree None": (lambda _: ScreeDisplay(None, TYPES).plot(), ValueError, "finite numbers"),
    "scree types": (lambda _: ScreeDisplay([0.5], ["x"]).plot(), ValueError, "got 'x'"),
    "scree names": (
        lambda _: ScreeDisplay([0.5, 0.3, 0.1], TYPES, names=["a"]).plot(), ValueError, "3 names",
    ),
    "correlation shapes": (
        lambda _: CorrelationDisplay(np.eye(3), np.eye(2), TYPES).plot(), ValueError, "one size",
    ),
    "correlation types": (
        lambda _: CorrelationDisplay.from_moments(MOMENTS, types=["active"]), ValueError, "types",
    ),
    "correlation of None": (
        lambda _: CorrelationDisplay.from_moments(None), TypeError, "must be LatentMoments",
    ),
    "types names": (
        lambda _: VariableTypesDisplay.from_moments(MOMENTS, names=3), ValueError, "3 names",
    ),
    "history": (lambda _: TrainingDisplay([]).plot(), ValueError, "history must have"),
    "rows": (
        lambda e: ReconstructionDisplay.from_estimator(e, X, rows=[500]), ValueError,
        r"rows must be numbers of rows from 0 to 59, got \[500\]",
    ),
    "rows of text": (
        lambda e: ReconstructionDisplay.from_estimator(e, X, rows="a"), ValueError, "got 'a'",
    ),
    "no rows to draw": (
        lambda e: ReconstructionDisplay.from_estimator(e, X, rows=[]), ValueError, "at least one",
    ),
    "image_shape of a number": (
        lambda e: ReconstructionDisplay.from_estimator(e, X, image_shape=8), ValueError, "got 8",
    ),
    "image_shape of another size": (
        lambda e: TraversalDisplay.from_estimator(e, X, image_shape=(3, 3)), ValueError,
        r"image_shape=\(3, 3\) has 9 values, but rows have 8",
    ),
    "negative image_shape": (
        lambda e: TraversalDisplay.from_estimator(e, X, image_shape=(-2, -4)), ValueError, "-2",
    ),
    "feature names": (
        lambda e: ReconstructionDisplay.from_estimator(e, X, feature_names=["a"]), ValueError,
        "feature_names must be 8 names",
    ),
    "row of a traversal": (
        lambda e: TraversalDisplay.from_estimator(e, X, row=500), ValueError, "row must be",
    ),
    "steps of a traversal": (
        lambda e: TraversalDisplay.from_estimator(e, X, n_steps=0), ValueError, "n_steps == 0",
    ),
    "range of a traversal": (
        lambda e: TraversalDisplay.from_estimator(e, X, max_value=np.nan), ValueError, "max_value",
    ),
    "axes of text": (
        lambda _: ScreeDisplay([0.5, 0.3, 0.1], TYPES).plot(ax="a"), TypeError, "ax must be.*'a'",
    ),
    "statistic in a list": (
        lambda _: TrainingDisplay([{"epoch": 0}]).plot(statistic=["a"]), ValueError,
        r"statistic must be one of.*\['a'\]",
    ),
    "criterion in a list": (
        lambda _: VariableTypesDisplay.from_moments(MOMENTS, criterion=["variance"]), ValueError,
        r"criterion must be one of.*\['variance'\]",
    ),
    "types of several lengths": (
        lambda _: ScreeDisplay([0.5], [["a"], ["a", "b"]]).plot(), ValueError, "types must be 1",
    ),
    "best index": (
        lambda _: ThresholdDisplay.from_cv_results(SEARCHED, best_index=2), ValueError,
        "best_index == 2",
    ),
    "remover of thresholds": (
        lambda _: ThresholdDisplay.from_cv_results(SEARCHED, remover="a"), TypeError,
        "remover must be a PassiveVariableRemover or None, got 'a'",
    ),
    # explorer and ONNX
    "no page": (lambda _: Explorer(None), TypeError, "page must be text of HTML, got None"),
    "port": (lambda _: Explorer("", port=10**6), ValueError, "port == 1000000"),
    "no session": (lambda _: feeds("a", X), TypeError, "session must be an onnx.*'a'"),
    # files
    "number as a path": (lambda e: e.load_weights(10**6), TypeError, "path must be.*1000000"),
    "True as a path": (lambda e: e.load_weights(True), TypeError, "path must be a str.*True"),
    "None as a path": (lambda e: e.save_weights(None), TypeError, "path must be a str.*None"),
    "null in a path": (lambda e: e.save_weights("a\0b"), ValueError, "path must be text"),
    "no path of dSprites": (lambda _: load_dsprites(None), TypeError, "path must be a str.*None"),
    "weights in a folder": (
        lambda e: e.save_weights(os.path.join(os.sep, "no", "w.st")), OSError, "/no/w.st'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.CollapseWarning")
@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged")
def test_what_is_wrong_is_named(case, encoder, agg_and_closed_figures):
    call, kind, message = CASES[case]
    before = encoder.transform(X)
    with pytest.raises(kind, match=f"(?s){message}"):
        call(encoder)
    np.testing.assert_array_equal(encoder.transform(X), before)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("threshold", [-1, np.nan, np.inf, "a", None, [0.1], True])
def test_a_threshold_is_a_number_of_at_least_0(criterion, threshold):
    with pytest.raises((TypeError, ValueError), match="threshold"):
        CRITERIA[criterion](MOMENTS, threshold)


@pytest.mark.parametrize(
    "content",
    [b"", b"rubbish", b"\xff" * 16, b"\x08\0\0\0\0\0\0\0{}", None],
    ids=["empty", "text", "large", "half", "cut"],
)
def test_a_file_that_holds_no_weights_is_named(content, encoder, tmp_path):
    path = tmp_path / "weights.safetensors"
    encoder.save_weights(path)
    path.write_bytes(path.read_bytes()[:-5] if content is None else content)
    before = encoder.transform(X)
    with pytest.raises(ValueError, match=r"weights\.safetensors (is no|does not hold)"):
        encoder.load_weights(path)
    np.testing.assert_array_equal(encoder.transform(X), before)
    with pytest.raises(OSError, match=str(tmp_path)):
        encoder.load_weights(tmp_path)


@pytest.mark.parametrize(
    "text", ["abc", "[1, 2]", '["a"]', "{}", "[NaN" + ", 1" * 7 + "]", "[" * 9999]
)
@pytest.mark.parametrize("key", ["origin", "code_scale", "explained_variance"])
def test_what_stands_beside_weights_is_checked(text, key, encoder, tmp_path):
    path = tmp_path / "weights.safetensors"
    tensors = {name: torch.tensor(value) for name, value in encoder.weights_.items()}
    safetensors.torch.save_file(tensors, path, metadata={f"passive_pruner_{key}": text})
    with pytest.raises(ValueError, match=f"'passive_pruner_{key}' must be [38] finite numbers"):
        encoder.load_weights(path)
    size = 8 if key == "origin" else 3
    right = {f"passive_pruner_{key}": json.dumps([1.0] * size)}
    safetensors.torch.save_file(tensors, path, metadata=right)
    taken = encoder.pruned([0, 1, 2]).load_weights(path)
    assert getattr(taken, f"{key}_").tolist() == [1.0] * size


def test_the_module_that_a_function_runs_must_be_in_evaluation_mode():
    net = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.BatchNorm1d(6))
    encoder = PretrainedEncoder(lambda x: net(torch.from_numpy(x)).chunk(2, 1)).fit(X)
    with pytest.raises(ValueError, match=r"encode fails on 1 rows .*module\.eval\(\)"):
        encoder.transform(X[:1])
    net.eval()
    assert encoder.transform(X[:1]).shape == (1, 3)


def test_codes_that_drift_after_their_units_are_known_are_taken():
    codes = 0.9 * RNG.standard_normal((1000, 3)) * [1, 0.8, 0.6]
    with pytest.raises(ValueError, match="compares mean codes with the prior"):
        PassiveVariableRemover().fit(4 * codes)
    remover = PassiveVariableRemover().fit(codes).partial_fit(4 * codes)
    assert (remover.variable_types_ == "active").all()
    assert remover.moments_.n_samples == 2000
