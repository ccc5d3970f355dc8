"""Architectures: MLP, Conv and networks that a user's factory makes."""

import functools
import math
import pickle

import joblib
import numpy as np
import pytest
import torch
from conftest import small_encoder
from sklearn.base import clone
from sklearn.datasets import load_digits
from torch import nn

from passive_pruner.vae import MLP, BetaVAE, Conv, FromFactory


def parameter_shapes(module):
    return [tuple(p.shape) for p in module.parameters()]


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# MLP


def test_mlp_has_the_sizes_it_was_given():
    encoder, decoder = MLP((7, 5), activation="tanh").build(10, 2, 12)
    assert parameter_shapes(encoder)[::2] == [(7, 10), (5, 7), (4, 5)]
    assert parameter_shapes(decoder)[::2] == [(5, 2), (7, 5), (12, 7)]
    assert not isinstance(encoder[-1], nn.Tanh)


# Conv


def test_conv_at_64_pixels_has_the_layers_of_disentanglement_lib():
    encoder, decoder = Conv().build(4096, 10, 4096)
    # Its conv_encoder: convolutions e1 to e4, dense e5, then means and log_var, here one layer.
    assert parameter_shapes(encoder) == [
        *[(32, 1, 4, 4), (32,)],
        *[(32, 32, 4, 4), (32,)],
        *[(64, 32, 2, 2), (64,)],
        *[(64, 64, 2, 2), (64,)],
        *[(256, 4 * 4 * 64), (256,)],
        *[(10 + 10, 256), (10 + 10,)],
    ]
    # Its deconv_decoder: dense d1 and d2, transposed convolutions d3 to d6.
    assert parameter_shapes(decoder) == [
        *[(256, 10), (256,)],
        *[(4 * 4 * 64, 256), (4 * 4 * 64,)],
        *[(64, 64, 4, 4), (64,)],
        *[(64, 32, 4, 4), (32,)],
        *[(32, 32, 4, 4), (32,)],
        *[(32, 1, 4, 4), (1,)],
    ]
    assert n_parameters(encoder) == 309_204
    assert n_parameters(decoder) == 381_313
    # Every layer but the last of each half is followed by a ReLU.
    layers = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.ReLU)
    for half in (encoder, decoder):
        chain = [type(m) for m in half if isinstance(m, layers)]
        assert len(chain) == 11
        assert set(chain[1::2]) == {nn.ReLU}
        assert nn.ReLU not in chain[::2]


@pytest.mark.parametrize(
    ("image_shape", "feature_map"),
    [
        ((64, 64, 3), (64, 4, 4)),
        ((28, 28, 1), (32, 7, 7)),
        ((32, 32, 3), (64, 2, 2)),
        ((8, 8, 1), (32, 2, 2)),
        ((4, 4, 1), (32, 2, 2)),
        ((32, 12, 2), (32, 8, 3)),
        ((128, 64, 1), (64, 8, 4)),
    ],
)
@pytest.mark.parametrize(("inputs_per_value", "outputs_per_value"), [(1, 1), (2, 3)])
def test_conv_fits_the_image(image_shape, feature_map, inputs_per_value, outputs_per_value):
    n_inputs, n_outputs = (
        k * math.prod(image_shape) for k in (inputs_per_value, outputs_per_value)
    )
    encoder, decoder = Conv(image_shape).build(n_inputs, 5, n_outputs)
    before_flatten = next(i for i, m in enumerate(encoder) if isinstance(m, nn.Linear)) - 1
    x = torch.zeros(3, n_inputs)
    assert encoder[:before_flatten](x).shape == (3, *feature_map)
    assert encoder(x).shape == (3, 10)
    assert decoder(torch.zeros(3, 5)).shape == (3, n_outputs)
    assert isinstance(encoder[-1], nn.Linear)
    assert isinstance(decoder[0], nn.Linear)


def test_each_entry_of_channels_is_a_convolution():
    encoder, decoder = Conv((64, 64, 1), channels=(3, 5, 6, 7, 8), hidden_size=9).build(
        4096, 2, 4096
    )
    kernels = [shape for shape in parameter_shapes(encoder) if len(shape) == 4]
    assert kernels == [(3, 1, 4, 4), (5, 3, 4, 4), (6, 5, 2, 2), (7, 6, 2, 2), (8, 7, 2, 2)]
    kernels = [shape for shape in parameter_shapes(decoder) if len(shape) == 4]
    assert kernels == [(8, 7, 4, 4), (7, 6, 4, 4), (6, 5, 4, 4), (5, 3, 4, 4), (3, 1, 4, 4)]
    assert encoder[-1].in_features == decoder[0].out_features == 9


def same_padding(size, kernel_size):
    # TensorFlow's definition, at stride 2: ceil(size / 2) windows, the odd pixel at the end.
    total = max((math.ceil(size / 2) - 1) * 2 + kernel_size - size, 0)
    return total // 2, total - total // 2


def numpy_conv(image, weight, bias):
    """Convolution of a (H, W, C) image with stride 2 and padding "same"."""
    h, w, _ = image.shape
    k = weight.shape[-1]
    padded = np.pad(image, (same_padding(h, k), same_padding(w, k), (0, 0)))
    out = np.empty((h // 2, w // 2, len(weight)))
    for i, j in np.ndindex(*out.shape[:2]):
        patch = padded[2 * i : 2 * i + k, 2 * j : 2 * j + k]
        out[i, j] = np.einsum("abc,ocab->o", patch, weight) + bias
    return out


def numpy_conv_transpose(image, weight, bias):
    """Adjoint of :func:`numpy_conv`, plus a bias."""
    h, w, _ = image.shape
    k = weight.shape[-1]
    (top, bottom), (left, right) = same_padding(2 * h, k), same_padding(2 * w, k)
    padded = np.zeros((top + 2 * h + bottom, left + 2 * w + right, weight.shape[1]))
    for i, j in np.ndindex(h, w):
        padded[2 * i : 2 * i + k, 2 * j : 2 * j + k] += np.einsum(
            "c,coab->abo", image[i, j], weight
        )
    return padded[top : top + 2 * h, left : left + 2 * w] + bias


def relu(x):
    return np.maximum(x, 0)


def pairs(module):
    """Weight and bias of every layer."""
    values = [p.detach().numpy() for p in module.parameters()]
    return list(zip(values[::2], values[1::2], strict=True))


def test_conv_is_the_network_written_out_in_numpy():
    # Two input images, as with a mask, and two output images per row; three convolutions.
    shape = (16, 24, 3)
    encoder, decoder = Conv(shape, channels=(4, 5, 6), hidden_size=7).build(2 * 1152, 2, 2 * 1152)
    encoder, decoder = encoder.double(), decoder.double()
    rng = np.random.default_rng(0)

    values, mask = rng.standard_normal((2, *shape))
    image = np.concatenate([values, mask], axis=2)
    *convolutions, (w_hidden, b_hidden), (w_out, b_out) = pairs(encoder)
    for weight, bias in convolutions:
        image = relu(numpy_conv(image, weight, bias))
    assert image.shape == (2, 3, 6)
    hidden = relu(w_hidden @ image.transpose(2, 0, 1).ravel() + b_hidden)
    row = torch.from_numpy(np.concatenate([values.ravel(), mask.ravel()])[None])
    np.testing.assert_allclose(encoder(row).detach()[0], w_out @ hidden + b_out, rtol=1e-9)

    z = rng.standard_normal(2)
    (w_in, b_in), (w_hidden, b_hidden), *convolutions = pairs(decoder)
    image = relu(w_hidden @ relu(w_in @ z + b_in) + b_hidden).reshape(6, 2, 3).transpose(1, 2, 0)
    for weight, bias in convolutions[:-1]:
        image = relu(numpy_conv_transpose(image, weight, bias))
    image = numpy_conv_transpose(image, *convolutions[-1])
    assert image.shape == (16, 24, 6)
    expected = np.concatenate([image[:, :, :3].ravel(), image[:, :, 3:].ravel()])
    actual = decoder(torch.from_numpy(z[None])).detach()[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def test_rows_are_images_with_the_channel_last_then_the_mask():
    # If the first convolution reads channel m alone, the codes depend on exactly the cells of
    # that channel: m = 0, 1, 2 are the values, 3, 4, 5 the mask.
    encoder, _ = Conv((8, 12, 3)).build(2 * 288, 2, 288)
    convolution = next(m for m in encoder if isinstance(m, nn.Conv2d))
    weight = convolution.weight.detach().clone()
    for m in range(6):
        only = torch.zeros(6)
        only[m] = 1
        convolution.weight.data = weight * only[:, None, None]
        x = torch.randn(1, 2 * 288, generator=torch.Generator().manual_seed(m), requires_grad=True)
        encoder[:4](x).square().sum().backward()
        depends = np.zeros((2, 8, 12, 3), dtype=bool)
        depends[m // 3, :, :, m % 3] = True
        np.testing.assert_array_equal(x.grad.numpy().reshape(depends.shape) != 0, depends)


def test_feature_maps_follow_a_translation():
    # Two convolutions of stride 2: 4 pixels in the image are 1 in the map, away from its border.
    encoder, _ = Conv((32, 32, 1), channels=(8, 8)).build(1024, 2, 1024)
    image = torch.zeros(32, 32)
    image[10:18, 10:18] = torch.rand(8, 8, generator=torch.Generator().manual_seed(0))
    moved = image.roll((4, -4), dims=(0, 1))
    maps = encoder[:7](torch.stack([image, moved]).reshape(2, -1)).detach().numpy()
    assert maps.shape == (2, 8, 8, 8)
    original, moved = maps[:, :, 1:-1, 1:-1]
    np.testing.assert_allclose(moved[:, 1:, :-1], original[:, :-1, 1:], atol=1e-6)
    assert np.abs(moved - original).max() > 1e-2


@pytest.mark.parametrize(
    ("params", "n_inputs", "n_outputs", "message"),
    [
        (
            {"image_shape": (8, 8, 1)},
            *(30, 30),
            r"\(8, 8, 1\).*rows of 64 values.*30 inputs.*Set image_shape.*MLP",
        ),
        # Colour images with the shape of grey ones: three times as many, not twice.
        ({"image_shape": (8, 8, 1)}, 192, 192, r"rows of 64 values.*192 inputs"),
        ({"image_shape": (8, 8, 1)}, 64, 100, r"64 values.*100 outputs.*Choose a likelihood"),
        ({"image_shape": (30, 28, 1)}, 840, 840, r"\(30, 28, 1\).*divisible by 4.*Pad"),
        ({"image_shape": (28, 30, 1)}, 840, 840, r"\(28, 30, 1\).*divisible by 4.*Pad"),
        ({"image_shape": (8, 8)}, 64, 64, r"\(8, 8\).*\(height, width, channels\)"),
        ({"image_shape": (8, 8, 0)}, 64, 64, "image_shape.*Got 0"),
        ({"image_shape": (8, 8, 1), "channels": ()}, 64, 64, "at least one entry in channels"),
        ({"image_shape": (8, 8, 1), "channels": (4, 0.5)}, 64, 64, "channels.*Got 0.5"),
        ({"image_shape": (8, 8, 1), "hidden_size": 0}, 64, 64, "hidden_size.*Got 0"),
    ],
)
def test_conv_names_what_does_not_fit(params, n_inputs, n_outputs, message):
    with pytest.raises(ValueError, match=message):
        Conv(**params).validated().build(n_inputs, 2, n_outputs)


def test_a_conv_encoder_learns_digits():
    X = (load_digits().data / 16).astype(np.float32)
    encoder = small_encoder(
        n_components=8,
        architecture=Conv((8, 8, 1), channels=(8, 16), hidden_size=64),
        likelihood="bernoulli",
        objective=BetaVAE(0.1),
        max_steps=300,
        early_stopping=False,
    ).fit(X)
    error = np.mean((encoder.inverse_transform(encoder.transform(X)) - X) ** 2)
    assert error < 0.7 * X.var(axis=0).mean()


# FromFactory


def batch_normalised(n_inputs, n_components, n_outputs, width=16):
    encoder = nn.Sequential(
        nn.Linear(n_inputs, width),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Linear(width, 2 * n_components),
    )
    return encoder, nn.Linear(n_components, n_outputs)


class Residual(nn.Module):
    """Adds a hidden layer to a linear map; its hidden width is left to the first batch."""

    def __init__(self, n_in, n_out, width):
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        self.hidden = nn.Linear(n_in, width)
        self.out = nn.LazyLinear(n_out)

    def forward(self, x):
        return self.linear(x) + self.out(torch.tanh(self.hidden(x)))


class ResidualFactory:
    """A factory with a setting of its own."""

    def __init__(self, width):
        self.width = width

    def __call__(self, n_inputs, n_components, n_outputs):
        return (
            Residual(n_inputs, 2 * n_components, self.width),
            Residual(n_components, n_outputs, self.width),
        )


FACTORIES = [
    batch_normalised,
    functools.partial(batch_normalised, width=8),
    ResidualFactory(8),
]


@pytest.mark.parametrize("factory", FACTORIES, ids=["function", "partial", "instance"])
def test_a_factory_survives_clone_and_pickle(factory, cancer):
    X, _ = cancer
    architecture = FromFactory(factory)
    assert architecture.factory is factory
    before = joblib.hash(architecture)
    encoder = small_encoder(architecture=architecture).fit(X)
    copies = [clone(architecture), pickle.loads(pickle.dumps(architecture)), encoder.architecture_]
    assert {before} == {joblib.hash(a) for a in (architecture, *copies)}
    restored = pickle.loads(pickle.dumps(encoder))
    np.testing.assert_array_equal(restored.transform(X), encoder.transform(X))
    refitted = small_encoder(architecture=copies[0]).fit(X)
    np.testing.assert_array_equal(refitted.transform(X), encoder.transform(X))


def test_different_factories_have_different_hashes():
    assert len({joblib.hash(FromFactory(factory)) for factory in FACTORIES}) == len(FACTORIES)
    assert joblib.hash(ResidualFactory(8)) != joblib.hash(ResidualFactory(9))


def test_the_networks_of_a_factory_learn(cancer):
    X, _ = cancer
    encoder = small_encoder(
        n_components=8, architecture=FromFactory(batch_normalised), max_steps=500
    ).fit(X)
    error = np.mean((encoder.inverse_transform(encoder.transform(X)) - X) ** 2)
    assert error < 0.5 * X.var(axis=0).mean()


@pytest.mark.parametrize("n_rows", [4, 65])
def test_batch_normalisation_trains_with_a_remainder_of_one_row(n_rows):
    X = np.random.default_rng(0).standard_normal((n_rows, 3)).astype(np.float32)
    encoder = small_encoder(
        architecture=FromFactory(batch_normalised),
        batch_size=n_rows - 1,
        early_stopping=False,
    ).fit(X)
    assert encoder.n_steps_ == 100
    assert encoder.weights_["encoder.1.num_batches_tracked"] == 100
    # In use the running moments take the place of those of a batch: rows do not interact.
    np.testing.assert_allclose(encoder.transform(X[:1]), encoder.transform(X)[:1], atol=1e-6)


def test_checking_the_modules_leaves_no_trace_in_them():
    encoder, _ = FromFactory(batch_normalised).build(5, 2, 5)
    assert encoder.training
    assert encoder[1].num_batches_tracked == 0


def test_models_do_not_share_the_modules_that_a_factory_keeps():
    kept = batch_normalised(5, 2, 5)
    architecture = FromFactory(lambda *sizes: kept)
    for first, second in zip(architecture.build(5, 2, 5), architecture.build(5, 2, 5), strict=True):
        for p, q in zip(first.parameters(), second.parameters(), strict=True):
            assert torch.equal(p, q)
            assert p.data_ptr() != q.data_ptr()


@pytest.mark.parametrize(
    ("halves", "error", "message"),
    [
        (nn.Linear(5, 4), TypeError, r"two torch modules.*returned Linear"),
        ((nn.Linear(5, 4), None), TypeError, r"two torch modules.*None"),
        (
            (nn.Linear(5, 2), nn.Linear(2, 5)),
            ValueError,
            r"encoder.*\(2, 5\) to \(2, 4\).*\(2, 2\)",
        ),
        (
            (nn.Linear(5, 4), nn.Linear(2, 6)),
            ValueError,
            r"decoder.*\(2, 2\) to \(2, 5\).*\(2, 6\)",
        ),
        (
            (nn.Linear(9, 4), nn.Linear(2, 5)),
            ValueError,
            r"encoder.*\(2, 5\) to \(2, 4\).*failed: .*mat1 and mat2",
        ),
        (
            (nn.LSTM(5, 4), nn.Linear(2, 5)),
            ValueError,
            r"encoder.*\(2, 5\) to \(2, 4\).*returned tuple",
        ),
    ],
)
def test_modules_of_other_shapes_are_refused(halves, error, message):
    with pytest.raises(error, match=message):
        FromFactory(lambda *sizes: halves).build(5, 2, 5)


def test_a_factory_must_be_callable():
    with pytest.raises(ValueError, match=r"factory.*must be a callable"):
        FromFactory("encoder").validated()
