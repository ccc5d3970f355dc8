import numpy as np
import pytest

from passive_pruner.metrics import beta_vae_score, factor_vae_score

METRICS = [factor_vae_score, beta_vae_score]
SIZES = {"n_train": 300, "n_test": 300, "batch_size": 32, "random_state": 0}
ROTATION = np.array([[1, 1, 0], [1, -1, 0], [0, 0, 1]])  # up to scale, factors 0 and 1 by 45°


class Grid:
    """Three factors with 4, 5 and 6 levels, and images that are their values between 0 and 1."""

    n_levels = np.array([4, 5, 6])

    def sample_factors(self, n, random_state):
        return random_state.randint(self.n_levels, size=(n, 3))

    def images(self, factors):
        assert ((factors >= 0) & (factors < self.n_levels)).all()
        return factors / (self.n_levels - 1)


def identity(images):
    return images


@pytest.mark.parametrize("metric", METRICS)
def test_perfectly_disentangled(metric):
    assert metric(identity, Grid(), **SIZES) == pytest.approx(1, abs=0.01)
    assert metric(lambda x: -x[:, [2, 0, 1]], Grid(), **SIZES) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("metric", METRICS)
def test_codes_that_know_nothing_guess(metric):
    rng = np.random.default_rng(0)
    score = metric(lambda x: rng.normal(size=(len(x), 4)), Grid(), **SIZES)
    assert score == pytest.approx(1 / 3, abs=0.1)


def test_factor_vae_score_of_entangled_codes():
    # Both codes of factors 0 and 1 vary equally little when either is fixed.
    score = factor_vae_score(lambda x: x @ ROTATION, Grid(), **SIZES)
    assert score == pytest.approx(2 / 3, abs=0.1)


def test_only_the_factor_vae_score_notices_a_missing_factor():
    def two_of_three(images):
        return images[:, :2]

    sizes = SIZES | {"n_train": 1000}
    assert beta_vae_score(two_of_three, Grid(), **sizes) > 0.97
    # The third of the batches that fix factor 2 is always misjudged.
    assert factor_vae_score(two_of_three, Grid(), **sizes) == pytest.approx(2 / 3, abs=0.1)


def test_collapsed_codes_do_not_vote():
    def with_passive(images):
        noise = 0.01 * np.sin(1e4 * images.sum(axis=1, keepdims=True))
        return np.column_stack([noise, np.full(len(images), 0.1), images])

    assert factor_vae_score(with_passive, Grid(), **SIZES) == 1
    # A threshold of 0 still leaves out the code that does not vary at all.
    assert factor_vae_score(with_passive, Grid(), **SIZES, std_threshold=0) > 0.9
    assert factor_vae_score(with_passive, Grid(), **SIZES, std_threshold=10) == 0
    assert factor_vae_score(lambda x: np.full((len(x), 2), 0.1), Grid(), **SIZES) == 0


def test_beta_vae_score_of_constant_codes_is_a_guess():
    score = beta_vae_score(lambda x: np.full((len(x), 2), 0.1), Grid(), **SIZES)
    assert score == pytest.approx(1 / 3, abs=0.1)


@pytest.mark.parametrize("metric", METRICS)
def test_a_factor_is_held_fixed_in_every_batch(metric):
    batches = []

    class Recorder(Grid):
        def images(self, factors):
            batches.append(factors.copy())
            return super().images(factors)

    metric(identity, Recorder(), n_train=200, n_test=100, batch_size=16, random_state=0)
    if metric is factor_vae_score:
        factors = np.concatenate(batches)[10_000:].reshape(300, 16, 3)
        shared = (factors == factors[:, :1]).all(axis=1)
    else:
        factors = np.concatenate(batches).reshape(300, 16, 2, 3)
        shared = (factors[:, :, 0] == factors[:, :, 1]).all(axis=1)
    # Another factor agrees by chance in one of 4**15 batches.
    assert (shared.sum(axis=1) == 1).all()
    assert (shared.sum(axis=0) > 60).all()


def test_sizes_that_do_not_fill_the_chunks():
    # 4096 images are encoded at a time: one row is left over, and one batch is more than that.
    assert factor_vae_score(identity, Grid(), **SIZES, n_variance=4097) == 1
    sizes = {"n_train": 20, "n_test": 7, "batch_size": 5000, "random_state": 0}
    for metric in METRICS:
        assert metric(identity, Grid(), **sizes) == 1


@pytest.mark.parametrize("metric", METRICS)
def test_random_state(metric):
    def score(random_state):
        sizes = SIZES | {"batch_size": 3, "random_state": random_state}
        return metric(lambda x: x @ ROTATION, Grid(), **sizes)

    assert score(0) == score(0) == score(np.random.RandomState(0))
    assert len({score(seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("metric", METRICS)
def test_none_leaves_the_global_generator_alone(metric):
    before = np.random.get_state()[1:]  # noqa: NPY002 (the state that must not change)
    metric(identity, Grid(), **SIZES | {"random_state": None})
    after = np.random.get_state()[1:]  # noqa: NPY002
    np.testing.assert_equal(after, before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda x: x[:-1], r"encode returned \d+ rows for \d+ images"),
        (lambda x: x[:, 0], "1D array"),
        (lambda x: np.where(x == 0, np.nan, x), r"encode\(images\)\[\d+, \d\] is nan"),
    ],
)
def test_bad_codes(metric, encode, message):
    with pytest.raises(ValueError, match=message):
        metric(encode, Grid(), **SIZES)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f[:, :1], "has 1 column.*at least 2"),
        (lambda f: f[:-1], r"sample_factors\(n, random_state\) has \d+ rows"),
        (lambda f: f + 0.5, "integers"),
    ],
)
def test_bad_data_set(metric, change, message):
    class Bad(Grid):
        def sample_factors(self, n, random_state):
            return change(super().sample_factors(n, random_state))

    with pytest.raises(ValueError, match=message):
        metric(identity, Bad(), **SIZES)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("size", ["n_train", "n_test", "batch_size"])
def test_bad_sizes(metric, size):
    with pytest.raises(ValueError, match=f"{size} == 0, must be >="):
        metric(identity, Grid(), **SIZES | {size: 0})
