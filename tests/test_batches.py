"""Rows and batches: what is read, in which order, and in how much memory."""

import tracemalloc
from itertools import islice

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from passive_pruner._common._rows import Rows, flat_images
from passive_pruner.training._batches import permuted_batches
from passive_pruner.vae import MLP

DENSE = (
    (np.random.default_rng(0).random((40, 7)) * np.arange(40)[:, None]).round().astype("float32")
)


def with_duplicates(X):
    """CSR array that holds every entry in two halves."""
    X = sp.coo_array(X / 2)
    rows, columns = np.tile(X.coords[0], 2), np.tile(X.coords[1], 2)
    order = np.argsort(rows, kind="stable")
    indptr = np.searchsorted(rows[order], np.arange(X.shape[0] + 1))
    csr = sp.csr_array((np.tile(X.data, 2)[order], columns[order], indptr), shape=X.shape)
    assert not csr.has_canonical_format
    return csr


def memory_map(X, path):
    np.save(path, X)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    "make",
    [
        lambda X, _: X,
        lambda X, _: X.astype(np.float64),
        lambda X, _: np.asfortranarray(X),
        lambda X, _: X.astype(np.uint8),
        lambda X, _: sp.csr_matrix(X),
        lambda X, _: sp.csr_array(X.astype(np.float64)),
        lambda X, _: with_duplicates(X),
        lambda X, path: memory_map(X, path),
        lambda X, path: memory_map(X.astype(np.uint8), path),
    ],
    ids=[
        "float32",
        "float64",
        "fortran",
        "uint8",
        "csr_matrix",
        "csr_array",
        "csr_with_duplicates",
        "memmap",
        "uint8_memmap",
    ],
)
def test_rows_are_the_same_whatever_holds_them(make, tmp_path):
    X = make(DENSE, tmp_path / "X.npy")
    rows = Rows(X)
    assert len(rows) == 40
    assert rows.shape == (40, 7)
    chunks = list(rows.chunks(16))
    assert [chunk for chunk, _ in chunks] == [slice(0, 16), slice(16, 32), slice(32, 40)]
    index = np.array([3, 39, 0, 3])
    for expected, actual in [
        (DENSE[index], rows[index]),
        (DENSE[5:30:4], rows[5:30:4]),
        (DENSE, np.concatenate([x for _, x in chunks])),
    ]:
        assert type(actual) is np.ndarray
        assert actual.dtype == np.float32
        assert actual.flags.c_contiguous
        assert actual.flags.writeable
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("index", [slice(0, 40), np.arange(40)], ids=["slice", "array"])
def test_rows_never_write_into_the_data(index):
    X = DENSE.copy()
    Rows(X)[index].fill(-1)
    Rows(X, divisor=2)[index]
    np.testing.assert_array_equal(X, DENSE)


def test_bytes_are_scaled_to_the_unit_interval_if_asked():
    X = np.arange(256, dtype=np.uint8).reshape(64, 4)
    np.testing.assert_array_equal(Rows(X)[:].ravel(), np.arange(256))
    for data in (X, sp.csr_array(X)):
        scaled = Rows(data, divisor=255)[:].ravel()
        np.testing.assert_array_equal(scaled, np.arange(256, dtype=np.float32) / np.float32(255))
        assert (scaled.min(), scaled.max()) == (0, 1)


@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 1), (4, 8, 3)])
def test_images_become_rows_without_a_copy(shape):
    image_shape = (*shape, 1)[:3]
    images = np.arange(5 * np.prod(shape), dtype=np.uint8).reshape(5, *shape)
    rows = flat_images(images, image_shape)
    assert np.shares_memory(rows, images)
    np.testing.assert_array_equal(rows, images.reshape(5, -1))
    assert flat_images(rows, image_shape) is rows
    with pytest.raises(ValueError, match="expects height, width and channels"):
        flat_images(images, (8, 4, image_shape[2]))


def test_images_with_channels_first_are_told_so():
    with pytest.raises(ValueError, match=r"numpy.moveaxis\(X, 1, -1\)"):
        flat_images(np.zeros((5, 3, 8, 8), np.uint8), (8, 8, 3))


@pytest.mark.parametrize(("n_rows", "batch_size"), [(10, 4), (9, 4), (3, 8), (65, 64), (1, 1)])
def test_every_pass_visits_every_row_once_in_even_batches(n_rows, batch_size):
    X = Rows(np.arange(n_rows, dtype=np.float32)[:, None])
    batches = permuted_batches(X, np.arange(n_rows), batch_size, np.random.RandomState(0))
    n_batches = -(-n_rows // batch_size)
    passes = [torch.cat(list(islice(batches, n_batches))).flatten() for _ in range(2)]
    for one_pass in passes:
        np.testing.assert_array_equal(np.sort(one_pass), np.arange(n_rows))
    sizes = {len(b) for b in islice(batches, n_batches)}
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_batches_hold_the_chosen_rows_only_in_a_new_order_in_every_pass():
    chosen = np.arange(1, 40, 2)
    X = np.arange(40)[:, None]
    batches = permuted_batches(Rows(X), chosen, 20, np.random.RandomState(0))
    first, second = (batch.flatten().tolist() for batch in islice(batches, 2))
    assert sorted(first) == sorted(second) == list(chosen)
    assert first != second


def test_sparse_and_dense_data_give_the_same_batches_and_codes():
    sparse = sp.random_array((300, 50), density=0.1, format="csr", rng=np.random.default_rng(0))
    tables = [Rows(sparse), Rows(sparse.toarray())]
    encoder, _ = MLP((16,)).build(50, 3, 50)
    codes = [
        torch.cat([encoder(torch.from_numpy(x)) for _, x in rows.chunks(128)]) for rows in tables
    ]
    assert torch.equal(*codes)
    batches = [
        permuted_batches(rows, np.arange(300), 64, np.random.RandomState(0)) for rows in tables
    ]
    for a, b in islice(zip(*batches, strict=True), 10):
        assert torch.equal(a, b)


@pytest.fixture(scope="module")
def large_sparse():
    """CSR array of 50,000 x 2,000 with 20 entries per row: 8 MB instead of 400."""
    n_rows, n_columns, per_row = 50_000, 2_000, 20
    rng = np.random.default_rng(0)
    columns = (np.arange(per_row) * 100 + rng.integers(0, 100, (n_rows, per_row))).astype(np.int32)
    data = np.ones(n_rows * per_row, dtype=np.float32)
    indptr = np.arange(0, n_rows * per_row + 1, per_row, dtype=np.int32)
    return sp.csr_array((data, columns.ravel(), indptr), shape=(n_rows, n_columns))


@pytest.mark.parametrize("source", ["sparse", "memmap"])
def test_a_pass_allocates_a_few_batches(source, large_sparse, tmp_path):
    X, n_bytes = large_sparse, 4
    if source == "memmap":
        X, n_bytes = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.uint8, (50_000, 500)), 5
    batch_bytes = 256 * X.shape[1] * n_bytes
    tracemalloc.start()
    try:
        rows = Rows(X, divisor=255)
        batches = permuted_batches(rows, np.arange(len(rows)), 256, np.random.RandomState(0))
        total = sum(float(batch.sum()) for batch in islice(batches, -(-len(rows) // 256)))
        total_chunks = sum(float(x.sum()) for _, x in rows.chunks(256))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose([total, total_chunks], X.sum() / 255, rtol=1e-5)
    # Besides batches there are the row numbers and their permutation, 8 bytes per row each.
    assert peak < 3 * batch_bytes + 3 * 8 * len(rows)


def test_a_part_is_wrapped_and_not_read():
    X = np.arange(24, dtype=np.uint8).reshape(6, 4)
    part = Rows(X, divisor=255).part(slice(1, 3))
    assert part.shape == (2, 4)
    np.testing.assert_array_equal(part[:], Rows(X, divisor=255)[1:3])


@pytest.mark.parametrize("seed", range(5))
def test_rows_that_stand_for_a_table_have_no_period(seed):
    hour = np.arange(48_000) % 24
    drawn = Rows(hour[:, None]).draw(2000, np.random.default_rng(seed))[:].ravel()
    assert len(drawn) == 2000
    counts = np.bincount(drawn.astype(int), minlength=24)
    assert counts.min() > 40 and counts.max() < 140  # 83 are expected


def test_batches_of_two_leave_no_row_alone():
    X = Rows(np.arange(401, dtype=np.float32)[:, None])
    batches = permuted_batches(X, np.arange(401), 2, np.random.RandomState(0))
    passes = [torch.cat(list(islice(batches, 200))).ravel() for _ in range(3)]
    assert all(len(one.unique()) == 400 for one in passes)
    assert len(torch.cat(passes).unique()) == 401


@pytest.mark.parametrize(
    ("offset", "spread", "is_lost"),
    [(1.7e9, 20, True), (0, 1, False), (1e6, 1e3, False), (1e12, 1e4, True)],
)
@pytest.mark.parametrize("make", [np.asarray, sp.csr_array])
def test_columns_that_float32_cannot_tell_apart(make, offset, spread, is_lost):
    X = offset + spread * np.random.default_rng(0).standard_normal((1000, 2))
    X[:, 1] = 7.0  # a constant has nothing to lose
    found, mean = Rows(make(X)).lost_columns()
    assert found.tolist() == [is_lost, False]
    np.testing.assert_allclose(mean[0], X[:, 0].mean(), rtol=1e-13, atol=1e-9)
    centred = Rows(make(X)).with_origin(np.where(found, mean, 0.0))[:]
    np.testing.assert_allclose(centred[:, 0].std(), X[:, 0].std(), rtol=1e-4)
