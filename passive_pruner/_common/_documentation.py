"""The HTML representation of estimators: links to the documentation, and components."""

from functools import cache
from importlib.metadata import PackageNotFoundError, metadata


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


class ComponentsInHTML:
    """Mixin for an estimator whose HTML representation shows the components of its network."""

    def _sk_visual_block_(self):
        """Put the components into the HTML representation, as soon as they are known.

        scikit-learn falls back to a plain table if this raises, as it does before version 1.7.
        """
        from sklearn.utils._repr_html.estimator import _VisualBlock

        components = {
            name: getattr(self, f"{name}_", getattr(self, name))
            for name in ("objective", "likelihood", "architecture")
        }
        shown = {k: v for k, v in components.items() if not (v is None or isinstance(v, str))}
        if not shown:
            return _VisualBlock("single", self, names=type(self).__name__, name_details=str(self))
        boxes = {f"{name}: {type(value).__name__}": value for name, value in shown.items()}
        columns = getattr(self, "columns_", None)
        if columns is not None:
            name = f"{len(columns)} columns"
            boxes[name] = _VisualBlock("single", None, names=name, name_details=str(columns))
        return _VisualBlock(
            "parallel",
            list(boxes.values()),
            names=list(boxes),
            name_details=[str(value) for value in shown.values()] + [None] * (columns is not None),
        )
