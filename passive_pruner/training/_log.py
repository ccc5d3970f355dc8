"""Lines that training prints under ``verbose=1``."""

import time

from skorch.callbacks import Callback

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
