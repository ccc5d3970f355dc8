"""How many threads compute.

OpenMP, by which torch shares its operations among threads, waits for the others by spinning. Where
something else runs on one of the cores, the threads wait for one another many times per gradient
step, each time until the scheduler lets the last of them run: a step then takes ten or a hundred
times as long. So networks compute with one thread of OpenMP, and large tables are shared as parts
of whole operations among threads that sleep while they wait.
"""

import contextvars
import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import torch

# Seconds of work for one thread that are worth the help of others. To start threads and to wait
# for their last item takes some 50 milliseconds where twice as many processes as cores want to run.
WORTH_SHARING = 0.2


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread in a block, in the calling thread alone.

    :func:`torch.set_num_threads` would act on the whole process, and on threads of the user.
    OpenMP and MKL have counts of each thread, which are restored at the end.
    """
    # In a new thread of Python the first use of torch would set both; reading its count does.
    count = torch.get_num_threads()
    set_openmp, set_mkl = _setters()
    set_openmp(1)
    mkl_count = set_mkl(1)
    try:
        yield
    finally:
        set_mkl(mkl_count)
        set_openmp(count)


def share(
    work: Callable[[Any], None],
    items: Sequence,
    max_threads: int,
    context: Callable[[], AbstractContextManager],
) -> None:
    """Call a function for every item, with the help of other threads once that is worth it.

    Which thread meets which item is left to chance, so what the function does must depend on its
    item alone.

    Parameters
    ----------
    work : callable
        Called as ``work(item)``; releases the interpreter's lock most of the time.
    items : sequence
        They are begun in this order.
    max_threads : int
        How many threads may work, the calling one included. There are no more of them than cores,
        as joblib counts these: it knows affinity and quotas of containers.
    context : callable without arguments
        Makes the context in which each of the other threads works.

    Raises
    ------
    Exception
        That of the first item, in their order, that has one.
    """
    pending = deque(enumerate(items))
    start = time.perf_counter()
    while pending:
        number, item = pending.popleft()
        work(item)
        seconds = (time.perf_counter() - start) / (number + 1)
        if max_threads > 1 and seconds * len(pending) > WORTH_SHARING:
            break
    n_helpers = min(max_threads - 1, joblib.cpu_count() - 1, len(pending)) if pending else 0
    errors: list[tuple[int, Exception]] = []

    def take():
        while not errors:
            try:
                number, item = pending.popleft()
            except IndexError:
                return
            try:
                work(item)
            except Exception as error:
                errors.append((number, error))

    def help_out():
        with context():
            take()

    helpers = [
        threading.Thread(target=contextvars.copy_context().run, args=(help_out,), daemon=True)
        for _ in range(n_helpers)
    ]
    try:
        for helper in helpers:
            helper.start()
        take()
    finally:
        pending.clear()  # after an interrupt of the calling thread
        for helper in helpers:
            if helper.ident is not None:
                helper.join()
    if errors:
        raise min(errors, key=lambda numbered: numbered[0])[1]


@cache
def _setters() -> tuple[Callable[[int], Any], Callable[[int], Any]]:
    """Return the functions that set the calling thread's counts of OpenMP and of MKL.

    Both are looked for through torch's own library: a process may have several of OpenMP, and the
    wheels of torch contain MKL. That of MKL returns the former count, 0 where the thread has none
    of its own and follows OpenMP. One that is hidden or missing is replaced by doing nothing.
    """
    folder = Path(torch.__file__).parent / "lib"
    names = ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll", "libiomp5md.dll")
    libraries = [ctypes.CDLL(str(folder / name)) for name in names if (folder / name).exists()]

    def find(name):
        found = (getattr(library, name, None) for library in libraries)
        return next((setter for setter in found if setter is not None), lambda count: 0)

    return find("omp_set_num_threads"), find("MKL_Set_Num_Threads_Local")
