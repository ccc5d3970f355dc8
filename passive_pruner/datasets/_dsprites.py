"""The file of the dSprites data set, behind the same face as the sprites that are drawn here."""

from os import PathLike

import numpy as np

from passive_pruner.datasets._factors import FactorImages

_FACTORS = ("color", "shape", "scale", "orientation", "position_x", "position_y")


def load_dsprites(path: str | PathLike[str]) -> FactorImages:
    """Read dSprites from the .npz file in which it is published.

    Images are held in memory, 3 GB of them. Pickled objects in the file are not read.

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
    ValueError
        If the file has another layout.

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
    with np.load(path, allow_pickle=False) as file:
        missing = {"imgs", "latents_classes"} - set(file.files)
        if missing:
            raise ValueError(
                f"{path} has no {' and no '.join(sorted(missing))}, but {file.files}. Pass the "
                ".npz file of dSprites."
            )
        classes, images = file["latents_classes"], file["imgs"]
    if classes.shape != (len(images), len(_FACTORS)):
        raise ValueError(
            f"latents_classes has shape {classes.shape}, but {len(images)} images have a row each "
            f"with the levels of {', '.join(_FACTORS)}."
        )
    sizes = classes.max(axis=0) + 1
    indices = np.ravel_multi_index(tuple(classes.T), tuple(sizes))
    if not np.array_equal(indices, np.arange(sizes.prod())):
        raise ValueError(
            f"latents_classes are not all combinations of {tuple(sizes)} levels in order, the last "
            "varying fastest. Pass the file as it is published."
        )
    if images.dtype != np.uint8 or images.max() > 1:
        raise ValueError(
            f"imgs are {images.dtype} up to {images.max()}, but dSprites are uint8 of 0 and 1."
        )
    images *= 255
    varying = sizes > 1
    return FactorImages(images, np.asarray(_FACTORS)[varying].tolist(), sizes[varying].tolist())
