"""Data of twice the memory that may be taken, read in blocks and as a memory map."""

import os
import pickle
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from conftest import small_encoder

from passive_pruner import PassiveVariableRemover

EXAMPLE = Path(__file__).parent.parent / "examples" / "out_of_core.py"
MIB = 2**20
LIMIT = 48
N_COLUMNS = 64
N_ROWS = 2 * LIMIT * MIB // (4 * N_COLUMNS)


def load_example():
    spec = spec_from_file_location("out_of_core", EXAMPLE)
    example = module_from_spec(spec)
    spec.loader.exec_module(example)
    example.GROUP_ROWS = 8192
    return example


def work(folder):
    """Fit, transform and prune, with `LIMIT` MiB beyond what imports and libraries took."""
    import resource

    def limit(kind, field):
        status = Path("/proc/self/status").read_text()
        used = int(status.partition(field + ":")[2].split()[0]) * 1024
        resource.setrlimit(kind, (used + LIMIT * MIB, resource.RLIM_INFINITY))

    example = load_example()
    # Libraries import the rest of themselves when they are used.
    small_encoder(max_steps=1).fit(np.eye(4)).score(np.eye(4))
    data, codes = folder / "data.parquet", folder / "codes.parquet"
    limit(resource.RLIMIT_AS, "VmSize")
    scaler, encoder = example.train(data, small_encoder(batch_size=2048), max_passes=1)
    remover = example.find_passive(data, scaler, encoder)
    example.write_codes(data, codes, scaler, encoder, remover)
    with pytest.raises(MemoryError):
        np.ones((N_ROWS, N_COLUMNS), np.float32)

    # A mapping takes address space and no memory that the system could not take back.
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    X = np.load(folder / "data.npy", mmap_mode="r")
    limit(resource.RLIMIT_DATA, "VmData")
    mapped = small_encoder(max_steps=20).fit(X)
    mapped.transform(X)
    with pytest.raises(MemoryError):
        np.load(folder / "data.npy")
    (folder / "fitted").write_bytes(pickle.dumps((scaler, encoder, remover, mapped)))


# Four variables for six factors: none of them is passive.
@pytest.mark.filterwarnings("ignore::passive_pruner.exceptions.PassiveUndeterminedWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
def test_fit_transform_and_prune_under_a_limit_equal_those_in_memory(tmp_path):
    example = load_example()
    example.make_data(tmp_path / "data.parquet", N_ROWS, N_COLUMNS)
    X = np.concatenate(list(example.blocks(tmp_path / "data.parquet")))
    np.save(tmp_path / "data.npy", X)
    single_pools = {
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "ARROW_IO_THREADS": "1",
    }
    run = subprocess.run(
        [sys.executable, __file__, tmp_path],
        capture_output=True,
        text=True,
        env=os.environ | single_pools,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    scaler, encoder, remover, mapped = pickle.loads((tmp_path / "fitted").read_bytes())

    codes = encoder.transform(scaler.transform(X))
    at_once = PassiveVariableRemover().fit(codes)
    np.testing.assert_array_equal(remover.variable_types_, at_once.variable_types_)
    written = np.concatenate(list(example.blocks(tmp_path / "codes.parquet")))
    np.testing.assert_allclose(written, at_once.transform(codes), atol=1e-5)

    in_memory = small_encoder(max_steps=20).fit(X)
    assert mapped.score(X[:1000]) == pytest.approx(in_memory.score(X[:1000]), abs=1e-2)


if __name__ == "__main__":
    work(Path(sys.argv[1]))
