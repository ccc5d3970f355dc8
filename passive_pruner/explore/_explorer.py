"""The function that users call, and the server behind the page."""

import os
import re
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from numbers import Integral
from typing import Any

from numpy.typing import ArrayLike

from passive_pruner._common._files import write_whole
from passive_pruner._common._parameters import check_number
from passive_pruner._common._typing import MatrixLike
from passive_pruner.explore._page import make_page
from passive_pruner.explore._values import compute_values

HOST = "127.0.0.1"
# Browsers leave the port out where it is that of HTTP, 80.
_OWN_NAME = re.compile(r"(127\.0\.0\.1|localhost)(:\d+)?", re.IGNORECASE)
# After so many seconds of silence a connection is closed.
_TIMEOUT = 30


def explore(
    estimator: Any,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    thresholds: ArrayLike | None = None,
    cv: Any = 5,
    scoring: str | Callable[..., float] | None = None,
    image_shape: Sequence[int] | None = None,
    port: int = 0,
    open_browser: bool = True,
) -> "Explorer":
    """Open a page with types, correlations, traversals and the effect of the threshold.

    Everything is computed before the page opens, so the page needs neither a network nor Python.
    The encoder is not fitted again, so it has seen all rows; cross-validation only fits the steps
    after the codes.

    Parameters
    ----------
    estimator : encoder, Pipeline, or search with `best_estimator_`
        Fitted :class:`~passive_pruner.VAEEncoder` or :class:`~passive_pruner.PretrainedEncoder`,
        or a pipeline that has one. A remover after it determines the initial criterion, threshold
        and types to drop. Cross-validation fits the steps after the remover, if the last one is a
        classifier or regressor; otherwise it fits LogisticRegression, or Ridge for a continuous
        `y`, on standardised codes.
    X : array-like of shape (n_samples, n_features)
        Data in the format of the estimator. From more than 10,000 rows, 10,000 are drawn at random.
    y : array-like of shape (n_samples,), default=None
        Target. None shows no score.
    thresholds : array-like of float, default=None
        Steps of the slider, finite and at least 0, in the units of the criterion (nats for
        "kl"). 0, which keeps all variables, and the threshold of the remover are added. None means
        20 thresholds from 0 to 1.
    cv : int, cross-validation generator or iterable, default=5
        Folds, as in :func:`sklearn.model_selection.cross_val_score`. They are drawn once and used
        for all thresholds.
    scoring : str or callable, default=None
        Score, as in :func:`sklearn.model_selection.cross_val_score`. None means accuracy or R².
    image_shape : tuple of int, default=None
        Shape (height, width) or (height, width, channels) of images that are given as flat rows.
    port : int, default=0
        Port of the server, at most 65535. 0 selects a free one.
    open_browser : bool, default=True
        Whether to open the page in the browser.

    Returns
    -------
    explorer : Explorer
        Page and server. In a notebook its representation is the page.

    Raises
    ------
    ValueError
        If the estimator has no encoder of this package, `X` and `y` differ in length, a threshold
        is negative or not finite, or `image_shape` does not match the length of a row.
    OSError
        If the port is in use.
    ImportError
        If plotly is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from passive_pruner import VAEEncoder
    >>> from passive_pruner.explore import explore
    >>> X, y = load_wine(return_X_y=True)
    >>> encoder = VAEEncoder(n_components=4, max_steps=100, random_state=0).fit(X)
    >>> with explore(encoder, X, y, open_browser=False) as explorer:
    ...     explorer.url
    'http://127.0.0.1:.../'
    """
    values = compute_values(
        estimator,
        X,
        y,
        thresholds=thresholds,
        cv=cv,
        scoring=scoring,
        image_shape=image_shape,
    )
    explorer = Explorer(make_page(values), port=port)
    if open_browser:
        webbrowser.open(explorer.url)
    return explorer


class Explorer:
    """Web page with a server that is accessible from this machine only.

    Parameters
    ----------
    page : str
        HTML of the page.
    port : int, default=0
        Port on 127.0.0.1. 0 selects a free one.

    Attributes
    ----------
    page : str
        HTML of the page.
    url : str
        Address of the page on the server.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> from passive_pruner.explore import Explorer
    >>> with Explorer("<!doctype html><title>A page</title>") as explorer:
    ...     urlopen(explorer.url).read()
    b'<!doctype html><title>A page</title>'
    """

    def __init__(self, page: str, *, port: int = 0) -> None:
        if not isinstance(page, str):
            raise TypeError(f"page must be text of HTML, got {page!r}.")
        check_number(port, "port", Integral, min_val=0, max_val=65535)
        self.page = page
        self._server = _Server((HOST, port), _handler(page.encode()))
        self.url = f"http://{HOST}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the page to a file that any browser can open, without a server.

        Parameters
        ----------
        path : str or path-like
            File to write.
        """
        write_whole(path, self.page)

    def wait(self) -> None:
        """Serve until :meth:`close` is called or a keyboard interrupt occurs."""
        self._thread.join()

    def close(self) -> None:
        """Stop the server and free its port."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        return f"Explorer at {self.url}"

    def _repr_html_(self):
        return (
            f'<a href="{self.url}" target="_blank">{self.url}</a>'
            f'<iframe src="{self.url}" width="100%" height="800" style="border:0"></iframe>'
        )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Ignore the error of a connection that the browser closed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _handler(page):
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT

        def do_GET(self):
            # A name that some other site points at this machine must not reach the data.
            if not _OWN_NAME.fullmatch(self.headers.get("Host", "")):
                self.send_error(403)
            elif self.path != "/":
                self.send_error(404)
            else:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(page)

        def log_message(self, *args):
            """Print nothing."""

    return Handler
