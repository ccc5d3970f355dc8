"""Sprites against geometry, and the same face around a file of the layout of dSprites."""

import pickle
from math import pi

import numpy as np
import pytest

from passive_pruner.datasets import FactorImages, load_dsprites, make_sprites
from passive_pruner.metrics import beta_vae_score, factor_vae_score

SHAPES = ("square", "ellipse", "heart")
VARIANTS = ("binary", "color", "noisy")
# Areas in units of the square of the radius of the circle around each shape: the half-diagonal of
# the square is 1, the half-axes of the ellipse are 1 and 1/2, and the heart is a square of side 2a
# with two half-discs of radius a, whose centroid is a sqrt(2) (1 + (pi / 2 + 2 / 3) / (4 + pi))
# away from its tip.
AREAS = {
    "square": 2,
    "ellipse": pi / 2,
    "heart": (4 + pi) / 2 / (1 + (pi / 2 + 2 / 3) / (4 + pi)) ** 2,
}


@pytest.fixture(scope="module")
def sprites():
    return make_sprites()


@pytest.fixture(scope="module")
def small():
    return make_sprites(16, n_scales=2, n_orientations=3, n_positions=4)


def test_default_size_and_order(sprites):
    assert len(sprites) == 737_280
    assert sprites.factors == ("shape", "scale", "orientation", "position_x", "position_y")
    assert sprites.factor_sizes == (3, 6, 40, 32, 32)
    assert sprites.image_shape == (64, 64)
    assert sprites[0].dtype == np.uint8
    last = [2, 5, 39, 31, 31]
    assert sprites.factors_of(len(sprites) - 1).tolist() == last
    assert sprites.factors_of([0, 1, 32, 1024]).tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
    ]
    np.testing.assert_array_equal(sprites[-1], sprites.images([last])[0])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("image_size", [16, 28, 64])
def test_every_way_of_reading_gives_the_same_images(variant, image_size):
    data = make_sprites(image_size, variant=variant, random_state=0)
    indices = np.random.RandomState(0).randint(len(data), size=40)
    images = data[indices]
    assert images.dtype == np.uint8
    channels = () if variant == "binary" else (3,)
    assert images.shape == (40, image_size, image_size, *channels)
    factors = data.factors_of(indices)
    np.testing.assert_array_equal(data.indices_of(factors), indices)
    np.testing.assert_array_equal(data.images(factors), images)
    np.testing.assert_array_equal(data[indices - len(data)], images)
    np.testing.assert_array_equal(data[int(indices[3])], images[3])
    np.testing.assert_array_equal(data[indices[:10].tolist()], images[:10])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[indices], images)
    mask = np.zeros(len(data), dtype=bool)
    mask[indices] = True
    np.testing.assert_array_equal(data[mask], data[np.unique(indices)])
    np.testing.assert_array_equal(data[5:0:-2], data[[5, 3, 1]])
    assert data[:0].shape == data[[]].shape == (0, *data.image_shape)


def test_iteration_ends(small):
    assert len(list(small)) == len(small) == 288


@pytest.mark.parametrize("shape", SHAPES)
def test_area_and_centroid_are_those_of_the_shape(shape):
    data = make_sprites(256, shapes=[shape], n_positions=1, n_orientations=7)
    images = data[:].reshape(6, 7, 256, 256) // 255
    # The sides of an upright square are rounded to an even number of pixels: 46 for 45.25.
    radius = 64 * np.linspace(0.5, 1, 6)[:, np.newaxis]
    np.testing.assert_allclose(
        images.sum(axis=(2, 3)), AREAS[shape] * np.tile(radius, 7) ** 2, rtol=0.04
    )
    place = np.arange(256) - 127.5
    for axis in (2, 3):
        centroid = (images.sum(axis=axis) @ place) / images.sum(axis=(2, 3))
        np.testing.assert_allclose(centroid, 0, atol=0.3)


@pytest.mark.parametrize("image_size", [16, 28, 64])
def test_scales_are_nested(image_size):
    data = make_sprites(image_size, n_positions=1)
    images = data[:].reshape(3, 6, 40, image_size, image_size)
    assert (images[:, :-1] <= images[:, 1:]).all()
    area = (images // 255).sum(axis=(3, 4))
    # In smaller images two scales may cover the same pixels.
    assert image_size < 64 or (np.diff(area, axis=1) > 0).all()


def test_orientations_turn_counterclockwise():
    images = make_sprites(n_scales=1, n_positions=1)[:].reshape(3, 40, 64, 64)
    for quarter in range(1, 4):
        turned = np.rot90(images, quarter, axes=(2, 3))
        np.testing.assert_array_equal(np.roll(images, -10 * quarter, axis=1), turned)
    square, ellipse, heart = images
    np.testing.assert_array_equal(square[:10], square[10:20])
    np.testing.assert_array_equal(ellipse[:20], ellipse[20:])
    np.testing.assert_array_equal(heart[0], heart[0][:, ::-1])
    assert heart[0][:32].sum() > heart[0][32:].sum()  # The tip points down.
    distinct = [len(np.unique(shape.reshape(40, -1), axis=0)) for shape in images]
    assert distinct == [10, 20, 40]


@pytest.mark.parametrize("image_size", [16, 28, 64])
@pytest.mark.parametrize("n_positions", [1, 2, 5, None, "most"])
def test_positions_are_equal_steps_of_whole_pixels(image_size, n_positions):
    n = image_size // 2 + 1 if n_positions == "most" else n_positions
    data = make_sprites(image_size, n_orientations=1, n_scales=1, n_positions=n)
    n = n or image_size // 2
    images = data[:].reshape(3, n, n, image_size, image_size).astype(np.int64)
    # Nothing is cut off: all images of a shape have the same area.
    assert (np.ptp(images.sum(axis=(3, 4)), axis=(1, 2)) == 0).all()
    place = np.arange(image_size)
    for axis, position in ((3, 1), (4, 2)):
        centre = (images.sum(axis=axis) @ place) / images.sum(axis=(3, 4))
        # Columns follow position_x, from the left, and rows position_y, from the top.
        steps = np.diff(centre, axis=position)
        assert (np.ptp(centre, axis=3 - position) < 1e-9).all()
        if n > 1:
            np.testing.assert_allclose(steps, image_size // 2 // (n - 1))


def test_one_level_leaves_a_factor_out(sprites):
    hearts = make_sprites(shapes=["heart"], n_orientations=1)
    assert hearts.factors == ("scale", "position_x", "position_y")
    rows = np.array([[5, 3, 30], [0, 0, 0]])
    full = np.insert(np.insert(rows, 1, 0, axis=1), 0, 2, axis=1)
    np.testing.assert_array_equal(hearts.images(rows), sprites.images(full))


def test_colors_are_uniform_per_image_and_bright(sprites):
    data = make_sprites(variant="color", random_state=0)
    indices = np.random.RandomState(1).randint(len(data), size=600)
    images, on = data[indices], sprites[indices] == 255
    assert (images[~on] == 0).all()
    color = images.max(axis=(1, 2))
    np.testing.assert_array_equal(images, np.where(on[..., np.newaxis], color[:, None, None], 0))
    assert color.min() == 128
    assert color.max() == 255
    # Uniform over 128 levels: the standard error of the mean is 37 / sqrt(600) = 1.5.
    np.testing.assert_allclose(color.mean(axis=0), 191.5, atol=6)
    assert abs(np.corrcoef(color.T) - np.eye(3)).max() < 0.15


def test_noise_is_uniform_and_independent(sprites):
    data = make_sprites(variant="noisy", random_state=0)
    # Neighbours in the data set must not share their noise.
    images, on = data[100:164], sprites[100:164] == 255
    assert (images[on] == 255).all()
    noise = images[~on].ravel()
    counts = np.bincount(noise, minlength=256)
    # Chi-square with 255 degrees of freedom: mean 255, standard deviation 22.6.
    chi_square = ((counts - noise.size / 256) ** 2).sum() / (noise.size / 256)
    assert 150 < chi_square < 370
    corner = images[:, :10, :10].reshape(64, -1).astype(float)
    correlation = np.corrcoef(corner)[np.triu_indices(64, 1)]
    # 2016 pairs of 300 values: the standard error of each is 0.058.
    assert abs(correlation).max() < 0.3
    np.testing.assert_allclose(correlation.std(), 300**-0.5, rtol=0.15)


@pytest.mark.parametrize("variant", ["color", "noisy"])
def test_random_state_decides_about_color_and_noise(variant):
    def image(seed):
        return make_sprites(32, variant=variant, random_state=seed)[[7]]

    np.testing.assert_array_equal(image(3), image(3))
    np.testing.assert_array_equal(image(3), image(np.random.RandomState(3)))
    assert not np.array_equal(image(3), image(4))
    assert not np.array_equal(image(None), image(None))


def test_draws_are_uniform_and_leave_the_global_generator_alone(sprites):
    before = np.random.get_state()[1:]  # noqa: NPY002
    images, factors = sprites.sample(2000, random_state=0)
    sprites.sample(2)
    make_sprites(16, variant="noisy")
    np.testing.assert_equal(np.random.get_state()[1:], before)  # noqa: NPY002
    np.testing.assert_array_equal(factors, sprites.sample_factors(2000, random_state=0))
    np.testing.assert_array_equal(images, sprites.images(factors))
    for column, size in zip(factors.T, sprites.factor_sizes, strict=True):
        counts = np.bincount(column, minlength=size)
        assert counts.size == size
        assert ((counts - 2000 / size) ** 2).sum() / (2000 / size) < 2.5 * size


def centroids_and_area(images):
    """Codes that know three of the factors: position_x, position_y and scale."""
    place = np.linspace(-1, 1, images.shape[1])
    area = (images // 255).sum(axis=(1, 2))
    x, y = (((images // 255).sum(axis=axis) @ place) / area for axis in (1, 2))
    return np.column_stack([x, y, np.sqrt(area) / images.shape[1]])


@pytest.mark.parametrize("metric", [factor_vae_score, beta_vae_score])
def test_intervention_metrics_take_the_data_set(metric):
    data = make_sprites(16, shapes=["square"], n_orientations=1, n_scales=2)
    sizes = {"n_train": 100, "n_test": 100, "batch_size": 16, "random_state": 0}
    assert metric(centroids_and_area, data, **sizes) > 0.97
    noise = np.random.RandomState(0)
    assert metric(lambda x: noise.normal(size=(len(x), 3)), data, **sizes) < 0.6


class Trap:
    """Complains when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the metadata were unpickled",))


def write_dsprites(path, data, **changes):
    classes = np.insert(data.factors_of(np.arange(len(data))), 0, 0, axis=1)
    arrays = {"imgs": data[:] // 255, "latents_classes": classes, **changes}
    metadata = np.array(Trap(), dtype=object)
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez_compressed(path, metadata=metadata, **kept)
    return path


def test_a_file_in_the_layout_of_dsprites_gives_the_same_data_set(small, tmp_path):
    data = load_dsprites(write_dsprites(tmp_path / "sprites.npz", small))
    assert data.factors == small.factors
    assert data.factor_sizes == small.factor_sizes
    np.testing.assert_array_equal(data[:], small[:])
    for a, b in zip(data.sample(20, 3), small.sample(20, 3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert repr(data) == repr(small)


def levels(data, **changes):
    """Levels of the six factors of dSprites, with cells changed by (row, column)."""
    classes = np.insert(data.factors_of(np.arange(len(data))), 0, 0, axis=1)
    for (row, column), level in changes.get("cells", {}).items():
        classes[row, column] = level
    return classes


def test_files_of_another_layout_are_refused(small, tmp_path):
    classes = levels(small)
    two_wrong = levels(small, cells={(0, 5): 1, (1, 5): 0})
    for changes, message in (
        ({"imgs": None}, r"has no imgs, but \['metadata', 'latents_classes'\]"),
        (
            {"latents_classes": classes[:, 1:]},
            r"\(288, 5\), but 288 images .* levels of color, shape",
        ),
        ({"latents_classes": classes[:0]}, r"\(0, 6\), but 288 images"),
        ({"latents_classes": classes.astype(float)}, "float64 .* a row of integers"),
        ({"latents_classes": classes[::-1]}, "not all combinations of .* in order"),
        ({"latents_classes": two_wrong}, "not all combinations of .* in order"),
        ({"latents_classes": levels(small, cells={(0, 0): -1})}, "not all combinations"),
        ({"latents_classes": levels(small, cells={(3, 5): 10**15})}, "not all combinations"),
        ({"imgs": small[:]}, "up to 255, but dSprites are 0 and 1"),
        ({"imgs": small[:] / 255}, "imgs of .* are float64 .* but dSprites are uint8"),
        ({"imgs": small[:].reshape(288, -1)}, r"shape \(288, 256\), but"),
        ({"imgs": small[:0], "latents_classes": classes[:0]}, r"shape \(0, 16, 16\), but"),
        ({"imgs": np.array([None])}, "cannot be read as the .npz file of dSprites"),
    ):
        path = write_dsprites(tmp_path / "other.npz", small, **changes)
        with pytest.raises(ValueError, match=message):
            load_dsprites(path)


def test_damaged_and_other_files_are_refused(small, tmp_path):
    whole = write_dsprites(tmp_path / "sprites.npz", small).read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 3] ^= 0xFF
    np.save(tmp_path / "images.npy", small[:2])
    contents = {
        "half.npz": whole[: len(whole) // 2],
        "broken.npz": bytes(broken),
        "empty.npz": b"",
        "page.npz": b"<!DOCTYPE html><html>Sign in</html>",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in (*contents, "images.npy"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as the .npz file of dSprites"):
            load_dsprites(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        load_dsprites(tmp_path / "nowhere.npz")


@pytest.mark.parametrize("draw", ["sample", "sample_factors"])
def test_the_number_of_draws_is_checked(small, draw):
    for n, error, message in (
        (-1, ValueError, "n == -1, must be >= 0"),
        ("9", TypeError, "n must be an instance of int, not str"),
        (2.0, TypeError, "n must be an instance of int, not float"),
        (None, TypeError, "n must be an instance of int, not NoneType"),
    ):
        with pytest.raises(error, match=message):
            getattr(small, draw)(n)
    assert len(small.sample_factors(0)) == 0
    assert len(small.sample(np.int64(3))[0]) == 3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"image_size": 12}, "image_size == 12, must be >= 16"),
        ({"image_size": 30}, "divisible by 4, got 30"),
        ({"shapes": ["circle"]}, r"'square', 'ellipse', 'heart', got \['circle'\]"),
        ({"shapes": "heart"}, "must be a list"),
        ({"shapes": None}, "must be a list .* got None"),
        ({"shapes": [["heart"]]}, "must be a list"),
        ({"variant": ["noisy"]}, r"got \['noisy'\]"),
        ({"shapes": []}, "must be a list"),
        ({"shapes": ["heart", "heart"]}, "different ones"),
        ({"n_scales": 0}, "n_scales == 0, must be >= 1"),
        ({"n_orientations": 0}, "n_orientations == 0, must be >= 1"),
        ({"image_size": 32, "n_positions": 32}, "n_positions == 32, must be <= 17"),
        ({"variant": "colour"}, "'binary', 'color', 'noisy'.*got 'colour'"),
        ({"shapes": ["heart"], "n_scales": 1, "n_orientations": 1, "n_positions": 1}, "vary"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        make_sprites(**params)


@pytest.mark.parametrize("index", [288, -289, [0, 288], 1.0, [[0, 1]], "a", [True, False]])
def test_bad_indices_are_refused(small, index):
    with pytest.raises(IndexError, match=r"288"):
        small[index]


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([[0, 0, 0, 0]], "4 columns. Pass one for each"),
        ([[0, 0, 3, 0, 0]], r"factors\[0, 2\] = 3, .*'orientation' run from 0 to 2"),
        ([[0, 0, 0, 0, 0], [0, -1, 0, 0, 0]], r"factors\[1, 1\] = -1"),
        ([[0.5, 0, 0, 0, 0]], "float64, but levels are integers"),
    ],
)
def test_bad_factors_are_refused(small, factors, message):
    with pytest.raises(ValueError, match=message):
        small.images(factors)


@pytest.mark.parametrize(
    ("factors", "sizes", "message"),
    [
        (["a"], [2, 3], "1 names of factors and 2 sizes"),
        ([], [], "at least one"),
        (["a", "b"], [6, 1], "at least 2 levels"),
        (["a", "b"], [2, 4], "6 images, but .* has 8 combinations"),
    ],
)
def test_contradicting_factors_are_refused(factors, sizes, message):
    with pytest.raises(ValueError, match=message):
        FactorImages(np.zeros((6, 4, 4)), factors, sizes)


@pytest.mark.parametrize(
    ("factors", "sizes", "message"),
    [
        ("ab", [2, 3], "factors must be a sequence of names, got 'ab'"),
        ([1, 2], [2, 3], r"sequence of names, got \[1, 2\]"),
        (["a", "b"], [2.5, 3], r"factor_sizes must be integers, got \[2.5, 3\]"),
        (["a", "b"], ["2", "3"], "factor_sizes must be integers"),
    ],
)
def test_factors_are_names_and_sizes_are_integers(factors, sizes, message):
    with pytest.raises(TypeError, match=message):
        FactorImages(np.zeros((6, 4, 4)), factors, sizes)
