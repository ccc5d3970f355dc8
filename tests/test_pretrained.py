"""PretrainedEncoder: posteriors from callables, torch modules, files and arrays."""

import copy
import pickle
import re
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from conftest import save_torchscript
from onnx import TensorProto, helper
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from torch import nn

from passive_pruner import PassiveVariableRemover, Posterior, PretrainedEncoder, VAEEncoder
from passive_pruner.datasets import make_posterior
from passive_pruner.vae._network import resolve_device

TYPES = ["active", "passive", "mixed", "active"]


@pytest.fixture(scope="module")
def table():
    """A posterior of known types; its means and log-variances side by side are the data."""
    (mean, variance), _ = make_posterior(TYPES, n_samples=3000, random_state=0)
    return np.hstack([mean, np.log(variance)]), Posterior(mean, variance)


class Halves(nn.Module):
    """Gives the two halves of its input, in train mode with noise and other global effects."""

    def __init__(self, sizes=(4, 4), dtype=torch.float32):
        super().__init__()
        self.sizes = sizes
        self.dropout = nn.Dropout(0.9)
        self.register_parameter("scale", nn.Parameter(torch.ones((), dtype=dtype)))

    def forward(self, x):
        mean, log_variance = self.encode(x)
        return self.dropout(mean) + torch.rand(()), mean, log_variance

    def encode(self, x):
        assert not self.training and not self.dropout.training and not torch.is_grad_enabled()
        assert x.dtype == self.scale.dtype
        return (x * self.scale).split(self.sizes, dim=1)


def halves(X):
    return X[:, :4], X[:, 4:]


def halves_by_name(X):
    return {"sample": X[:, :2], "log_variance": X[:, 4:], "mean": X[:, :4]}


def normal(X):
    return torch.distributions.Normal(torch.tensor(X[:, :4]), torch.tensor(X[:, 4:]).div(2).exp())


def exactly_one_row(X):
    assert len(X) == 1
    return X


def save_halves(path, *, batch="n", dtype=TensorProto.FLOAT):
    """Write the ONNX file of an encoder: a sample that nobody needs, then mean, log-variance."""
    graph = helper.make_graph(
        [
            helper.make_node("Split", ["x"], ["mean", "log_variance"], axis=1, num_outputs=2),
            helper.make_node("Identity", ["mean"], ["sample"]),
        ],
        "encoder",
        [helper.make_tensor_value_info("x", dtype, [batch, 8])],
        [
            helper.make_tensor_value_info(name, dtype, [batch, 4])
            for name in ("sample", "mean", "log_variance")
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("encode", "params"),
    [
        (None, {}),
        (halves, {}),
        (halves, {"batch_size": 7}),
        (lambda X: torch.tensor(X, requires_grad=True).chunk(2, dim=1), {}),
        (lambda X: X, {}),
        (exactly_one_row, {"batch_size": 1}),
        (halves_by_name, {"outputs": ("mean", "log_variance")}),
        (normal, {"outputs": ("mean", "variance"), "second_output": "variance"}),
        (Halves(), {"outputs": (1, 2)}),
        (Halves(dtype=torch.float64).encode, {}),
        (nn.Identity(), {"device": "cpu"}),
        (partial(save_halves, "halves.onnx"), {"outputs": ("mean", "log_variance")}),
        (partial(save_halves, "64.onnx", batch=64), {"outputs": (1, 2), "batch_size": 100}),
        (partial(save_halves, "f8.onnx", dtype=TensorProto.DOUBLE), {"outputs": [1, 2]}),
        (partial(save_torchscript, nn.Identity(), "identity.pt"), {}),
    ],
)
def test_every_kind_of_encoder_gives_its_posterior(encode, params, table, tmp_path, monkeypatch):
    X, posterior = table
    if isinstance(encode, partial):  # writes a file and returns its path
        monkeypatch.chdir(tmp_path)
        encode = encode()
    encoder = PretrainedEncoder(encode, **params).fit(X)
    assert encoder.n_components_ == 4
    mean, variance = encoder.posterior(X)
    np.testing.assert_allclose(mean, posterior.mean, rtol=1e-6)
    np.testing.assert_allclose(variance, posterior.variance, rtol=1e-5)
    np.testing.assert_array_equal(encoder.transform(X), mean)


@pytest.mark.parametrize("output", ["mean", "sampled"])
def test_codes_are_those_of_vae_encoder(fitted_encoder, cancer, output):
    # The same network, once inside VAEEncoder and once wrapped.
    X, _ = cancer
    params = {"output": output, "add_variance": True, "random_state": 3}
    pretrained = PretrainedEncoder(fitted_encoder.to_torch().encode, **params).fit(X)
    own = VAEEncoder(**params)
    own.__dict__.update({k: v for k, v in vars(fitted_encoder).items() if k.endswith("_")})
    mean, variance = own.posterior(X)
    for encoder in (pretrained, own):
        codes, variances = np.hsplit(encoder.transform(X), 2)
        np.testing.assert_allclose(variances, variance, rtol=1e-4)
        noise = (codes - mean) / np.sqrt(variance)
        if output == "mean":
            np.testing.assert_allclose(noise, 0, atol=1e-3)
        else:
            limit = 5 / np.sqrt(noise.size)
            assert abs(noise.std() - 1) < limit and abs(noise.mean()) < limit
    names = [n.removeprefix("pretrained") for n in pretrained.get_feature_names_out()]
    assert names == [n.removeprefix("vae") for n in own.get_feature_names_out()]


def test_modules_and_global_generators_are_left_as_they_were(table):
    X, _ = table
    module = Halves().train()
    module.dropout.eval()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    encoder = PretrainedEncoder(module, outputs=(1, 2)).fit(X)
    encoder.transform(X)
    assert module.training and not module.dropout.training
    assert torch.equal(torch.rand(3), expected)
    assert torch.is_grad_enabled()
    assert module.scale.requires_grad and module.scale.device.type == "cpu"

    broken = nn.Linear(3, 8)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        PretrainedEncoder(broken).fit(X)
    assert broken.training and torch.is_grad_enabled()


def noisy_module(seed):
    """A module in training mode, where dropout and batch statistics change what comes out."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Dropout(), nn.Linear(32, 8))


@pytest.mark.parametrize("seed", range(3))
def test_threads_get_equal_codes_and_the_module_is_left_alone(seed, table):
    X = table[0][:300]
    module = noisy_module(seed)
    before = pickle.dumps(module)
    encoder = PretrainedEncoder(module).fit(X)
    expected = encoder.transform(X)
    with ThreadPoolExecutor(8) as pool:
        for codes in pool.map(encoder.transform, [X] * 50):
            np.testing.assert_array_equal(codes, expected)
    assert encoder.encode is module and module.training and module[2].training
    assert pickle.dumps(module) == before


@pytest.mark.parametrize("again", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_training_a_module_further_changes_nothing_before_the_next_fit(again, table):
    X = table[0][:300]
    module = noisy_module(0)
    encoder = PretrainedEncoder(module).fit(X)
    expected = encoder.transform(X)
    with torch.no_grad():
        module[0].weight.mul_(2)
    np.testing.assert_array_equal(encoder.transform(X), expected)
    other = again(encoder)
    np.testing.assert_array_equal(other.transform(X), expected)
    other.encode.train()
    np.testing.assert_array_equal(other.transform(X), expected)
    assert len(pickle.dumps(encoder)) < 1.5 * len(pickle.dumps(module))
    assert np.abs(encoder.fit(X).transform(X) - expected).max() > 0.01


def test_parameters_set_after_fit_act_from_the_next_fit_on(table):
    X, posterior = table
    encoder = PretrainedEncoder(noisy_module(0)).fit(X)
    expected = encoder.transform(X)
    encoder.set_params(encode=None)
    for fitted in (encoder, pickle.loads(pickle.dumps(encoder))):
        np.testing.assert_array_equal(fitted.transform(X), expected)
        np.testing.assert_array_equal(fitted.fit(X).transform(X), posterior.mean.astype("f4"))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of weight_norm
def test_weights_that_hooks_compute_are_copied(table):
    X = table[0][:50]
    module = torch.nn.utils.weight_norm(nn.Linear(8, 8))
    module(torch.zeros(1, 8))
    expected = module(torch.tensor(X, dtype=torch.float32)).detach()[:, :4]
    codes = PretrainedEncoder(module, device="cpu").fit(X).transform(X)
    np.testing.assert_allclose(codes, expected, atol=1e-6)


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise TypeError("cannot pickle a lock")


def test_a_module_that_cannot_be_copied_is_refused(table):
    with pytest.raises(ValueError, match=r"an? Uncopied cannot be copied \(cannot pickle a lock"):
        PretrainedEncoder(Uncopied(8, 8)).fit(table[0])


def save_scaled(path, factor):
    """Write a model that multiplies its input, to a file of TorchScript or ONNX."""
    if path.suffix == ".pt":
        linear = nn.Linear(8, 8, bias=False)
        nn.init.constant_(linear.weight, factor)
        return save_torchscript(linear, path)
    weight = onnx.numpy_helper.from_array(np.full((8, 8), factor, np.float32), "weight")
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in "xy"]
    node = helper.make_node("MatMul", ["x", "weight"], ["y"])
    graph = helper.make_graph([node], "scaled", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    outside = path.stem == "outside"
    if outside:
        (path.parent / "outside.data").unlink(missing_ok=True)
    location = {"location": "outside.data", "size_threshold": 0} if outside else {}
    onnx.save(model, path, save_as_external_data=outside, **location)
    return path


@pytest.mark.parametrize("name", ["model.pt", "model.onnx", "outside.onnx"])
def test_a_model_file_that_is_written_anew_is_another_encoder(name, table, tmp_path):
    X = table[0][:100]
    path = save_scaled(tmp_path / name, 0.1)
    pipe = make_pipeline(
        PretrainedEncoder(path), PassiveVariableRemover(threshold=0), memory=str(tmp_path / "cache")
    )
    first = pipe.fit_transform(X)
    encoder = PretrainedEncoder(path).fit(X)
    copied = pickle.loads(pickle.dumps(encoder))
    content = path.read_bytes()

    save_scaled(path, 0.2)
    assert (path.read_bytes() == content) == (name == "outside.onnx")
    for fitted in (encoder, copied):
        with pytest.raises(ValueError, match=r"has changed since .* was fitted.*Fit again"):
            fitted.transform(X)
    np.testing.assert_allclose(pipe.fit_transform(X), 2 * first, rtol=1e-5)
    np.testing.assert_allclose(encoder.fit(X).transform(X), 2 * first, rtol=1e-5)
    save_scaled(path, 0.1)  # the same content, whenever it was written
    np.testing.assert_allclose(copied.transform(X), first, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.onnx", FileNotFoundError, r"missing.onnx' is not a file here; the working dir"),
        ("missing.pt", FileNotFoundError, r"missing.pt' is not a file here"),
        ("text.onnx", ValueError, r"onnxruntime cannot read .*text.onnx' as an ONNX file"),
        ("text.pt", ValueError, r"cannot read .*text.pt' as a TorchScript file.*jit\.script"),
        ("eager.pt", ValueError, r"A file of torch\.save has no program: load it yourself"),
        ("scaled.pt", ValueError, r"encode fails on 9 rows of shape \(5,\).*Check that X has"),
        ("scaled.onnx", ValueError, r"encode fails on 9 rows of shape \(5,\).*Check that X has"),
    ],
)
def test_files_that_cannot_be_run_are_refused_with_a_hint(name, error, message, tmp_path):
    path = tmp_path / name
    if path.stem == "text":
        path.write_text("no model")
    elif path.stem == "eager":
        torch.save(nn.Identity(), path)
    elif path.stem == "scaled":
        save_scaled(path, 1.0)
    with pytest.raises(error, match="(?s)" + message):
        PretrainedEncoder(path).fit(np.ones((9, 5)))


def test_imaginary_parts_are_not_dropped(table):
    for convert in (lambda X: X, torch.tensor):
        encoder = PretrainedEncoder(lambda X, convert=convert: convert(X + 1j))
        with pytest.raises(ValueError, match="returned complex numbers"):
            encoder.fit(table[0])


def test_auto_is_the_device_that_vae_encoder_takes(table):
    X, _ = table
    seen = []

    class Spy(nn.Identity):
        def forward(self, x):
            seen.append(x.device.type)
            return x

    PretrainedEncoder(Spy()).fit(X)
    assert seen == [resolve_device("auto").type]


@pytest.mark.parametrize("kind", ["module", "onnx"])
def test_missing_devices_are_refused_in_fit_and_replaced_later(kind, table, tmp_path):
    X, _ = table
    encode = nn.Identity()
    if kind == "onnx":
        encode = save_halves(tmp_path / "encoder.onnx")
    outputs = (1, 2) if kind == "onnx" else None
    with pytest.raises(ValueError, match="device='tpu' is not available"):
        PretrainedEncoder(encode, outputs=outputs, device="tpu").fit(X)
    if resolve_device("auto").type != "cuda":
        with pytest.raises(ValueError, match="device='cuda' is not available"):
            PretrainedEncoder(encode, outputs=outputs, device="cuda").fit(X)
    for device in ("cpu:7", "cuda:99"):
        with pytest.raises(ValueError, match=f"device='{device}' is not available"):
            PretrainedEncoder(encode, outputs=outputs, device=device).fit(X)
        encoder = PretrainedEncoder(encode, outputs=outputs).fit(X).set_params(device=device)
        assert encoder.transform(X).shape == (3000, 4)
    for device in ("cuda:one", "cpu:", ""):
        with pytest.raises(ValueError, match="is not available"):
            encoder.set_params(device=device).transform(X)


def test_images_keep_their_shape_and_flat_rows_get_it_back():
    images = np.random.default_rng(0).integers(0, 255, (50, 1, 6, 5), dtype=np.uint8)

    def encode(batch):
        assert batch.shape[1:] == (1, 6, 5) and batch.dtype == np.float32
        batch /= 100  # in place, which must not reach the images
        return batch[:, 0, 0, :2], np.zeros((len(batch), 2))

    encoder = PretrainedEncoder(encode).fit(images)
    assert encoder.feature_shape_ == (1, 6, 5) and encoder.n_features_in_ == 30
    codes = encoder.transform(images)
    np.testing.assert_allclose(codes, images[:, 0, 0, :2] / np.float32(100))
    np.testing.assert_array_equal(encoder.transform(images.reshape(50, 30)), codes)
    with pytest.raises(ValueError, match=r"shape \(1, 5, 6\).*fitted on rows of shape \(1, 6, 5\)"):
        encoder.transform(images.reshape(50, 1, 5, 6))


def test_sparse_rows_are_encoded_as_dense_ones(table):
    X, _ = table
    np.testing.assert_array_equal(
        PretrainedEncoder(halves).fit_transform(csr_array(X)),
        PretrainedEncoder(halves).fit_transform(X),
    )


@pytest.mark.parametrize(
    ("encode", "params", "message"),
    [
        (halves, {"second_output": "variance"}, "pass second_output='log_variance'"),
        (lambda X: (X[:, :4], np.exp(X[:, 4:])), {}, "pass second_output='variance'"),
        (lambda X: (X[:, :4], X[:, 4:7]), {}, r"shapes \(100, 4\) and \(100, 3\)"),
        (lambda X: (X[0, :4], X[0, 4:]), {}, r"of shape \(100, n_components\) for 100 rows"),
        (lambda X: (X[:9, :4], X[:9, 4:]), {}, r"shapes \(9, 4\) and \(9, 4\)"),
        (lambda X: X[:, :3], {}, r"returned a ndarray of shape \(100, 3\)"),
        (lambda X: (X, X, X), {}, "returned a tuple of 3. `outputs` tells"),
        (halves_by_name, {}, r"the keys \['sample', 'log_variance', 'mean'\]"),
        (halves_by_name, {"outputs": ("mean", "logvar")}, r"outputs=\('mean', 'logvar'\) is not"),
        (halves, {"outputs": (1, 2)}, "not in what encode returned: a tuple of 2"),
        (halves, {"outputs": ("mean",)}, "must name two outputs"),
        (lambda X: (X[:, :4] * np.nan, X[:, 4:]), {}, "The mean that encode returned has NaN"),
        (lambda X: (X[:, :4], X[:, 4:] * 1e3 + 500), {}, "has no finite variance in float32"),
    ],
)
def test_what_cannot_be_the_posterior_is_refused(encode, params, message, table):
    X, _ = table
    with pytest.raises(ValueError, match=message):
        PretrainedEncoder(encode, **params).fit(X[:100])


def test_a_posterior_of_zero_log_variances_is_the_prior_and_no_mistake(table):
    X, _ = table
    encoder = PretrainedEncoder(lambda X: (X[:, :2], np.zeros((len(X), 2)))).fit(X)
    assert (encoder.posterior(X).variance == 1).all()
    tiny = PretrainedEncoder(lambda X: (X[:, :2], np.full((len(X), 2), -1e4))).fit(X)
    assert (tiny.posterior(X).variance > 0).all()


def test_mistakes_in_later_rows_are_found_as_well(table):
    X, _ = table
    encoder = PretrainedEncoder(second_output="variance", batch_size=100)
    X = np.abs(X)
    X[2500, 6] = -1
    assert encoder.fit(X).transform(X).shape == (3000, 4)  # the means need no variance
    with pytest.raises(ValueError, match="must be positive, but encode returned -1"):
        encoder.posterior(X)


def test_draws_are_not_taken_for_means(fitted_encoder, cancer):
    X, _ = cancer
    sampler = clone(fitted_encoder).set_params(output="sampled", max_steps=1)
    codes = sampler.set_output(transform="pandas").fit(X).transform(X)
    with pytest.raises(ValueError, match="'vaeencoder0_sampled' holds draws"):
        PretrainedEncoder(second_output="variance").fit(codes)


def test_known_types_are_found_in_a_grid_over_thresholds(table, tmp_path):
    X, posterior = table
    y = posterior.mean[:, 0] > 0
    pipe = Pipeline(
        [
            ("enc", PretrainedEncoder(Halves(), outputs=(1, 2), add_variance=True)),
            ("prune", PassiveVariableRemover(criterion="variance")),
            ("clf", LogisticRegression()),
        ],
        memory=str(tmp_path),
    )
    grid = GridSearchCV(pipe, {"prune__threshold": [0, 0.1]}, cv=3).fit(pd.DataFrame(X), y)
    best = grid.best_estimator_.set_params(prune__threshold=0.1).fit(X, y)
    assert best["prune"].variable_types_.tolist() == TYPES
    assert best.score(X, y) > 0.95
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(X), best.predict(X))


def test_data_frames_in_and_out(table):
    X, posterior = table
    frame = pd.DataFrame(X).add_prefix("x")
    pipe = make_pipeline(PretrainedEncoder(), PassiveVariableRemover())
    out = pipe.set_output(transform="pandas").fit_transform(frame)
    assert list(out) == [f"pretrainedencoder{j}" for j in (0, 2, 3)]
    np.testing.assert_array_equal(out, posterior.mean[:, [0, 2, 3]])
    with pytest.raises(ValueError, match="feature names"):
        pipe[0].transform(frame.iloc[:, ::-1])


@pytest.mark.parametrize("suffix", [".onnx", ".pt"])
def test_paths_survive_clone_pickle_and_another_file(suffix, table, tmp_path):
    X, _ = table
    path = tmp_path / f"encoder{suffix}"
    outputs = (1, 2) if suffix == ".onnx" else None
    save_halves(path) if suffix == ".onnx" else save_torchscript(nn.Identity(), path)
    encoder = PretrainedEncoder(path, outputs=outputs).fit(X)
    codes = encoder.transform(X)
    state = pickle.dumps(encoder)
    assert len(state) < 2000  # the path, not the model
    np.testing.assert_array_equal(pickle.loads(state).transform(X), codes)
    np.testing.assert_array_equal(clone(encoder).fit_transform(X), codes)
    assert joblib.hash(encoder) == joblib.hash(pickle.loads(state))


def test_onnx_needs_no_torch_and_says_when_its_runtime_is_missing(table, tmp_path):
    save_halves(tmp_path / "encoder.onnx")
    code = """
        import sys
        import numpy as np
        from passive_pruner import PassiveVariableRemover, PretrainedEncoder
        X = np.random.default_rng(0).standard_normal((100, 8))
        codes = PretrainedEncoder("encoder.onnx", outputs=(1, 2)).fit_transform(X)
        PassiveVariableRemover(threshold=0).fit(codes)
        PretrainedEncoder(lambda X: X).fit_transform(X)
        assert "torch" not in sys.modules
        sys.modules["onnxruntime"] = None
        try:
            PretrainedEncoder("encoder.onnx", outputs=(1, 2)).fit(X)
        except ImportError as error:
            assert "passive_pruner[onnx]" in str(error)
        else:
            raise AssertionError
    """
    code = textwrap.dedent(code)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_an_onnx_file_with_two_inputs_is_refused(table, tmp_path):
    X, _ = table
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 8]) for n in "abc"]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "g", info[:2], info[2:])
    path = tmp_path / "two.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    with pytest.raises(ValueError, match=re.escape("2 inputs, ['a', 'b']")):
        PretrainedEncoder(path).fit(X)


class ConvEncoder(nn.Module):
    """The convolutional encoder of disentanglement_lib for 64 x 64 images with one channel."""

    def __init__(self):
        super().__init__()
        layers = []
        for n_in, n_out in ((1, 32), (32, 32), (32, 64), (64, 64)):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 256), nn.ReLU())
        self.mean = nn.Linear(256, 10)
        self.log_variance = nn.Linear(256, 10)

    def forward(self, images):
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


@pytest.fixture(scope="module")
def conv():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.rand(7, 1, 64, 64)
        encoder = ConvEncoder().eval()
    with torch.no_grad():
        mean, log_variance = encoder(images)
    return encoder, images.numpy(), Posterior(mean.numpy(), log_variance.exp().numpy())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit and its ONNX exporter
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("form", ["trace", "script", "script file", "onnx"])
def test_exports_of_a_convolutional_encoder_have_its_posterior(form, conv, tmp_path):
    module, images, (mean, variance) = conv
    example = torch.zeros(1, 1, 64, 64)
    if form == "trace":
        encode = torch.jit.trace(module, example)
    elif form == "onnx":
        encode = tmp_path / "encoder.onnx"
        torch.onnx.export(
            module,
            (example,),
            encode,
            input_names=["images"],
            output_names=["mean", "log_variance"],
            dynamic_axes={"images": {0: "n"}},
            dynamo=False,
        )
    else:
        encode = torch.jit.script(module)
        if form == "script file":
            encode.save(tmp_path / "encoder.pt")
            encode = tmp_path / "encoder.pt"
    encoder = clone(PretrainedEncoder(encode, batch_size=3)).fit(images)
    assert encoder.n_components_ == 10
    posterior = encoder.posterior(images)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-5)
    np.testing.assert_allclose(posterior.variance, variance, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of a library that is not ours
def test_pythae(table):
    # Not part of the test extra: a recipe in docs/pretrained.md for users who have it.
    models = pytest.importorskip("pythae.models", reason="pip install passive_pruner[recipes]")
    X, _ = table
    with torch.random.fork_rng():
        vae = models.VAE(models.VAEConfig(input_dim=(8,), latent_dim=3))
    encoder = PretrainedEncoder(vae.encoder, outputs=("embedding", "log_covariance")).fit(X)
    with torch.no_grad():
        expected = vae.encoder(torch.tensor(X, dtype=torch.float32))
    mean, variance = pickle.loads(pickle.dumps(encoder)).posterior(X)
    np.testing.assert_allclose(mean, expected.embedding, atol=1e-5)
    np.testing.assert_allclose(variance, expected.log_covariance.exp(), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of a library that is not ours
def test_pyod(table):
    # Not part of the test extra: a recipe in docs/pretrained.md for users who have it.
    vae = pytest.importorskip("pyod.models.vae", reason="pip install passive_pruner[recipes]")
    X, _ = table
    with torch.random.fork_rng():
        detector = vae.VAE(epoch_num=1, latent_dim=3, capacity=100.0, verbose=0).fit(X[:200])
    scaled = (X - detector.X_mean) / detector.X_std
    encoder = PretrainedEncoder(detector.model.encode).fit(scaled)
    with torch.no_grad():
        mean, log_variance = detector.model.eval().encode(torch.tensor(scaled, dtype=torch.float32))
    np.testing.assert_allclose(encoder.posterior(scaled).mean, mean, atol=1e-5)
    np.testing.assert_allclose(encoder.posterior(scaled).variance, log_variance.exp(), atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # of a library that is not ours
def test_scvi():
    # Not part of any extra, because it holds pandas back: a recipe in docs/pretrained.md.
    scvi = pytest.importorskip("scvi", reason="pip install scvi-tools")
    from anndata import AnnData

    counts = np.random.default_rng(0).poisson(3.0, (200, 12)).astype(np.float32)
    data = AnnData(counts)
    scvi.model.SCVI.setup_anndata(data)
    model = scvi.model.SCVI(data, n_latent=4)
    model.train(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False)
    expected = model.get_latent_representation(return_dist=True)

    def encode(X):
        return model.get_latent_representation(AnnData(X), return_dist=True)

    encoder = PretrainedEncoder(encode, second_output="variance").fit(counts)
    for got, want in zip(encoder.posterior(counts), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)
