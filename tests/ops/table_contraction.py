"""Rows of contraction, against NumPy's einsum and its relatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from table import row, wrap

import tinytensor as tt

# a row is a line
# fmt: off
EINSUMS: dict[str, Any] = {
    "ij,jk->ik": (((3, 4), (4, 5)), ((1, 1), (1, 1)), ((0, 4), (4, 2)), ((3, 0), (0, 2))), "ij,jk": (((3, 4), (4, 5)),), "bij,bjk->bik": (((2, 3, 4), (2, 4, 2)),),
    "ij,kj->": (((3, 4), (2, 4)),), "i,j->ij": (((3,), (4,)), ((0,), (2,))), "i,i->": (((5,), (5,)), ((0,), (0,))), "bi,bi->b": (((3, 4), (3, 4)),),
    "ij,ij->ij": (((3, 4), (3, 4)), ((2, 1), (2, 1))), "ji,jk->ki": (((3, 4), (3, 2)),), "...ij,...jk->...ik": (((2, 1, 2, 3), (3, 3, 2)), ((2, 3), (3, 2))),
    "b...,...b": (((2, 3), (3, 2)),), "i...,j...->i...j": (((2, 3), (4, 3)),), "iij,jk->ik": (((3, 3, 2), (2, 4)),), ",": (((), ()),), "i,->i": (((3,), ()),),
    "bhqd,bhkd->bhqk": (((2, 1, 2, 3), (2, 1, 4, 3)),), "aB,Bc->ca": (((2, 3), (3, 2)),),
}  # fmt: skip
ALONE: dict[str, Any] = {
    "ii->i": (((3, 3),), ((1, 1),), ((0, 0),)), "ii": (((3, 3),),), "ij->ji": (((3, 4),),), "ij->": (((3, 4),), ((0, 2),)), "...i->...": (((2, 3, 2),), ((3,),)),
    "iji->j": (((3, 4, 3),),), "...ii->...i": (((2, 3, 3),), ((2, 2),)), "ba": (((2, 3),),), "ijij->ij": (((2, 3, 2, 3),),), "ij->ij": (((2, 3),),), "": (((),),),
}  # fmt: skip
THREE: dict[str, Any] = {
    "ij,jk,kl->il": (((2, 3), (3, 4), (4, 2)),), "bn,anm,bm->ba": (((2, 3), (2, 3, 2), (2, 2)),), "i,i,i->i": (((3,), (3,), (3,)),), "i,j,k->": (((2,), (3,), (2,)),),
    "...i,ij,j...->...": (((2, 3), (3, 2), (2, 2)),), "ab,cd,bc->ad": (((2, 3), (2, 2), (3, 2)),),
}  # fmt: skip
for some in (EINSUMS, ALONE, THREE):
    for text, shapes in some.items():
        row(
            "einsum",
            lambda *x, t=text: np.einsum(t, *x),
            " ".join(["any"] * len(shapes[0])),
            shapes,
            lambda *x, t=text: tt.einsum(t, *x),
            label=text or "nothing",
            scale=20,
            nan=(0,) if some is EINSUMS else (),
        )
row(
    "einsum",
    lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]),
    "any any",
    (((2, 3), (3, 4)),),
    lambda x, y: tt.einsum(x, [0, 1], y, [1, 2], [2, 0]),
    label="lists",
    scale=20,
)
row(
    "einsum",
    lambda x, y: np.sum(x * y, 1),
    "any any",
    (((3, 1), (3, 4)), ((3, 4), (1, 4)), ((1, 1), (2, 3))),
    lambda x, y: tt.einsum("ij,ij->i", x, y),
    label="sizes of 1",
    scale=20,
)

for n, shapes in {
    0: (((2, 3), (2,)), ((), ())),
    1: (((2, 3), (3, 4)), ((3,), (3,))),
    2: (((2, 3), (2, 3)), ((2, 2, 3), (2, 3, 2)), ((0, 2), (0, 2))),
}.items():
    row("tensordot", wrap(np.tensordot, axes=n), "any any", shapes, wrap(tt.tensordot, dims=n), label=str(n), scale=20)
row(
    "tensordot",
    lambda x, y: np.tensordot(x, y, ([0, 2], [2, 0])),
    "any any",
    (((2, 3, 4), (4, 2, 2)),),
    wrap(tt.tensordot, dims=([0, -1], [-1, 0])),
    label="lists",
    scale=20,
)
row(
    "inner",
    np.inner,
    "any any",
    (((2, 3), (4, 3)), ((3,), (3,)), ((), (2, 3)), ((2, 1, 3), (2, 3)), ((0,), (0,))),
    scale=20,
)
row("vdot", np.vdot, "any any", (((5,), (5,)), ((0,), (0,))), scale=20)
row(
    "kron",
    np.kron,
    "any any",
    (((2, 3), (3, 2)), ((3,), (2,)), ((2, 2), (3,)), ((), (2,)), ((), ()), ((1, 2), (2, 1, 2)), ((0, 2), (2, 2))),
    ulps=0.5,
)
row(
    "cross",
    lambda x, y: np.cross(x, y),
    "any any",
    (((2, 3), (2, 3)), ((3,), (3,)), ((2, 1, 3), (1, 2, 3)), ((0, 3), (0, 3))),
    lambda x, y: tt.cross(x, y, -1),
    scale=8,
)
row(
    "cross",
    lambda x, y: np.cross(x, y, axis=0),
    "any any",
    (((3, 2), (3, 2)), ((3, 3), (3, 3))),
    scale=8,
    label="first",
)
