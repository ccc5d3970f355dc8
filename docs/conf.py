"""Sphinx configuration. `python -m sphinx -W --keep-going -b html docs docs/_build/html` builds."""

import importlib
import inspect
import os
import pkgutil
import warnings
from pathlib import Path

import matplotlib

import passive_pruner

matplotlib.use("agg")  # draws files, needs no screen

HERE = Path(__file__).parent

project = "passive_pruner"
author = "The passive_pruner developers"
version = release = passive_pruner.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinx-mathjax-offline",
]
exclude_patterns = [
    "_build",
    "gallery",
    "sg_execution_times.rst",
    "auto_examples/sg_execution_times.rst",
]
templates_path = ["_templates"]

# The copy of MathJax that sphinx-mathjax-offline puts into the site, instead of one on a server.
mathjax_path = "mathjax/tex-chtml.js"

# Links to other projects need their indexes, and this build needs no network unless it is told so.
intersphinx_mapping = {}
if os.environ.get("DOCS_ONLINE"):
    intersphinx_mapping = {
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "sklearn": ("https://scikit-learn.org/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }

myst_heading_anchors = 3
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc sections state types with shapes
numpydoc_show_class_members = False  # the class template lists members
numpydoc_class_members_toctree = False

html_theme = "pydata_sphinx_theme"
html_title = "passive_pruner"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["offline.js"]
html_favicon = "_static/icon.svg"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system is
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
}
html_sidebars = {"changelog": [], "choosing": [], "theory": [], "index": []}
copyright = "the passive_pruner developers, BSD-3-Clause"

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "doc_module": ("passive_pruner",),
    "backreferences_dir": "generated/backreferences",
    "reference_url": {"passive_pruner": None},
    "within_subsection_order": "FileNameSortKey",
    "min_reported_time": 1,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "matplotlib_animations": False,
}

# Pictures of the guide, drawn by the code above them.
plot_formats = [("png", 120)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = True

# ----- API reference -----

# Members of scikit-learn and torch are documented there, but for what a transformer is used with.
FOREIGN = ("sklearn.", "torch.", "builtins")
SHOWN = ("fit_transform", "get_feature_names_out", "get_support", "inverse_transform")


def skip_foreign_members(app, what, name, obj, skip, options):
    """Leave out members that a class inherits from scikit-learn, torch or tuple."""
    function = inspect.unwrap(obj) if callable(obj) else obj
    module = getattr(getattr(function, "__objclass__", function), "__module__", None) or ""
    return True if module.startswith(FOREIGN) and name not in SHOWN else None


def write_api_pages():
    """Write one page per public module, from the names that it says are public."""
    folder = HERE / "api"
    folder.mkdir(exist_ok=True)
    modules = [
        f"passive_pruner.{module.name}"
        for module in pkgutil.iter_modules(passive_pruner.__path__)
        if not module.name.startswith("_")
        and hasattr(importlib.import_module(f"passive_pruner.{module.name}"), "__all__")
    ]
    pages = {}
    for name in ["passive_pruner", *modules]:
        module = importlib.import_module(name)
        public = [(n, getattr(module, n)) for n in getattr(module, "__all__", ())]
        sections = {
            "Classes": [n for n, o in public if inspect.isclass(o)],
            "Functions": [n for n, o in public if inspect.isfunction(o)],
        }
        lines = [name, "=" * len(name), "", f".. module:: {name}", "   :no-index-entry:", ""]
        lines += [inspect.getdoc(module), ""]
        for title, names in sections.items():
            if names:
                lines += [
                    title,
                    "-" * len(title),
                    "",
                    ".. autosummary::",
                    "   :toctree: ../generated",
                ]
                lines += ["   :nosignatures:", "", *(f"   {n}" for n in sorted(names)), ""]
        write_if_changed(folder / f"{name}.rst", "\n".join(lines))
        pages[name] = inspect.getdoc(module).splitlines()[0]
    index = (folder.parent / "_templates" / "api_index.rst").read_text()
    rows = "".join(f"   * - :doc:`{name}`\n     - {line}\n" for name, line in pages.items())
    tree = "\n.. toctree::\n   :hidden:\n\n" + "".join(f"   {name}\n" for name in pages)
    write_if_changed(folder / "index.rst", index + rows + tree)


def write_if_changed(path, text):
    """Write a file whose time stamp tells Sphinx whether to read it again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app):
    warnings.filterwarnings("ignore", message=".*is non-interactive.*")
    app.connect("autodoc-skip-member", skip_foreign_members)


write_api_pages()
