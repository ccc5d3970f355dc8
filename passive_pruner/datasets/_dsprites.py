"""The file of the dSprites data set, behind the same face as the sprites that are drawn here."""

from os import PathLike
from zipfile import is_zipfile

import numpy as np
from numpy.lib.npyio import NpzFile

from passive_pruner._common._files import checked_path
from passive_pruner.datasets._factors import FactorImages

_FACTORS = ("color", "shape", "scale", "orientation", "position_x", "position_y")


def load_dsprites(path: str | PathLike[str]) -> FactorImages:
    """Read dSprites from the .npz file in which it is published.

    The images take 3 GB of memory. Pickled objects in the file are not read.

    Parameters
    ----------
    path : str or path-like
        ``dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`` of [1]_, or a file of the same layout.

    Returns
    -------
    images : FactorImages
        Data set of images of shape (64, 64), uint8, whose pixels are 0 and 255 where the file has
        0 and 1. Factors with a single level, such as "color", are left out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or has another layout.

    References
    ----------
    .. [1] L. Matthey et al., "dSprites: disentanglement testing sprites dataset", 2017,
       https://github.com/deepmind/dsprites-dataset.

    Examples
    --------
    A small file of this layout, from sprites that are drawn:

    >>> import tempfile
    >>> import numpy as np
    >>> from passive_pruner.datasets import load_dsprites, make_sprites
    >>> sprites = make_sprites(16, n_scales=2, n_orientations=2, n_positions=4)
    >>> color = np.zeros((len(sprites), 1), dtype=np.int64)
    >>> classes = np.hstack([color, sprites.factors_of(range(len(sprites)))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/sprites.npz"
    ...     np.savez_compressed(path, imgs=sprites[:] // 255, latents_classes=classes)
    ...     load_dsprites(path)
    <192 images of shape (16, 16); factors shape: 3, scale: 2, orientation: 2, position_x: 4,
    position_y: 4>
    """
    classes, images = _read(path)
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) == 0:
        raise ValueError(
            f"imgs of {path} are {images.dtype} of shape {images.shape}, but dSprites are uint8 of "
            "shape (n_images, height, width)."
        )
    if images.max() > 1:
        raise ValueError(f"imgs of {path} go up to {images.max()}, but dSprites are 0 and 1.")
    if classes.dtype.kind not in "iu" or classes.shape != (len(images), len(_FACTORS)):
        raise ValueError(
            f"latents_classes of {path} are {classes.dtype} of shape {classes.shape}, but "
            f"{len(images)} images have a row of integers each, the levels of "
            f"{', '.join(_FACTORS)}."
        )
    sizes = classes.max(axis=0).astype(np.int64) + 1
    # The levels as a number with a digit per factor count the images.
    n_after = np.append(np.cumprod(sizes[:0:-1])[::-1], 1)
    if sizes.prod() != len(images) or (classes @ n_after != np.arange(len(images))).any():
        raise ValueError(
            f"latents_classes of {path} are not all combinations of {tuple(sizes.tolist())} levels "
            "in order, the last varying fastest. Pass the file as it is published."
        )
    images *= 255
    varying = sizes > 1
    return FactorImages(images, np.asarray(_FACTORS)[varying].tolist(), sizes[varying].tolist())


def _read(path):
    """Return the arrays latents_classes and imgs of an .npz file."""
    with open(checked_path(path), "rb") as stream:
        try:
            if not is_zipfile(stream):
                raise ValueError("it is no .npz archive")
            stream.seek(0)
            file = np.load(stream, allow_pickle=False)
            if not isinstance(file, NpzFile):
                raise ValueError("it is a single array")
            missing = {"imgs", "latents_classes"} - set(file.files)
            if missing:
                raise ValueError(f"it has no {' and no '.join(sorted(missing))}, but {file.files}")
            return file["latents_classes"], file["imgs"]
        except MemoryError:
            raise
        except Exception as error:
            # What zipfile, zlib and numpy raise for a part of a download, a damaged file or
            # a web page that was saved in its place, has no common class.
            raise ValueError(
                f"{path} cannot be read as the .npz file of dSprites: {error}. Pass the file as it "
                "is published."
            ) from error
