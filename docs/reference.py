"""Sphinx extension: the pages of docs/api, made from the docstrings of every public name. Docstrings are plain text with single
backticks around code; the build fails when a public name is on no page."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import tinytensor as tt
from tinytensor import ops

Section = tuple[str, str, list[str]]  # heading, words below it, names

MODULES = {  # page: module, and its heading
    "nn": ("tinytensor.nn", "Modules and losses"),
    "functional": ("tinytensor.nn.functional", "Functions of networks"),
    "init": ("tinytensor.nn.init", "Starting values"),
    "utils": ("tinytensor.nn.utils", "Clipping, parameters as vectors"),
    "optim": ("tinytensor.optim", "Optimizers"),
    "lr_scheduler": ("tinytensor.optim.lr_scheduler", "Learning-rate schedules"),
    "swa_utils": ("tinytensor.optim.swa_utils", "Averages of weights"),
    "data": ("tinytensor.data", "Data sets and batches"),
    "transforms": ("tinytensor.data.transforms", "Random changes of images"),
    "train": ("tinytensor.train", "Training"),
    "viz": ("tinytensor.viz", "Pictures and diagnoses"),
    "autograd": ("tinytensor.autograd", "Gradients and rules of one's own"),
    "func": ("tinytensor.func", "Transforms of functions"),
    "linalg": ("tinytensor.linalg", "Linear algebra"),
    "metrics": ("tinytensor.metrics", "Metrics"),
    "serialize": ("tinytensor.serialize", "Files"),
    "testing": ("tinytensor.testing", "Checks"),
    "sklearn": ("tinytensor.sklearn", "Estimators for scikit-learn"),
}
FIRST = {  # the files whose names come first on a module's page; the others follow, the longest first
    "tinytensor.nn": "module parameter linear containers mlp activation convolution normalization dropout loss",
    "tinytensor.optim": "sgd adam",
    "tinytensor.data": "mnist dataset loader",
    "tinytensor.train": "fit callbacks history evaluation",
    "tinytensor.viz": "explain draw trace jacobians health checkup plots classifiers activations",
}
FAMILIES = {  # page: heading, and the files of tinytensor/ops whose functions it has
    "arithmetic": ("Arithmetic, comparisons, elementary functions", "pointwise elementary bits"),
    "activations": ("Activations", "activation"),
    "reductions": ("Reductions, statistics, running sums", "reduction statistics cumulative"),
    "products": ("Products and matrices", "product contraction linalg"),
    "shapes": ("Shapes, joins, order of elements", "shape join rearrange order"),
    "indexing": ("Choosing and writing by index", "index scattering embedding"),
    "layers": ("Convolution, pooling, normalization, attention", "convolution pooling normalization attention"),
    "losses": ("Losses", "loss likelihood margin"),
}
ROOMS = {room.__name__.rpartition(".")[2]: room for room in ops._ROOMS}
HOMES = {ops.PUBLIC[name]: room for room, names in reversed(ops._ROOMS.items()) for name in names.split()}
BASICS = {  # heading: names of tinytensor that are no operations
    "Making tensors": "tensor as_tensor from_numpy from_dlpack frombuffer zeros ones full empty zeros_like ones_like full_like empty_like "
    "arange linspace logspace eye tril_indices triu_indices",
    "Random numbers": "manual_seed initial_seed Generator rand randn randint randperm rand_like randn_like bernoulli multinomial normal",
    "Gradients on and off": "no_grad inference_mode enable_grad set_grad_enabled is_grad_enabled detect_anomaly set_detect_anomaly "
    "is_anomaly_enabled custom_vjp",
    "Seeing inside": "inspect name diagnose",
    "Files": "save load",
    "Dtypes": "float32 float float64 double int64 long uint8 bool get_default_dtype set_default_dtype",
    "Questions": "is_tensor numel broadcast_shapes",
    "Threads and the machine": "get_num_threads set_num_threads threads show_config set_flush_denormal device cuda accelerator backends "
    "use_deterministic_algorithms",
}


def escaped(text: str, parameters: Iterable[str]) -> str:
    """A paragraph of a docstring as one line of reStructuredText: code in backticks, parameters before a colon as code."""
    words = "|".join(map(re.escape, parameters)) or "(?!)"

    def prose(part: str) -> str:
        part = re.sub(r"([\\*_|])", r"\\\1", part)
        part = re.sub(r"(^|(?<=[.;] ))(Gradient|Source):", r"**\2:**", part)
        listed = rf"(^|(?<=[.;] ))((?:{words})(?:, (?:{words}))*):"
        return re.sub(listed, lambda m: ", ".join(f"``{name}``" for name in m[2].split(", ")) + ":", part)

    parts = re.split(r"(`[^`]+`)", re.sub(r"\s+", " ", text.strip()))
    return r"\ " + "".join(
        rf"\ ``{p[1:-1].strip()}``\ " if p.startswith("`") and p[1:-1].strip() else prose(p) for p in parts
    )


def converted(doc: str, parameters: Iterable[str] = ()) -> list[str]:
    """A docstring as lines of reStructuredText: paragraphs, lists of "- ", programs of ">>>", indented lines as they are."""
    parameters = list(parameters)
    out: list[str] = []
    blocks: list[tuple[str, list[str]]] = []
    for line in inspect.cleandoc(doc).replace("``", "`").splitlines():
        kind = blocks[-1][0] if blocks else ""
        if not line.strip():
            blocks.append(("", []))
        elif kind == "code":
            blocks[-1][1].append(line)
        elif line.startswith(">>>"):
            blocks.append(("code", [line]))
        elif line.startswith("- "):
            blocks.append(("item", [line[2:]]))
        elif line.startswith(" ") and kind not in ("item", "as it is"):
            blocks.append(("as it is", [line]))
        elif kind == "text" or (kind and line.startswith(" ")):
            blocks[-1][1].append(line)
        else:
            blocks.append(("text", [line]))
    for kind, lines in blocks:
        if kind == "text":
            out += ["", escaped(" ".join(lines), parameters), ""]
        elif kind == "item":
            out.append("- " + escaped(" ".join(lines), parameters))
        elif kind:
            language = "pycon" if kind == "code" else "text"
            out += [
                "",
                f".. code-block:: {language}",
                "",
                *textwrap.indent(textwrap.dedent("\n".join(lines)), "   ").splitlines(),
                "",
            ]
    return out


def signature(function: Any, skip: int = 0) -> str:
    """(x, dim=None), without types; `skip`: parameters left out at the front, as self."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return "()"
    shown = []
    for p in parameters:
        if p.default is not p.empty and (callable(p.default) or "object at 0x" in repr(p.default)):
            p = p.replace(default=type("", (), {"__repr__": lambda self, d=p.default: getattr(d, "__name__", "...")})())
        shown.append(p.replace(annotation=p.empty))
    return str(inspect.Signature(shown))


def parameters_of(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return []


def indented(lines: Iterable[str]) -> list[str]:
    return [f"   {line}" if line else "" for line in lines]


def described(kind: str, heads: list[str], body: Iterable[str]) -> list[str]:
    """A description; further heads are other names of the same thing."""
    directive = f".. py:{kind}:: "
    return [directive + heads[0], *(" " * len(directive) + head for head in heads[1:]), "", *indented(body), ""]


def member(owner: type, name: str, plain: Any) -> list[str]:
    """A method or property of a class, as it stands in the class's dictionary."""
    value = plain.__func__ if isinstance(plain, (staticmethod, classmethod)) else plain
    if not callable(value):
        doc = (
            getattr(value, "__doc__", None) if isinstance(value, property) or inspect.isdatadescriptor(value) else None
        )
        return described("attribute", [name], converted(doc or ""))
    skip = 0 if isinstance(plain, staticmethod) else 1
    return described(
        "method", [name + signature(value, skip)], converted(inspect.getdoc(value) or "", parameters_of(value))
    )


def members(cls: type) -> list[str]:
    """What a class itself defines; what it has from its bases is on their pages."""
    lines = []
    for name, plain in vars(cls).items():
        known = plain.__func__ if isinstance(plain, (staticmethod, classmethod)) else plain
        if not name.startswith("_") and (callable(known) or isinstance(plain, property)) and inspect.getdoc(known):
            lines += member(cls, name, plain)
    return lines


def entry(module: str, names: list[str], value: Any) -> list[str]:
    """One public name of a module (and others of the same object)."""
    if inspect.isclass(value):
        bases = [
            b
            for b in value.__bases__
            if b.__module__.startswith("tinytensor") and not b.__name__.startswith(("_", "TensorCore"))
        ]
        body = [f"Based on {', '.join(f'``{b.__name__}``' for b in bases)}.", ""] if bases else []
        body += converted(value.__doc__ or "", parameters_of(value))
        return described("class", [name + signature(value) for name in names], [*body, *members(value)])
    if callable(value):
        return described(
            "function",
            [name + signature(value) for name in names],
            converted(inspect.getdoc(value) or "", parameters_of(value)),
        )
    if isinstance(value, dict):
        said = "A dict of " + ", ".join(f"``{key!r}``" for key in value) + "."
    elif isinstance(value, tuple):
        said = f"``{value!r}``"
    else:
        said = f"NumPy's ``{value!r}``."
    return described("data", names, [said])


def entries(module: str, names: Iterable[str], holder: Any) -> list[str]:
    """The names of a section, those of one object together."""
    together: dict[int, list[str]] = {}
    for name in names:
        together.setdefault(id(getattr(holder, name)), []).append(name)
    return [line for same in together.values() for line in entry(module, same, getattr(holder, same[0]))]


def heading(text: str, mark: str) -> list[str]:
    return [text, mark * max(4, len(text)), ""]


def titled(doc: str) -> str:
    """The heading that a file's docstring gives: its first clause."""
    return re.split(r"[:;(]|\.\s|\.$", " ".join(doc.split()))[0].replace("`", "").strip()


def names_of(module: str, names: Iterable[str]) -> list[str]:
    """A line of links to what a section has."""
    return [" ".join(f":py:obj:`{name} <{module}.{name}>`" for name in names), ""]


def sections_of(module: Any) -> list[Section]:
    """The public names of a module by the file that defines them, where they come from several, else all in one."""
    names = [n for n in module.__all__ if not inspect.ismodule(getattr(module, n))]
    files: dict[str, list[str]] = {}
    for name in names:
        home = getattr(getattr(module, name), "__module__", None) or ""
        files.setdefault(home if home.startswith(module.__name__ + ".") else "", []).append(name)
    if len(files) < 3 or module.__name__.endswith("functional"):
        return [("", "", names)]
    found = []
    first = [f"{module.__name__}.{name}" for name in FIRST.get(module.__name__, "").split()]
    for home in sorted(
        files, key=lambda home: (not home, first.index(home) if home in first else len(first), -len(files[home]))
    ):
        doc = inspect.getdoc(importlib.import_module(home)) if home else None
        found.append((titled(doc) if doc else "More", doc or "", files[home]))
    return found


def page_of(module_name: str, title: str) -> str:
    module = importlib.import_module(module_name)
    lines = [*heading(title, "="), f".. py:module:: {module_name}", "", f"``{module_name}``", ""]
    lines += converted(inspect.getdoc(module) or "")
    sections = sections_of(module)
    for name, words, names in sections:
        if name:
            lines += [*heading(name, "-"), *(converted(words) if words else [])]
        if len(names) > 3:
            lines += names_of(module_name, names)
        lines += entries(module_name, names, module)
    return "\n".join(lines)


def basics_page() -> str:
    lines = [
        *heading("Tensors, random numbers, settings", "="),
        ".. py:module:: tinytensor",
        "",
        "``import tinytensor as tt``",
        "",
    ]
    for name, names in BASICS.items():
        lines += heading(name, "-")
        if name == "Random numbers":  # also a module, which has the same names
            lines += [".. py:module:: tinytensor.random", "", ".. py:currentmodule:: tinytensor", ""]
        lines += [*names_of("tinytensor", names.split()), *entries("tinytensor", names.split(), tt)]
    return "\n".join(lines)


def family_page(title: str, rooms: str) -> str:
    lines = [
        *heading(title, "="),
        ".. py:currentmodule:: tinytensor",
        "",
        "Each takes Tensors or arrays; most are methods of ``Tensor``, too.",
        "",
    ]
    for room in rooms.split():
        module = ROOMS[room]
        doc = inspect.getdoc(module) or room
        own = {id(f) for f, home in HOMES.items() if home is module}
        names = [name for name, function in ops.PUBLIC.items() if id(function) in own]
        lines += [*heading(titled(doc), "-"), *converted(doc)]
        lines += [*names_of("tinytensor", names), *entries("tinytensor", names, tt)]
    return "\n".join(lines)


def tensor_page() -> str:
    """The methods of Tensor: its own in full, those that are functions by name."""
    own: list[str] = []
    as_functions: dict[str, list[str]] = {}
    changing: list[str] = []
    for name in sorted(n for n in dir(tt.Tensor) if not n.startswith("_")):
        value = inspect.getattr_static(tt.Tensor, name)
        if ops.PUBLIC.get(name) is value:
            room = HOMES[value].__name__.rpartition(".")[2]
            page = next(page for page, (_, rooms) in FAMILIES.items() if room in rooms.split())
            as_functions.setdefault(page, []).append(name)
        elif name.endswith("_") and ops.PUBLIC.get(name[:-1]) is not None:
            changing.append(name)
        else:
            own += member(tt.Tensor, name, value)
    body = [*converted(tt.Tensor.__doc__ or ""), "", *own]
    for page, names in as_functions.items():
        heads = [name + signature(getattr(tt.Tensor, name), 1) for name in names]
        body += described("method", heads, [f"As the functions of these names, of this tensor: :doc:`{page}`."])
    body += described("method", [f"{name}(...)" for name in changing], ["As the methods without the underscore, in place: the values are written into this tensor, which is returned. On the tape as any op; RuntimeError for a leaf that requires grad, outside of ``no_grad``."])  # fmt: skip
    lines = [*heading("The Tensor", "="), ".. py:currentmodule:: tinytensor", "", *described("class", ["Tensor"], body)]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Every page of the reference, by name."""
    made = {"tensor": tensor_page(), "basics": basics_page()}
    made |= {name: family_page(title, rooms) for name, (title, rooms) in FAMILIES.items()}
    made |= {name: page_of(module, title) for name, (module, title) in MODULES.items()}
    words = "Every public name, from its docstring. Names, arguments and meaning are PyTorch's where PyTorch has them."
    blocks = {
        "Tensors": ["tensor", "basics"],
        "Operations (`tt.*`)": list(FAMILIES),
        "Modules": list(MODULES),
    }
    lines = [
        *heading("Reference", "="),
        words,
        "",
        ".. py:module:: tinytensor.ops",
        "",
        "``tinytensor.ops`` holds the operations, which ``tt`` has, too.",
        "",
    ]
    for caption, names in blocks.items():
        lines += [
            ".. toctree::",
            "   :maxdepth: 1",
            f"   :caption: {caption.replace('`', '')}",
            "",
            *indented(names),
            "",
        ]
    made["index"] = "\n".join(lines)
    return made


def write(app: Sphinx) -> None:
    """Write docs/api; pages that are as they were stay untouched."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    made = {folder / f"{name}.rst": text + "\n" for name, text in pages().items()}
    for old in set(folder.glob("*.rst")) - set(made):
        old.unlink()
    for path, text in made.items():
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


def public() -> set[str]:
    """The full name of everything that must be in the inventory."""
    found = {f"tinytensor.{n}" for n in (*tt.__all__, "diagnose", "train", "viz")} | {
        f"tinytensor.Tensor.{n}" for n in dir(tt.Tensor) if n[0] != "_"
    }
    for name, _ in MODULES.values():
        module = importlib.import_module(name)
        found |= {name, *(f"{name}.{n}" for n in module.__all__)}
    return found


def link(app: Sphinx, tree: nodes.document) -> None:
    """Code in prose that names something public leads to it: `tt.relu`, `nn.Linear(2, 3)`, and classes of nn and optim by themselves."""
    known = public()
    for literal in list(tree.findall(nodes.literal)):
        if isinstance(literal.parent, (nodes.reference, nodes.title, addnodes.pending_xref)):
            continue
        written = re.fullmatch(r"([A-Za-z_][\w.]*?)(?:\(.*\))?", literal.astext())
        if not written:
            continue
        name = re.sub(r"^F\.", "nn.functional.", re.sub(r"^(tt|tinytensor)\.", "", written[1]))
        bare = name == written[1] and "." not in name
        rooms = (
            "tinytensor.nn",
            "tinytensor.optim",
            "tinytensor.optim.lr_scheduler",
            "tinytensor.viz",
            "tinytensor.train",
            "tinytensor.data",
            "tinytensor",
        )
        tried = (
            [f"{room}.{name}" for room in rooms]
            if bare and name[0].isupper()
            else []
            if bare
            else [f"tinytensor.{name}"]
        )
        target = next((t for t in tried if t in known), None)
        if target:
            reference = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True
            )
            reference["refdoc"] = app.env.docname
            literal.replace_self(reference)
            reference += literal


def lead_to_source(app: Sphinx, tree: nodes.document) -> None:
    """Functions that are composed of ops do not say which file has them: viewcode is told."""
    for head in tree.findall(addnodes.desc_signature):
        home = HOMES.get(ops.PUBLIC.get(head.get("fullname", "")))
        if home is not None and head.get("module") in ("tinytensor", "tinytensor.nn.functional"):
            head["module"] = home.__name__


def check(app: Sphinx, failed: Exception | None) -> None:
    """The inventory holds every public name."""
    if failed is None:
        lacking = public() - set(app.env.domains["py"].data["objects"])
        if lacking:
            raise ExtensionError(f"the reference lacks {sorted(lacking)}: see docs/reference.py")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", write)
    app.connect("doctree-read", link)
    app.connect("doctree-read", lead_to_source)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
