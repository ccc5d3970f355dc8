"""Links to the documentation in the HTML representation of estimators."""

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
