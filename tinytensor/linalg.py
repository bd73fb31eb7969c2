"""Linear algebra under PyTorch's `torch.linalg` names; the ops are in ops/linalg.py."""

from .ops.linalg import LinAlgError as LinAlgError
from .ops.linalg import (
    cholesky,
    cond,
    det,
    eigh,
    eigvalsh,
    inv,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    pinv,
    qr,
    slogdet,
    solve,
    solve_triangular,
    svd,
    svdvals,
    vector_norm,
)
from .spelling import public as _public

__all__ = [
    "cholesky", "cond", "det", "eigh", "eigvalsh", "inv", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr",
    "slogdet", "solve", "solve_triangular", "svd", "svdvals", "vector_norm",
]  # fmt: skip

for _name in __all__:  # as they are called from outside
    globals()[_name] = _public(globals()[_name], __name__)
