"""The faults that tests/mutate.py puts into the code: which ones fit a line of Python, of C or of Cython."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """A change of one place: `old` at (line, column) becomes `new`; lines: those whose tests may notice."""

    file: str
    line: int
    column: int
    old: str
    new: str
    lines: tuple[int, int]

    def __str__(self) -> str:
        old, new = (" ".join(s.split()) for s in (self.old, self.new))
        return f"{self.file}:{self.line}:{self.column + 1}: `{old}` -> `{new or '(nothing)'}`"


# --------------------------------------------------------------------------------------------------------------- Python
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip

# of these two arguments have no order, or a wrong one is an error at once
COMMUTATIVE = [
    "add",
    "mul",
    "eq",
    "ne",
    "maximum",
    "minimum",
    "logical_and",
    "logical_or",
    "np.add",
    "np.multiply",
    "isinstance",
    "getattr",
]


def changed(node: Any, **fields: Any) -> Any:
    """A copy of `node` with other fields."""
    return type(node)(**{**{n: getattr(node, n) for n in node._fields}, **fields})


def negated(e: ast.expr) -> ast.expr:
    return e.operand if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.Not) else ast.UnaryOp(ast.Not(), e)


def is_text(e: ast.expr) -> bool:
    return isinstance(e, ast.Constant) and isinstance(e.value, str)


def expressions(n: ast.AST) -> Iterator[ast.expr]:
    """What an expression may become."""
    if isinstance(n, ast.BinOp):
        if type(n.op) in ARITHMETIC:
            yield changed(n, op=ARITHMETIC[type(n.op)]())
        yield n.left
        yield n.right
    elif isinstance(n, ast.Compare) and len(n.ops) == 1:
        for op in COMPARISONS[type(n.ops[0])]:
            yield changed(n, ops=[op()])
    elif isinstance(n, ast.Compare):
        for i, old in enumerate(n.ops):
            yield changed(n, ops=[*n.ops[:i], COMPARISONS[type(old)][0](), *n.ops[i + 1 :]])
    elif isinstance(n, ast.BoolOp):
        yield changed(n, op=ast.Or() if isinstance(n.op, ast.And) else ast.And())
        for i in range(len(n.values)):
            rest = n.values[:i] + n.values[i + 1 :]
            yield rest[0] if len(rest) == 1 else changed(n, values=rest)
    elif isinstance(n, ast.UnaryOp):
        yield n.operand
    elif isinstance(n, ast.IfExp):
        yield changed(n, test=negated(n.test))
    elif isinstance(n, ast.Constant) and isinstance(n.value, bool):
        yield ast.Constant(not n.value)
    elif isinstance(n, ast.Constant) and isinstance(n.value, int):
        yield ast.Constant(n.value + 1)
        yield ast.Constant(n.value - 1)
    elif isinstance(n, ast.Constant) and isinstance(n.value, float):
        yield ast.Constant(n.value * 1.01 or 0.01)
        yield ast.Constant(n.value + 1)
    elif isinstance(n, ast.Call):
        if (
            len(n.args) > 1
            and not any(isinstance(a, ast.Starred) or is_text(a) for a in n.args[:2])
            and ast.unparse(n.func) not in COMMUTATIVE
        ):
            yield changed(n, args=[n.args[1], n.args[0], *n.args[2:]])
        for i, k in enumerate(n.keywords):
            if k.arg is not None:
                yield changed(n, keywords=n.keywords[:i] + n.keywords[i + 1 :])


def statements(n: ast.AST) -> Iterator[ast.stmt]:
    """What a statement may become, where it is on its own."""
    call = isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)
    stored = isinstance(n, ast.Assign) and isinstance(n.targets[0], (ast.Attribute, ast.Subscript))
    if call or stored or isinstance(n, (ast.AugAssign, ast.Raise, ast.Delete, ast.Break, ast.Continue)):
        yield ast.Pass()
    elif isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple):  # a gradient that is not there
        for i in range(len(n.value.elts)):
            yield changed(
                n, value=changed(n.value, elts=[*n.value.elts[:i], ast.Constant(None), *n.value.elts[i + 1 :]])
            )
    elif isinstance(n, ast.Return) and isinstance(n.value, ast.Call) and n.value.args:  # an operand, not the result
        for e in n.value.args:
            if not is_text(e) and not isinstance(e, ast.Starred):
                yield changed(n, value=e)


class Walk:
    """The faults that fit a Python file."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.lines = file, text.splitlines(keepends=True)
        self.found: list[Fault] = []
        self.visit(ast.parse(text), None)

    def add(self, n: Any, new: str, within: Any) -> None:
        segment = self.lines[n.lineno - 1 : n.end_lineno]
        segment = [line.encode() for line in segment]
        segment[-1] = segment[-1][: n.end_col_offset]
        segment[0] = segment[0][n.col_offset :]
        old = b"".join(segment).decode()
        column = len(self.lines[n.lineno - 1].encode()[: n.col_offset].decode())
        gap = "\n" * old.count("\n")  # so that no other line moves
        if isinstance(n, ast.expr):
            new = f"({new}{gap})"
        elif gap:
            new += gap
        last = within.body[0].lineno - 1 if isinstance(getattr(within, "body", None), list) else within.end_lineno
        self.found.append(Fault(self.file, n.lineno, column, old, new, (within.lineno, max(within.lineno, last))))

    def visit(self, n: Any, within: Any) -> None:
        if isinstance(n, (ast.Import, ast.ImportFrom, ast.JoinedStr, ast.Assert)):
            return
        if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING":
            return
        if isinstance(n, ast.stmt):
            within = n
            for s in statements(n):
                self.add(n, ast.unparse(s), within)
            for test in ("test",) * isinstance(n, (ast.If, ast.While)):
                self.add(getattr(n, test), ast.unparse(negated(getattr(n, test))), within)
        elif isinstance(n, ast.expr):
            for e in expressions(n):
                self.add(n, ast.unparse(e), within)
        elif isinstance(n, ast.keyword) and n.arg == "stacklevel":
            return
        if isinstance(n, ast.Raise) or (
            isinstance(n, ast.Call) and ast.unparse(n.func) in ("warnings.warn", "cast", "TypeVar")
        ):
            return  # a message
        if isinstance(n, (ast.Assign, ast.AnnAssign)):
            names = [ast.unparse(t) for t in (n.targets if isinstance(n, ast.Assign) else [n.target])]
            if any(
                name.startswith("__") or (isinstance(within, ast.stmt) and name == "TYPE_CHECKING") for name in names
            ):
                return
        for name, value in ast.iter_fields(n):
            if name in ("annotation", "returns", "decorator_list", "type_comment", "ctx", "targets") and not (
                name == "targets" and isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Subscript)
            ):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child, within)


# ------------------------------------------------------------------------------------------------------- C and Cython
SWAPS = {
    "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["*"], "<": ["<=", ">"], "<=": ["<", ">"], ">": [">=", "<"], ">=": [">", "<"],
    "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"], "&": ["|"], "|": ["&"], "<<": [">>"], ">>": ["<<"], "and": ["or"], "or": ["and"],
    "is not": ["is"], "is": ["is not"], "not in": ["in"], "in": ["not in"], "+=": ["-=", "="], "-=": ["+=", "="], "*=": ["=", "/="], "|=": ["="], "&=": ["="],
}  # fmt: skip
SPACED = "|".join(re.escape(s) for s in sorted(SWAPS, key=len, reverse=True))
OPERATOR = re.compile(rf"(?<=[\w)\]] )({SPACED})(?= [\w(\-!&*~\"'])")
NUMBER = re.compile(r"(?<![\w.])(\d+\.\d+(?:[eE][+-]?\d+)?|\d+)(?=f?\b)(?![.\w]*[xX])")
FULL = re.compile(r"^(\s*)((?:break|continue);?|[\w.>\[\]\-]+(?: [-+*|&]?= |\+\+|--|\().*)$")
COMMENT_C = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
COMMENT_PY = re.compile(r'"""(?:.|\n)*?"""|#[^\n]*|[fr]?"(?:\\.|[^"\\\n])*"|[fr]?\'(?:\\.|[^\'\\\n])*\'')
NO_LINE_C = re.compile(
    r"^\s*#|prefetch|^\s*(static |const |_Alignas|typedef |extern |struct )*[\w ]+\**[\w ,\[\]*]+;|\bcost\b|_worth|GOMP|sched_|now\(\)"
)
NO_LINE_PY = re.compile(
    r"^\s*(raise|import|from|cimport|ctypedef|cdef extern|cdef enum|def |cpdef |@|class |DEF |warnings\.warn)|^\s*cdef [^=]*(\(|$)|^\s*cdef class|^\s*f?\"|^\s*(static|#|Py|\}|int |return \(\()"
)


def blank(text: str, what: re.Pattern[str]) -> str:
    return what.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def token_faults(file: str, text: str) -> Iterator[Fault]:
    """The faults that fit a file of C or Cython, line by line."""
    cython = file.endswith((".pyx", ".pxi"))
    bare = blank(text, COMMENT_PY if cython else COMMENT_C).split("\n")
    continued = False
    for at, (line, whole) in enumerate(zip(bare, text.split("\n")), 1):
        opens = line.count("(") + line.count("[") > line.count(")") + line.count("]")
        ends = line.rstrip().endswith((":", ";", "{", "}"))
        skip = (
            (NO_LINE_PY if cython else NO_LINE_C).search(line)
            or not line.strip()
            or re.match(r"^(static|void|int|TT_|VM_|double|float)[\w \*]*\w\(.*\{?$", line)
        )

        def fault(start: int, end: int, new: str, at: int = at, whole: str = whole) -> Fault:
            return Fault(file, at, start, whole[start:end], new, (at, at))

        if not skip:
            for m in OPERATOR.finditer(line):
                if m[1] in ("in", "not in") and re.match(r"\s*(for|.* for )", line):
                    continue
                for new in SWAPS[m[1]]:
                    yield fault(*m.span(1), new)
            for m in NUMBER.finditer(line):
                value = float(m[1]) if "." in m[1] else int(m[1])
                for other in (value + 1, value * 1.01 if "." in m[1] else value - 1):
                    yield fault(*m.span(1), str(other) if other >= 0 else f"({other})")
            for m in re.finditer(r"\bif \((?=.*\))" if not cython else r"\b(?:if|while|elif) (?=.*:$)", line):
                end = closing(line, m.end() - 1) if not cython else len(line.rstrip()) - 1
                if end > 0 and (cython or line[m.end() - 1] == "("):
                    start = m.end()
                    yield fault(start, end, f"!({whole[start:end]})" if not cython else f"not ({whole[start:end]})")
            for m in re.finditer(r"!(?=[\w(])" if not cython else r"\bnot (?!in\b)", line):
                yield fault(*m.span(), "")
            m = FULL.match(line.rstrip())
            if (
                m
                and not opens
                and not continued
                and (cython or line.rstrip().endswith(";"))
                and line.count("(") == line.count(")")
            ):
                yield fault(m.start(2), m.end(2), "pass" if cython else ";")
            m = re.match(r"^\s*return ([^;]+?);?$", line.rstrip())
            if m and not opens and (m[1] in ("True", "False", "0", "1")):
                swap = {"True": "False", "False": "True", "0": "1", "1": "0"}
                yield fault(*m.span(1), swap[m[1]])
        continued = (
            bool(line.strip()) and not ends and (opens or (continued and cython and line.count(")") <= line.count("(")))
        )


def closing(line: str, at: int) -> int:
    """Where the bracket that opens at `at` closes, or -1."""
    depth = 0
    for i in range(at, len(line)):
        depth += {"(": 1, ")": -1}.get(line[i], 0)
        if depth == 0:
            return i
    return -1


def faults_of(file: str, text: str) -> list[Fault]:
    found = Walk(file, text).found if file.endswith(".py") else token_faults(file, text)
    return [f for f in found if f.new != f.old]  # 1 % of 0.0 is none
