"""The service of the examples at saturation.

``python -m benchmarks.load`` trains the pipeline of ``examples/serve.py``, serves it on this
machine, and asks for ``--seconds`` with 1, 8 and 64 connections that ask as fast as they are
answered: small questions, and the same with one client in four that sends nonsense (half a body,
NaN, a million brackets, a body that is far too long). It prints answers per second, the waiting
time of /health beside it, errors (any status of 500 and more, or no answer), and how much the
memory of the server grew. Client and server share the cores.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from sklearn.datasets import load_breast_cancer

from benchmarks._timing import print_table

EXAMPLE = Path(__file__).parent.parent / "examples" / "serve.py"
ROW = load_breast_cancer().data[:1].tolist()
NONSENSE = (
    (b'{"rows": [[1, 2', 422),
    (b'{"rows": [[NaN]]}', 422),
    (b"[" * 100_000, 422),
    (b" " * 5_000_000, 413),
)


def resident(pid):
    """Resident memory of a process in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


async def ask(client, until, waits, errors, *, hostile):
    """Ask until the time is over."""
    n = 0
    while time.monotonic() < until:
        n += 1
        start = time.perf_counter()
        try:
            if hostile:
                body, expected = NONSENSE[n % len(NONSENSE)]
                status = (await client.post("/predict", content=body)).status_code
            else:
                expected = 200
                status = (await client.post("/predict", json={"rows": ROW})).status_code
            if status != expected:
                errors.append(status)
        except httpx.HTTPError as error:
            # A server that refuses a long body need not read the rest of it.
            if not hostile:
                errors.append(type(error).__name__)
        waits.append(time.perf_counter() - start)


async def look_after(client, until, waits):
    """Ask for the health of the service ten times a second."""
    while time.monotonic() < until:
        start = time.perf_counter()
        (await client.get("/health")).raise_for_status()
        waits.append(time.perf_counter() - start)
        await asyncio.sleep(0.1)


async def saturate(url, n, seconds, *, hostile):
    """Return the waiting times of questions and of /health, and errors."""
    waits, health, errors = [], [], []
    # The server closes connections that are silent for 5 s; none that it closes is asked again.
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    async with httpx.AsyncClient(
        base_url=url, timeout=60, limits=limits, trust_env=False
    ) as client:
        until = time.monotonic() + seconds
        await asyncio.gather(
            look_after(client, until, health),
            *(ask(client, until, waits, errors, hostile=hostile and i % 4 == 3) for i in range(n)),
        )
    return waits, health, errors


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="per row of the table")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = f"{folder}/model.onnx"
        subprocess.run([sys.executable, EXAMPLE, "train", model], check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, EXAMPLE, "serve", model, "--port", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            while True:
                try:
                    httpx.get(f"{url}/health", trust_env=False).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            asyncio.run(saturate(url, 8, 2, hostile=False))  # not counted
            for n in (1, 8, 64):
                for hostile in (False, True) if n >= 4 else (False,):
                    before = resident(server.pid)
                    waits, health, errors = asyncio.run(
                        saturate(url, n, options.seconds, hostile=hostile)
                    )
                    times = np.quantile(waits, [0.5, 0.99])
                    rows.append(
                        (n, "yes" if hostile else "no", f"{len(waits) / options.seconds:.0f}",
                         *(f"{1000 * t:.0f}" for t in (*times, np.median(health), max(health))),
                         len(errors), f"{resident(server.pid) - before:+.0f}")
                    )  # fmt: skip
                    print(f"{n} connections, {sorted(map(str, set(errors)))}", file=sys.stderr)
        finally:
            server.terminate()
            server.wait(30)
    print_table(
        ("connections", "a quarter hostile", "answers per second", "median wait (ms)",
         "99 % wait (ms)", "median wait of /health", "longest", "errors", "memory (MiB)"),
        rows,
    )  # fmt: skip
    return int(any(row[-2] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
