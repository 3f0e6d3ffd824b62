"""How Sphinx builds this site: ``sphinx-build -W -b html docs docs/_build/html``. Nothing is fetched from a network."""

import os
import subprocess
import sys

from docutils import nodes
from numpydoc.docscrape_sphinx import SphinxDocString
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import fastconv

project = "fastconv"
author = "the fastconv developers"
copyright = f"2026, {author}"
version = release = fastconv.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_copybutton",
    "matplotlib.sphinxext.plot_directive",
    "matplotlib.sphinxext.figmpl_directive",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"
highlight_language = "none"

# Reference: a stub a name, made by autosummary; numpydoc reads the docstrings.
autodoc_typehints = "none"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False

# Figures: the code of a page runs in one namespace, and draws at the size at which it is shown.
plot_include_source = True
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 100)]
plot_srcset = ["2.0x"]
plot_pre_code = ""
plot_apply_rcparams = True
plot_rcparams = {
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,  # inches: titles and numbers keep off the edge
    "figure.constrained_layout.w_pad": 0.08,
    "figure.figsize": (8, 3),
    "font.size": 10,
    "axes.titlesize": 10,
    "image.cmap": "gray",
    "legend.frameon": False,
}

# Prompts are not copied.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "fastconv"
html_static_path = ["_static"]
html_css_files = ["fastconv.css"]
html_show_sourcelink = False
html_sidebars = {"index": [], "getting_started": []}
html_theme_options = {
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}


def _as_written(self: SphinxDocString, name: str, description: list[str], *_: bool) -> tuple[str, list[str]]:
    return f"**{self._escape_args_and_kwargs(name.strip())}**", description


# Under "Attributes", numpydoc would put the first sentence of a property in place of what the class says of it: of
# `params`, that there are some, and not which, of what shape.
SphinxDocString._process_param = _as_written


class CommandHelp(SphinxDirective):
    """``.. command-help:: bench`` shows what ``python -m fastconv bench --help`` prints."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        command = [sys.executable, "-m", "fastconv", *self.arguments, "--help"]
        environment = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"}
        text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
        return [nodes.literal_block(text, text, classes=["command-help"])]


def setup(app: Sphinx) -> None:
    app.add_directive("command-help", CommandHelp)
