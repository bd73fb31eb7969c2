"""The site: `sphinx-build -W docs site`, which needs no network. `sphinx-build -b linkcheck docs site` asks whether external links lead anywhere."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import tinytensor

project = "tinytensor"
author = "The tinytensor developers"
release = version = tinytensor.__version__
extensions = ["myst_parser", "reference", "run_examples", "sphinx.ext.viewcode"]
exclude_patterns = ["pictures", "backprop/pictures"]
myst_heading_anchors = 3
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
add_module_names = False

html_theme = "furo"
html_title = "tinytensor"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "github-dark"
