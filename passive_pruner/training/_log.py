"""Lines that training prints: one per epoch under ``verbose=1``, one for those who wait else."""

import multiprocessing
import sys
import threading
import time
from contextlib import suppress

from skorch.callbacks import Callback

from passive_pruner.training._distributed import is_first_process

# Seconds of training after which somebody who watches is told how far it is.
PATIENCE = 10.0

# Title of a column and its width. Lines are printed one by one, so widths cannot depend on what
# comes later.
_COLUMNS = {
    "epoch": 5,
    "step": 8,
    "ELBO": 12,
    "reconstruction": 14,
    "KL": 10,
    "active": 6,
    "seconds": 8,
    "ETA at most": 11,
}


# What streams answer that are closed, gone, None, or no more than something to write to. Nobody
# asked for the line, and training does not end because it cannot be shown.
_NO_TERMINAL = (AttributeError, OSError, ValueError)


def progress_log(verbose) -> Callback | None:
    """Make the callback that prints what `verbose` asks for."""
    if verbose != "auto":
        return TrainingLog() if verbose else None
    return WaitingLine() if _is_watched() else None


def _is_watched() -> bool:
    """Whether this is the one place that writes to a terminal or a notebook."""
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and multiprocessing.current_process().name == "MainProcess"):
        return False
    if not is_first_process():
        return False
    with suppress(*_NO_TERMINAL):
        if sys.stderr.isatty():
            return True
    # The streams of a notebook are no terminal; its shell has a kernel.
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython() if ipython else None, "kernel")


class WaitingLine(Callback):
    """Show how far training is, after ten seconds, in one line that is gone at the end."""

    def on_train_begin(self, net, **kwargs):
        """Start the clock."""
        self.start_ = time.perf_counter()
        self.width_ = 0

    def on_epoch_end(self, net, **kwargs):
        """Write the line anew."""
        seconds = time.perf_counter() - self.start_
        if seconds < PATIENCE:
            return
        row, last = net.history[-1], net.training.last_step
        left = seconds * (last - row["step"]) / (row["step"] - net.training.first_step)
        self._write(
            f"VAEEncoder: step {row['step']:,} of at most {last:,}, ELBO {_number(row['elbo'], 12)}"
            f" nats, {_clock(seconds)} passed, at most {_clock(left)} left"
        )

    def on_train_end(self, net, **kwargs):
        """Remove the line."""
        if self.width_:
            self._write("")
            self._write("")

    def _write(self, text):
        with suppress(*_NO_TERMINAL):
            sys.stderr.write("\r" + text.ljust(self.width_))
            sys.stderr.flush()
        self.width_ = len(text)


class TrainingLog(Callback):
    """Print one line per epoch, in columns, without colours.

    "seconds" counts from the beginning of training. The ETA is the time that the remaining
    gradient steps would take at the pace so far; early stopping may need fewer.
    """

    def on_train_begin(self, net, **kwargs):
        """Print the titles and start the clock."""
        _print_line(_COLUMNS)
        self.start_ = time.perf_counter()

    def on_epoch_end(self, net, **kwargs):
        """Print the line of an epoch."""
        seconds = time.perf_counter() - self.start_
        n_done = net.step_ - net.training.first_step
        row = net.history[-1]
        _print_line(
            [
                str(row["epoch"]),
                str(row["step"]),
                _number(row["elbo"], 12),
                _number(row["reconstruction"], 14),
                _number(row["kl"], 10),
                str(row["n_active"]),
                f"{seconds:.1f}",
                _clock(seconds * (net.training.n_steps - n_done) / n_done),
            ]
        )


def _print_line(cells):
    widths = _COLUMNS.values()
    cells = (cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
    print("  ".join(cells), flush=True)


def _number(value: float, width: int) -> str:
    text = f"{value:.3f}"
    return text if len(text) <= width else f"{value:.2e}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
