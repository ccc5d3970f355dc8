"""Images of sprites with known factors, like those of dSprites, drawn when asked for."""

from collections.abc import Sequence
from math import pi, prod
from numbers import Integral

import numpy as np

from passive_pruner._common._parameters import check_number
from passive_pruner._common._validation import local_random_state
from passive_pruner.datasets._factors import FactorImages

_VARIANTS = ("binary", "color", "noisy")

# A pixel whose centre lies on the edge of a shape belongs to it, whichever way the rotation by a
# right angle is rounded.
_EDGE = 1 + 1e-9

# Half the side of the square of the heart, which has a half-disc on two adjacent sides: their
# centroid is at (c, c) of that unit, and the opposite corner is the point farthest from it.
_HEART_CENTROID = (pi / 2 + 2 / 3) / (4 + pi)
_HEART_SIDE = 1 / (np.sqrt(2) * (1 + _HEART_CENTROID))

# Images that get their noise at a time: their numbers stay in the cache of the processor.
_NOISE_CHUNK = 32


def make_sprites(
    image_size: int = 64,
    *,
    shapes: Sequence[str] = ("square", "ellipse", "heart"),
    n_scales: int = 6,
    n_orientations: int = 40,
    n_positions: int | None = None,
    variant: str = "binary",
    random_state: int | np.random.RandomState | None = None,
) -> FactorImages:
    """Generate a data set of sprites that differ in shape, scale, orientation and position.

    It resembles dSprites [1]_: by default it has 3 x 6 x 40 x 32 x 32 = 737,280 images in the same
    order of the same factors, the last of which varies fastest, but its shapes are drawn anew. A
    pixel is on if its centre lies in the shape. Images are computed on demand; only one copy of
    each sprite is kept in memory.

    Factors with a single level are left out, so ``n_scales=1`` gives sprites of one size.

    Parameters
    ----------
    image_size : int, default=64
        Height and width in pixels, divisible by 4 and at least 16.
    shapes : sequence of {"square", "ellipse", "heart"}, default=("square", "ellipse", "heart")
        Levels of the factor "shape". All fit in a circle around their centroid.
    n_scales : int, default=6
        Levels of "scale", evenly spaced from 0.5 to 1; a single one is 1. At scale 1 the radius of
        the circle is a quarter of the image.
    n_orientations : int, default=40
        Levels of "orientation", evenly spaced turns counterclockwise from 0 to less than 2 pi. A
        square looks the same after a quarter of a turn, an ellipse after half a turn.
    n_positions : int or None, default=None
        Levels of each of "position_x" (from the left) and "position_y" (from the top), at most
        ``image_size // 2 + 1``: equal steps of whole pixels, the longest at which no sprite is cut
        off. None means ``image_size // 2``.
    variant : {"binary", "color", "noisy"}, default="binary"
        Black background and white sprites; or sprites of random color, each channel uniform over
        the upper half of its range; or white sprites on uniform noise in every pixel and channel,
        as in [2]_.
    random_state : int, RandomState instance or None, default=None
        Seed of colors and noise. The data set always returns the same image for the same index.

    Returns
    -------
    sprites : FactorImages
        Data set of images of shape (image_size, image_size), or (image_size, image_size, 3) with
        color or noise, uint8, from 0 to 255, as VAEEncoder accepts them with a Conv architecture.

    Raises
    ------
    ValueError
        If a parameter is outside of the ranges above, or only one image would be left.

    References
    ----------
    .. [1] L. Matthey et al., "dSprites: disentanglement testing sprites dataset", 2017,
       https://github.com/deepmind/dsprites-dataset.
    .. [2] F. Locatello et al., "Challenging common assumptions in the unsupervised learning of
       disentangled representations", ICML 2019, arXiv:1811.12359.

    Examples
    --------
    >>> from passive_pruner.datasets import make_sprites
    >>> sprites = make_sprites()
    >>> sprites
    <737280 images of shape (64, 64); factors shape: 3, scale: 6, orientation: 40, position_x: 32,
    position_y: 32>
    >>> sprites[100_000:100_010].shape
    (10, 64, 64)
    >>> images, factors = sprites.sample(1000, random_state=0)
    >>> hearts = make_sprites(32, shapes=["heart"], n_scales=1, variant="color", random_state=0)
    >>> hearts
    <10240 images of shape (32, 32, 3); factors orientation: 40, position_x: 16, position_y: 16>
    """
    check_number(image_size, "image_size", Integral, min_val=16)
    if image_size % 4:
        raise ValueError(f"image_size must be divisible by 4, got {image_size!r}.")
    if n_positions is None:
        n_positions = image_size // 2
    check_number(n_scales, "n_scales", Integral, min_val=1)
    check_number(n_orientations, "n_orientations", Integral, min_val=1)
    check_number(n_positions, "n_positions", Integral, min_val=1, max_val=image_size // 2 + 1)
    is_list = isinstance(shapes, (Sequence, np.ndarray)) and not isinstance(shapes, str)
    names = [str(shape) for shape in shapes] if is_list else []
    if not names or not _INSIDE.keys() >= set(names) or len(set(names)) < len(names):
        raise ValueError(
            f"shapes must be a list of different ones of {', '.join(map(repr, _INSIDE))}, "
            f"got {shapes!r}."
        )
    if not isinstance(variant, str) or variant not in _VARIANTS:
        raise ValueError(f"variant must be one of {_VARIANTS}, got {variant!r}.")
    sizes = {
        "shape": len(shapes),
        "scale": n_scales,
        "orientation": n_orientations,
        "position_x": n_positions,
        "position_y": n_positions,
    }
    if prod(sizes.values()) == 1:
        raise ValueError("Every factor has a single level. Let at least one of them vary.")

    seed = np.uint64(local_random_state(random_state).randint(0, 2**64, dtype=np.uint64))
    images = _Sprites(image_size, names, n_scales, n_orientations, n_positions, variant, seed)
    varying = {name: size for name, size in sizes.items() if size > 1}
    return FactorImages(images, tuple(varying), tuple(varying.values()))


class _Sprites:
    """Images of sprites, by index: each sprite is drawn once, and pasted where it belongs."""

    def __init__(self, size, shapes, n_scales, n_orientations, n_positions, variant, seed):
        self.size, self.variant, self.seed = size, variant, seed
        self.n_channels = 1 if variant == "binary" else 3
        # Channels of a pixel lie next to each other: a row of an image is one piece of memory.
        sprites = _draw_sprites(size // 4, shapes, n_scales, n_orientations)
        self.sprites = np.repeat(sprites, self.n_channels, axis=2)
        self.factor_sizes = (len(sprites), n_positions, n_positions)
        room = size - sprites.shape[1]
        self.step = room // max(n_positions - 1, 1)
        self.start = (room - self.step * (n_positions - 1)) // 2

    def __len__(self):
        return prod(self.factor_sizes)

    def __getitem__(self, indices):
        sprite, x, y = np.unravel_index(indices, self.factor_sizes)
        sprites = self.sprites[sprite]
        images = np.zeros((len(indices), self.size, self.size * self.n_channels), dtype=np.uint8)
        if self.variant == "color":
            color = _random_bytes(self.seed, indices, 8)[:, :3] | np.uint8(128)
            sprites &= np.tile(color, sprites.shape[1])[:, np.newaxis]
        if self.variant == "noisy":
            for start in range(0, len(images), _NOISE_CHUNK):
                chunk = slice(start, start + _NOISE_CHUNK)
                noise = _random_bytes(self.seed, indices[chunk], images[0].size)
                images[chunk] = noise.reshape(-1, *images.shape[1:])
        windows = np.lib.stride_tricks.sliding_window_view(
            images, sprites.shape[1:], axis=(1, 2), writeable=True
        )
        top, left = self.start + self.step * y, self.start + self.step * x
        windows[np.arange(len(images)), top, left * self.n_channels] |= sprites
        return images if self.variant == "binary" else images.reshape(-1, self.size, self.size, 3)


def _draw_sprites(radius, shapes, n_scales, n_orientations):
    """Return sprites of shape (n_sprites, 2 * radius, 2 * radius), uint8, 0 and 255."""
    centre = np.arange(2 * radius) + 0.5 - radius
    right, up = np.meshgrid(centre, -centre)
    # Points are turned back and shrunk into the frame of the upright shape in the unit circle.
    angle = (2 * pi / n_orientations * np.arange(n_orientations))[:, np.newaxis, np.newaxis]
    scale = np.linspace(1, 0.5, n_scales)[::-1].reshape(-1, 1, 1, 1) * radius
    x = (np.cos(angle) * right + np.sin(angle) * up) / scale
    y = (np.cos(angle) * up - np.sin(angle) * right) / scale
    sprites = np.concatenate([_INSIDE[shape](x, y) for shape in shapes])
    return sprites.reshape(-1, 2 * radius, 2 * radius) * np.uint8(255)


def _in_square(x, y):
    return np.maximum(abs(x), abs(y)) <= np.sqrt(0.5) * _EDGE


def _in_ellipse(x, y):
    return x**2 + (2 * y) ** 2 <= _EDGE


def _in_heart(x, y):
    # The square stands on its corner; the half-discs are on its two upper sides.
    u = np.sqrt(0.5) * (y + x) / _HEART_SIDE + _HEART_CENTROID
    v = np.sqrt(0.5) * (y - x) / _HEART_SIDE + _HEART_CENTROID
    in_square = np.maximum(abs(u), abs(v)) <= _EDGE
    in_discs = np.minimum((u - 1) ** 2 + v**2, u**2 + (v - 1) ** 2) <= _EDGE
    return in_square | in_discs


_INSIDE = {"square": _in_square, "ellipse": _in_ellipse, "heart": _in_heart}


def _random_bytes(seed, indices, n_bytes):
    """Return `n_bytes` (divisible by 8) random bytes per index, as rows of a uint8 array.

    Row i is piece i of the stream of SplitMix64, in which any place can be computed at once
    (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
    """
    n_words = n_bytes // 8
    gamma = np.uint64(0x9E3779B97F4A7C15)
    start = seed + gamma * (indices.astype(np.uint64) * np.uint64(n_words))
    z = start[:, np.newaxis] + gamma * np.arange(1, n_words + 1, dtype=np.uint64)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z.view(np.uint8)
