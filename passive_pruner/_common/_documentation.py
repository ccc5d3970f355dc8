"""The HTML representation of estimators: links to the documentation, and components."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from sklearn.base import BaseEstimator


@cache
def documentation_url() -> str:
    """Address of the documentation that the metadata of the package states, or an empty string."""
    try:
        urls = metadata("passive_pruner").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    links = dict(url.split(", ", 1) for url in urls)
    return links.get("Documentation", "").rstrip("/")


class DocumentationLinkMixin:
    """Mixin for classes with an HTML representation: it links to their pages of the API reference.

    These attributes are how scikit-learn asks for links. Without an address there are none.
    """

    _doc_link_module = "passive_pruner"

    @property
    def _doc_link_template(self):
        url = documentation_url()
        return f"{url}/api/generated/{{estimator_module}}.{{estimator_name}}.html" if url else ""


class BoxesInHTML:
    """Mixin for an estimator whose HTML representation has boxes for what it is made of."""

    def _html_boxes(self) -> dict[str, object]:
        """Title -> a component, or a text."""
        return {}

    def _sk_visual_block_(self):
        """Put the boxes into the HTML representation.

        scikit-learn falls back to a plain table if this raises, as it does before version 1.7.
        """
        from sklearn.utils._repr_html.estimator import _VisualBlock

        boxes = self._html_boxes()
        if not boxes:
            return _VisualBlock("single", self, names=type(self).__name__, name_details=str(self))
        is_text = [isinstance(box, str) for box in boxes.values()]
        return _VisualBlock(
            "parallel",
            [
                _VisualBlock("single", None, names=title, name_details=box) if text else box
                for (title, box), text in zip(boxes.items(), is_text, strict=True)
            ],
            # A box of text has its title inside.
            names=[None if text else title for title, text in zip(boxes, is_text, strict=True)],
            name_details=[None if isinstance(box, str) else str(box) for box in boxes.values()],
        )


class ComponentsInHTML(BoxesInHTML):
    """Mixin for an estimator whose HTML representation shows the components of its network."""

    def _html_boxes(self):
        components = {
            name: getattr(self, f"{name}_", getattr(self, name))
            for name in ("objective", "likelihood", "architecture")
        }
        boxes = {
            f"{name}: {type(value).__name__}": value
            for name, value in components.items()
            if isinstance(value, BaseEstimator)
        }
        columns = getattr(self, "columns_", None)
        if columns is not None:
            boxes[f"{len(columns)} columns"] = str(columns)
        return boxes
