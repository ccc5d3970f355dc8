"""Memory while training on data that is larger than it: ``python -m benchmarks.memory``. Linux.

Every work runs in a process of its own that may take `LIMIT` MiB beyond what it has at its start:
address space (``ulimit -v``) where Parquet is read, private memory (``ulimit -d``) where a file is
mapped, because a mapping takes address space and no memory that the system could not take back.
"""

import multiprocessing
import os
import pickle
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks._timing import print_table
from examples.out_of_core import (
    GROUP_ROWS,
    blocks,
    find_passive,
    make_data,
    make_encoder,
    train,
    write_codes,
)
from passive_pruner import PassiveVariableRemover, VAEEncoder
from passive_pruner.vae import MLP

MIB = 2**20
LIMIT = 128
SIZES = (LIMIT, 2 * LIMIT, 4 * LIMIT)
N_COLUMNS = 64
# Single pools, so that what is measured is what is in use.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "ARROW_IO_THREADS": "1",
}


def make_files(folder, n_rows):
    make_data(folder / "data.parquet", n_rows, N_COLUMNS)
    X = np.lib.format.open_memmap(
        folder / "data.npy", "w+", dtype=np.float32, shape=(n_rows, N_COLUMNS)
    )
    start = 0
    for block in blocks(folder / "data.parquet"):
        X[start : start + len(block)] = block
        start += len(block)


def small_encoder(n_steps=1):
    """An encoder whose steps are fast: their number is nothing that memory depends on."""
    return VAEEncoder(12, architecture=MLP((16,)), batch_size=2048, max_steps=n_steps)


def parquet_train(folder):
    fitted = train(folder / "data.parquet", small_encoder(), max_passes=1)
    (folder / "fitted.pickle").write_bytes(pickle.dumps(fitted))


def parquet_find_passive(folder):
    scaler, encoder = pickle.loads((folder / "fitted.pickle").read_bytes())
    remover = find_passive(folder / "data.parquet", scaler, encoder)
    (folder / "fitted.pickle").write_bytes(pickle.dumps((scaler, encoder, remover)))


def parquet_write_codes(folder):
    fitted = pickle.loads((folder / "fitted.pickle").read_bytes())
    write_codes(folder / "data.parquet", folder / "codes.parquet", *fitted)


def parquet_at_once(folder):
    # pyarrow.parquet.read_table would wait for ever for a thread that finds no memory.
    pq.ParquetFile(folder / "data.parquet").read(use_threads=False)


def mapped(folder):
    return np.load(folder / "data.npy", mmap_mode="r")


def mapped_fit(folder):
    X = mapped(folder)
    encoder = small_encoder(n_steps=len(X) // 2048).fit(X)
    (folder / "mapped.pickle").write_bytes(pickle.dumps(encoder))


def mapped_transform(folder):
    encoder = pickle.loads((folder / "mapped.pickle").read_bytes())
    np.save(folder / "codes.npy", encoder.transform(mapped(folder)))


def mapped_remover(folder):
    PassiveVariableRemover(threshold=0).fit(np.load(folder / "codes.npy", mmap_mode="r"))


def mapped_at_once(folder):
    np.load(folder / "data.npy")


# What is run: (label, function, whether its memory has to stay under the limit).
WORKS = [
    ("Parquet: scaler and one pass of `encoder.partial_fit`", parquet_train, True),
    ("Parquet: `remover.partial_fit` on the codes", parquet_find_passive, True),
    ("Parquet: pruned codes to Parquet", parquet_write_codes, True),
    ("Parquet: `ParquetFile.read`, for comparison", parquet_at_once, False),
    ("memory map: `encoder.fit`, one pass", mapped_fit, True),
    ("memory map: `encoder.transform`", mapped_transform, True),
    ("memory map of codes: `remover.fit`", mapped_remover, True),
    ("`np.load` without a map, for comparison", mapped_at_once, False),
]


def of_process(field):
    """A line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def limit_memory(mib, *, mapping=False):
    """Let this process take `mib` MiB more, not counting mapped files if `mapping`."""
    kind, field = (resource.RLIMIT_DATA, "VmData") if mapping else (resource.RLIMIT_AS, "VmSize")
    limit = int((of_process(field) + mib) * MIB)
    resource.setrlimit(kind, (limit, limit))


def run(work, folder, results):
    """Do one work under the limit; put the peak of private memory beyond the start, in MiB."""
    peak = start = of_process("RssAnon")
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, of_process("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    limit_memory(LIMIT, mapping="mapped" in work.__name__)
    failed = False
    try:
        work(folder)
    except MemoryError:
        failed = True
    finally:
        done.set()
        watcher.join()
    results.put("MemoryError" if failed else f"{peak - start:.0f}")


def in_process(function, *args):
    """Call `function` in a copy of this process, so that what it leaves behind ends with it."""
    process = multiprocessing.get_context("fork").Process(target=function, args=args)
    process.start()
    process.join()
    assert process.exitcode == 0, function.__name__


def curves():
    small_encoder().fit(np.eye(4))  # torch imports the rest of itself when it is used
    results = multiprocessing.get_context("fork").SimpleQueue()
    cells = {label: [label] for label, _, _ in WORKS}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            in_process(make_files, Path(name), size * MIB // (4 * N_COLUMNS))
            for label, work, must_fit in WORKS:
                in_process(run, work, Path(name), results)
                cells[label].append(results.get())
                assert not must_fit or cells[label][-1] != "MemoryError", label
                print(size, *cells[label], file=sys.stderr)
    header = [f"peak MiB beyond the start, limit {LIMIT} MiB"]
    print_table([*header, *(f"data of {size} MiB" for size in SIZES)], cells.values())


def equality(n_seeds=4, n_rows=2**18):
    """Streamed against in memory: the ELBO of held-out rows, and what the remover finds."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "data.parquet"
        make_data(path, n_rows, N_COLUMNS)
        held_out = next(blocks(path))
        all_rows = np.concatenate(list(blocks(path)))
        X = all_rows[GROUP_ROWS:]  # the rows that `train` trains on
        for seed in range(n_seeds):
            scaler, encoder = train(path, make_encoder(seed), max_passes=2)
            in_memory = VAEEncoder(**encoder.get_params(deep=False))
            in_memory.set_params(max_steps=encoder.n_steps_, early_stopping=False)
            in_memory.fit(scaler.transform(X))
            elbo = [e.score(scaler.transform(held_out)) for e in (encoder, in_memory)]
            streamed = find_passive(path, scaler, encoder)
            codes = encoder.transform(scaler.transform(all_rows))
            at_once = PassiveVariableRemover().fit(codes)
            write_codes(path, Path(name) / "codes.parquet", scaler, encoder, streamed)
            written = np.concatenate(list(blocks(Path(name) / "codes.parquet")))
            a, b = streamed.moments_.variance_of_mean, at_once.moments_.variance_of_mean
            rows.append(
                (
                    seed,
                    *(f"{value:.3f}" for value in elbo),
                    f"{np.sum(streamed.variable_types_ == 'passive')} of {len(a)}",
                    np.array_equal(streamed.variable_types_, at_once.variable_types_),
                    np.array_equal(written, at_once.transform(codes)),
                    f"{np.max(np.abs(a / b - 1)):.1e}",
                )
            )
    print_table(
        ("seed", "ELBO streamed", "ELBO in memory", "passive", "types equal", "pruned codes equal",
         "largest relative difference of Var(mu)"),
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    if not ENVIRONMENT.items() <= os.environ.items():  # read when a process starts
        os.execve(sys.executable, sys.orig_argv, os.environ | ENVIRONMENT)
    begin = time.perf_counter()
    curves()
    equality()
    print(f"{time.perf_counter() - begin:.0f} s")
