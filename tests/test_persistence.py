"""Files of fitted estimators: equal outputs in a new process, small, checked, inert."""

import io
import os
import pickle
import signal
import sys
import warnings
import zipfile

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.torch
import skops.io
import torch
from conftest import save_torchscript, small_encoder
from numpy.testing import assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skops.io.exceptions import UntrustedTypesFoundException
from torch import nn

from passive_pruner import PassiveVariableRemover, PretrainedEncoder, trusted_types
from passive_pruner._common._files import write_whole
from passive_pruner.explore.__main__ import load_model
from passive_pruner.vae import (
    DIPVAE,
    MLP,
    AnnealedVAE,
    BetaTCVAE,
    BetaVAE,
    Conv,
    FactorVAE,
    FromFactory,
    Gaussian,
    Mixed,
    NegativeBinomial,
)


def batch_normalised(n_inputs, n_components, n_outputs):
    encoder = nn.Sequential(
        nn.Linear(n_inputs, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2 * n_components)
    )
    return encoder, nn.Linear(n_components, n_outputs)


MIXED = Mixed([("gaussian", slice(0, 20)), ("poisson", slice(20, 63)), ("categorical", [63])])
ENCODERS = {
    "BetaVAE": {"objective": BetaVAE(0.5), "add_variance": True},
    "AnnealedVAE": {"objective": AnnealedVAE()},
    "FactorVAE": {"objective": FactorVAE(discriminator_layer_sizes=(8,))},
    "DIPVAE": {"objective": DIPVAE()},
    "BetaTCVAE": {"objective": BetaTCVAE(2.0)},
    "per feature": {"likelihood": Gaussian("per_feature"), "allow_missing": True},
    "bernoulli": {"likelihood": "bernoulli"},
    "continuous_bernoulli": {"likelihood": "continuous_bernoulli"},
    "poisson": {"likelihood": "poisson"},
    "negative_binomial": {"likelihood": NegativeBinomial(exposure="row_sum")},
    "mixed": {"likelihood": MIXED},
    "tanh": {"architecture": MLP((8, 8), activation="tanh")},
    "Conv": {"architecture": Conv((8, 8, 1), channels=(4, 8), hidden_size=16)},
    "FromFactory": {"architecture": FromFactory(batch_normalised)},
}
DUMP = {
    "pickle": lambda pipe, path: path.write_bytes(pickle.dumps(pipe)),
    "cloudpickle": lambda pipe, path: path.write_bytes(cloudpickle.dumps(pipe)),
    "joblib": joblib.dump,
    "mmap": joblib.dump,
    # The schema of skops is text, tens of kilobytes of it that deflate to a tenth.
    "skops": lambda pipe, path: skops.io.dump(pipe, path, compression=zipfile.ZIP_DEFLATED),
}
TRUSTED = [*trusted_types(), "test_persistence.batch_normalised"]
LOAD = {
    "pickle": lambda path: pickle.loads(path.read_bytes()),
    "cloudpickle": lambda path: cloudpickle.loads(path.read_bytes()),
    "joblib": joblib.load,
    "mmap": lambda path: joblib.load(path, mmap_mode="r"),
    "skops": lambda path: skops.io.load(path, trusted=TRUSTED),
}
NAMES = [*ENCODERS, "pretrained"]
CASES = [(name, form) for name in NAMES for form in DUMP]


def make_encoder(name):
    if name == "pretrained":
        return PretrainedEncoder(second_output="variance", add_variance=True)
    return small_encoder(**{"architecture": MLP((16,)), "max_steps": 60, **ENCODERS[name]})


def outputs(pipe, X):
    encoder = pipe[0]
    codes = encoder.transform(X)
    of_pipe = {"codes": codes, "probabilities": pipe.predict_proba(X)}
    if isinstance(encoder, PretrainedEncoder):
        return of_pipe
    return {
        **of_pipe,
        "decoded": encoder.inverse_transform(codes),
        "elbo": encoder.score_samples(X),
        "draws": encoder.sample(3),
    }


def weights_size(encoder):
    return sum(value.nbytes for value in getattr(encoder, "weights_", {}).values())


def reload_all(folder):
    """Load every file in a process that has seen no training data; write the outputs."""
    X = np.load(folder / "rows.npy")
    with warnings.catch_warnings(action="error"):
        for name, form in CASES:
            pipe = LOAD[form](folder / f"{name}.{form}")
            np.savez(folder / f"{name}.{form}.npz", **outputs(pipe, X))


@pytest.fixture(scope="module")
def digits():
    """Pixels of 0 and 1, which every likelihood takes; all columns but the last are used."""
    X, y = load_digits(return_X_y=True)
    X = (X > 8).astype("float32")
    X[:, 63] = 1  # a one-hot group of a single category
    return X[:600], y[:600]


@pytest.fixture(scope="module")
def pipelines(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # after so few steps some collapse
        return {
            name: make_pipeline(
                encoder := make_encoder(name),
                PassiveVariableRemover(
                    threshold=0, criterion="variance" if encoder.add_variance else "active_units"
                ),
                LogisticRegression(max_iter=20, tol=0.1),
            ).fit(*digits)
            for name in NAMES
        }


@pytest.fixture(scope="module")
def folder(pipelines, digits, processes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    np.save(folder / "rows.npy", digits[0][:50])
    for name, form in CASES:
        DUMP[form](pipelines[name], folder / f"{name}.{form}")
    process = processes.Process(target=reload_all, args=(folder,))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    return folder


@pytest.mark.parametrize(("name", "form"), CASES)
def test_outputs_in_a_new_process_are_equal_bit_for_bit(name, form, pipelines, folder):
    reloaded = np.load(folder / f"{name}.{form}.npz")
    for key, expected in outputs(pipelines[name], np.load(folder / "rows.npy")).items():
        assert reloaded[key].dtype == expected.dtype
        assert_array_equal(reloaded[key], expected)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_a_file_is_as_large_as_the_weights(name, form, pipelines, folder):
    allowed = 1.1 * weights_size(pipelines[name][0]) + 2**16
    assert (folder / f"{name}.{form}").stat().st_size <= allowed


@pytest.mark.parametrize("form", DUMP)
def test_a_long_history_stays_small_and_comes_back(form, pipelines, tmp_path):
    encoder = pickle.loads(pickle.dumps(pipelines["FactorVAE"][0]))
    other = {**encoder.history_[0], "another_part": 0.5}
    encoder.history_ = encoder.history_ * 150 + [other] * 50
    DUMP[form](encoder, tmp_path / "encoder")
    assert (tmp_path / "encoder").stat().st_size <= 1.1 * weights_size(encoder) + 2**16
    reloaded = LOAD[form](tmp_path / "encoder").history_
    assert len(reloaded) == len(encoder.history_)
    for record, expected in zip(reloaded, encoder.history_, strict=True):
        assert list(record) == list(expected)
        for key, value in expected.items():
            assert_array_equal(record[key], value)
            assert np.asarray(record[key]).dtype == np.asarray(value).dtype
            assert isinstance(record[key], type(value))


def test_trusted_types_are_exactly_what_files_hold(folder):
    found = set()
    for name in NAMES:
        types = skops.io.get_untrusted_types(file=folder / f"{name}.skops")
        assert set(types) <= set(TRUSTED)
        found |= set(types)
    table = pd.DataFrame({"kind": list("abc") * 20, "size": np.arange(60.0)})
    skops.io.dump(small_encoder(max_steps=20).fit(table), folder / "table.skops")
    found |= set(skops.io.get_untrusted_types(file=folder / "table.skops"))
    bases = {"Architecture", "Likelihood", "Objective"}
    assert {t for t in trusted_types() if t.split(".")[-1] not in bases} <= found


def test_other_types_are_refused_and_not_run(tmp_path):
    pipe = make_pipeline(FunctionTransformer(os.system), PassiveVariableRemover())
    skops.io.dump(pipe, tmp_path / "pipe.skops")
    with pytest.raises(UntrustedTypesFoundException, match=r"(posix|nt)\.system"):
        skops.io.load(tmp_path / "pipe.skops", trusted=trusted_types())


@pytest.mark.parametrize("form", DUMP)
def test_truncated_files_raise(form, folder, tmp_path):
    content = (folder / f"BetaVAE.{form}").read_bytes()
    for share in (0.1, 0.5, 0.99):
        (tmp_path / "part").write_bytes(content[: int(share * len(content))])
        errors = (EOFError, IndexError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile)
        with pytest.raises(errors):
            LOAD[form](tmp_path / "part")


@pytest.mark.parametrize("form", ["pickle", "cloudpickle", "joblib", "mmap"])
def test_altered_weights_raise(form, pipelines, folder, tmp_path):
    content = bytearray((folder / f"BetaVAE.{form}").read_bytes())
    weight = pipelines["BetaVAE"][0].weights_["decoder.2.weight"].tobytes()
    content[content.index(weight) + 100] ^= 1
    (tmp_path / "altered").write_bytes(content)
    with pytest.raises(ValueError, match="not those that were saved"):
        LOAD[form](tmp_path / "altered")


def test_an_altered_skops_file_raises(folder, tmp_path):
    content = bytearray((folder / "BetaVAE.skops").read_bytes())
    with zipfile.ZipFile(folder / "BetaVAE.skops") as archive:
        largest = max(archive.infolist(), key=lambda member: member.compress_size)
    content[largest.header_offset + largest.compress_size // 2] ^= 255
    (tmp_path / "altered").write_bytes(content)
    with pytest.raises((zipfile.BadZipFile, zipfile.zlib.error)):
        LOAD["skops"](tmp_path / "altered")


@pytest.mark.parametrize(("name", "step"), [("DIPVAE", 0), ("DIPVAE", 1), ("pretrained", 0)])
def test_a_file_of_another_version_loads_and_says_so(name, step, pipelines, digits, monkeypatch):
    pipe = pipelines[name]
    monkeypatch.setattr("passive_pruner.__version__", "0.0.7")
    content = pickle.dumps(pipe[step])
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning, match=r"passive_pruner\.\w+ from version 0.0.7"):
        reloaded = pickle.loads(content)
    X = digits[0] if step == 0 else pipe[0].transform(digits[0])
    assert_array_equal(reloaded.transform(X), pipe[step].transform(X))


@pytest.mark.parametrize("step", [0, 1])
def test_a_parameter_that_an_older_version_lacked_gets_its_default(step, pipelines):
    estimator = pipelines["DIPVAE"][step]
    name, value = list(type(estimator)().get_params(deep=False).items())[-1]
    state = estimator.__getstate__()
    del state[name]
    state["_passive_pruner_version"] = "0.0.7"
    reloaded = type(estimator).__new__(type(estimator))
    with pytest.warns(InconsistentVersionWarning):
        reloaded.__setstate__(state)
    assert getattr(reloaded, name) == value


def test_weights_go_out_and_come_back(pipelines, digits, tmp_path):
    X, _ = digits
    for name in ("mixed", "FromFactory"):
        encoder = pipelines[name][0]
        encoder.save_weights(tmp_path / "weights.safetensors")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other = small_encoder(**encoder.get_params(deep=False)).set_params(
                random_state=1, max_steps=1
            )
            other.fit(X[::-1])
        assert (other.transform(X) != encoder.transform(X)).any()
        assert other.load_weights(tmp_path / "weights.safetensors") is other
        assert_array_equal(other.transform(X), encoder.transform(X))
        assert_array_equal(other.score_samples(X), encoder.score_samples(X))
        assert {k: v.dtype for k, v in other.weights_.items()} == {
            k: v.dtype for k, v in encoder.weights_.items()
        }


def test_torch_reads_and_writes_the_same_file(pipelines, digits, tmp_path):
    """A user of torch alone encodes with the file, trains on, and gives half precision back."""
    encoder, X = pickle.loads(pickle.dumps(pipelines["bernoulli"][0])), digits[0]
    encoder.save_weights(tmp_path / "ours.safetensors")
    tensors = safetensors.torch.load_file(tmp_path / "ours.safetensors")
    network = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 8))
    network.load_state_dict(
        {k.removeprefix("encoder."): v for k, v in tensors.items() if k.startswith("encoder.")}
    )
    with torch.no_grad():
        codes = network(torch.from_numpy(X))[:, :4].numpy()
    np.testing.assert_allclose(codes, encoder.transform(X), atol=1e-5)

    half = {name: (2 * tensor).bfloat16() for name, tensor in tensors.items()}
    safetensors.torch.save_file(half, tmp_path / "theirs.safetensors")
    encoder.load_weights(tmp_path / "theirs.safetensors")
    for name, value in encoder.weights_.items():
        assert value.dtype == np.float32
        assert_array_equal(value, half[name].float().numpy())


def test_weights_that_do_not_fit_are_refused(pipelines, tmp_path):
    encoder = pickle.loads(pickle.dumps(pipelines["bernoulli"][0]))
    before, path = encoder.weights_, tmp_path / "other.safetensors"
    pipelines["tanh"][0].save_weights(path)
    with pytest.raises(ValueError, match=r"unknown names \['decoder.4.bias'.*has the shape \(8,"):
        encoder.load_weights(path)
    tensors = {name: torch.from_numpy(value.copy()) for name, value in before.items()}
    tensors["decoder.0.bias"][3] = torch.inf
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ValueError, match=r"decoder\.0\.bias has values that are not finite"):
        encoder.load_weights(path)
    del tensors["decoder.0.bias"]
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ValueError, match=r"it lacks \['decoder\.0\.bias'\]"):
        encoder.load_weights(path)
    assert encoder.weights_ is before


def test_damaged_weights_and_other_files_are_refused(pipelines, tmp_path):
    encoder, path = pipelines["bernoulli"][0], tmp_path / "weights.safetensors"
    encoder.save_weights(path)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-10])
    with pytest.raises(ValueError, match="is no complete safetensors file"):
        encoder.load_weights(path)
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="checksum differs"):
        encoder.load_weights(path)
    path.write_bytes(pickle.dumps(encoder))
    with pytest.raises(ValueError, match="is no complete safetensors file"):
        encoder.load_weights(path)


def test_numbers_of_another_kind_and_a_broken_checksum_are_refused(pipelines, tmp_path):
    encoder, path = pipelines["FromFactory"][0], tmp_path / "weights.safetensors"
    tensors = {name: torch.from_numpy(value.copy()) for name, value in encoder.weights_.items()}
    count = next(name for name, value in tensors.items() if not value.is_floating_point())
    for name, dtype in (("encoder.0.bias", torch.int64), ("encoder.0.bias", torch.bool),
                        (count, torch.float32)):  # fmt: skip
        safetensors.torch.save_file({**tensors, name: tensors[name].to(dtype)}, path)
        with pytest.raises(ValueError, match=f"{name} has numbers of type .* instead of"):
            encoder.load_weights(path)
    safetensors.torch.save_file(tensors, path, metadata={"passive_pruner_checksum": "abc"})
    with pytest.raises(ValueError, match="'passive_pruner_checksum' must be a number, got 'abc'"):
        encoder.load_weights(path)


def test_a_disk_that_fails_leaves_the_former_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    write_whole(path, b"former")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def write_and_die(path):
    os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
    write_whole(path, b"new")


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files without a name are of Linux")
def test_a_process_that_is_killed_leaves_the_former_file_and_nothing_else(processes, tmp_path):
    path = tmp_path / "weights.safetensors"
    write_whole(path, b"former")
    process = processes.Process(target=write_and_die, args=(path,))
    process.start()
    process.join(300)
    assert process.exitcode == -signal.SIGKILL
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("without_name", [True, False])
def test_files_have_the_mode_of_the_umask_and_links_stay(without_name, tmp_path, monkeypatch):
    if not without_name:  # as on other systems
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    before = os.umask(0o027)
    try:
        (tmp_path / "link").symlink_to(tmp_path / "file")
        for content in (b"first", b"second"):
            write_whole(tmp_path / "link", content)
            assert (tmp_path / "file").read_bytes() == content
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("nested", [False, True])
def test_the_command_of_the_explorer_runs_no_model_file(nested, digits, tmp_path):
    """A TorchScript file beside a skops file is a program of whoever made both."""
    path = save_torchscript(nn.Linear(64, 8), tmp_path / "encoder.pt")
    model = make_pipeline(PretrainedEncoder(str(path)), PassiveVariableRemover(threshold=0))
    if nested:
        model = ColumnTransformer([("all", model, list(range(64)))])
    skops.io.dump(model.fit(digits[0]), tmp_path / "model.skops")
    with pytest.raises(ValueError, match="would open and run the model file"):
        load_model(tmp_path / "model.skops")
    encoder = PretrainedEncoder(str(path)).fit(digits[0]).set_params(encode=None)
    skops.io.dump(encoder, tmp_path / "model.skops")
    with pytest.raises(ValueError, match="would open and run the model file"):
        load_model(tmp_path / "model.skops")
    model = make_pipeline(PretrainedEncoder(), PassiveVariableRemover(threshold=0))
    skops.io.dump(model.fit(-digits[0]), tmp_path / "model.skops")
    load_model(tmp_path / "model.skops")


@pytest.mark.parametrize("method", ["save_weights", "load_weights"])
def test_only_fitted_encoders_have_weights(method, tmp_path):
    with pytest.raises(NotFittedError):
        getattr(small_encoder(), method)(tmp_path / "weights.safetensors")


def test_missing_safetensors_names_the_extra(pipelines, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"passive_pruner\[persistence\]"):
        pipelines["bernoulli"][0].save_weights(io.BytesIO())
