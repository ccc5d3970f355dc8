"""The page as one HTML file that needs nothing else, neither network nor other files."""

import json
from importlib.resources import files
from string import Template
from typing import Any

from passive_pruner.plots._style import ACCENT, SECOND_ACCENT, TYPE_COLORS


def make_page(values: dict[str, Any]) -> str:
    """Write values, style, script and the library that draws into the page.

    Parameters
    ----------
    values : dict
        As :func:`compute_values` returns them.

    Returns
    -------
    page : str

    Raises
    ------
    ImportError
        If plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(
            "explore requires plotly. Install it with pip install 'passive_pruner[explore]'."
        ) from error
    colors = {**TYPE_COLORS, "accent": ACCENT, "second": SECOND_ACCENT}
    # A name of a column may hold "</script>"; without "<" it cannot end the element.
    data = json.dumps({**values, "colors": colors}, allow_nan=False).replace("<", "\\u003c")
    folder = files(__package__)
    style, script, page = ((folder / f"page.{s}").read_text("utf-8") for s in ("css", "js", "html"))
    return Template(page).substitute(style=style, script=script, plotly=get_plotlyjs(), data=data)
