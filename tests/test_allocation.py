"""Sizes that cannot be: ValueError or MemoryError from every function that makes something larger than what it was given, under a
limit of the address space; and everything works after each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinytensor as tt

# B: more bytes than there are; H: a size whose products leave 64 bits; o: tt.ones; C: 17 GB as its square
CALLS = """
tt.empty(B); tt.zeros(B); tt.ones(B); tt.full((B,), 1); tt.rand(B); tt.randn(B); tt.randint(0, 5, (B,)); tt.randperm(B); tt.normal(0.0, 1.0, (B,)); tt.arange(B)
tt.arange(0, 1, 1e-15); tt.linspace(0, 1, B); tt.logspace(0, 1, B); tt.eye(2**20); tt.eye(B); tt.tril_indices(2**31, 2**31); tt.triu_indices(2**31, 2**31)
tt.empty(H, H); tt.zeros(H, 4); tt.ones(4, H); tt.full((H, H), 1.0); tt.rand(H, H); tt.randn(H, H); tt.randint(0, 5, (H, H)); tt.randint(0, 5, (2**64, 3)); tt.arange(H); tt.arange(0.0, 1e300); tt.linspace(0, 1, H)
tt.logspace(0, 1, H); tt.eye(H); tt.tril_indices(H, 1); tt.empty(2**63); tt.zeros(2**64); tt.ones(2**70, 0); tt.empty(0, 2**70); tt.full((2**70,), 1); tt.arange(2**70); tt.linspace(0, 1, 2**70); tt.eye(2**70)
tt.empty_like(o(1).expand(B)); tt.zeros_like(o(1).expand(B)); tt.ones_like(o(1).expand(B)); tt.full_like(o(1).expand(B), 2); tt.rand_like(o(1).expand(B)); o(1).new_zeros(B); o(1).new_full((H, H), 1)
o(1).expand(H); o(1).expand(H, H); o(2, 1).expand(2, 2**63); o(1).broadcast_to((2**64,)); tt.broadcast_shapes((H, 1), (1, H)); tt.broadcast_tensors(o(1, 1).expand(B, 1), o(1, 1).expand(1, B))
o(3).repeat(B); o(3).repeat(H, H); o(3).repeat(2**70); o(3).tile((H, 4)); o(3).tile((2**70,)); o(3).repeat_interleave(B); o(3).repeat_interleave(H)
F.pad(o(3), (B, B)); F.pad(o(3), (2**63, 0)); F.pad(o(3), (H, H)); F.pad(o(3), (B, 0), mode="replicate"); o(3).reshape(2**70); o(3).view(2**63); tt.reshape(o(0), (H, H, 0)); o(4).unfold(0, 1, 2**70)
tt.outer(o(C), o(C)); tt.kron(o(C), o(C)); o(C, 1) + o(C); o(C, 1) * o(C); o(C, 1) < o(C); tt.maximum(o(C, 1), o(C)); o(C, 1) @ o(1, C); F.linear(o(C, 1), o(C, 1)); tt.cov(o(C, 2))
tt.einsum("i,j->ij", o(C), o(C)); tt.tensordot(o(C), o(C), 0); tt.diag(o(C)); tt.diag_embed(o(C)); tt.diag(o(3), B); tt.block_diag(o(C, 1), o(1, C)); tt.cartesian_prod(o(C), o(C))
tt.meshgrid(o(C), o(C))[0].clone(); tt.cat([o(1).expand(B)] * 2); tt.stack([o(1).expand(B)] * 2); o(1).expand(B).clone(); o(1).expand(B) + 1; o(1).expand(B).exp(); o(1).expand(B).sort(); tt.cumsum(o(1).expand(B), 0)
tt.softmax(o(1).expand(B), 0); o(1).expand(B).to(tt.float64); tt.where(o(1).expand(B) > 0, 1.0, 0.0); tt.one_hot(tt.tensor([0]), B); tt.one_hot(tt.tensor([H])); tt.bincount(tt.tensor([B])); tt.bincount(tt.tensor([H]))
tt.index_select(o(1, 1).expand(1, B), 0, tt.tensor([0, 0])); o(1).expand(B).tolist(); tt.multinomial(o(3), B, replacement=True); tt.linalg.inv(o(1, 1).expand(C, C))
F.conv1d(o(1, 1, 2), o(1, 1, 1), padding=B); F.conv_transpose1d(o(1, 1, 2), o(1, 1, 1), stride=B); F.adaptive_avg_pool1d(o(1, 1, 4), B); F.adaptive_max_pool1d(o(1, 1, 4), B); F.unfold(o(1, 1, 4, 4), 2, padding=2**20)
tt.nn.Linear(2**31, 2**31); tt.nn.Linear(2**70, 1); tt.nn.Embedding(H, H); tt.nn.Conv2d(B, B, 3); tt.nn.Linear(C, C)
"""

PROGRAM = """
import json, resource, sys
import tinytensor as tt
F, o, B, H, C = tt.nn.functional, tt.ones, 2**40, 2**62, 2**16
tt.manual_seed(0)
x = tt.randn(64, 32, requires_grad=True)
taken = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (2 << 30),) * 2)
def works():
    y = (x @ x.T).softmax(1).sum(0)
    y.backward(tt.arange(64, dtype=tt.float32))
    g, x.grad = x.grad.tolist(), None
    return y.tolist(), g
before, said = works(), {}
for call in json.load(sys.stdin):
    try:
        eval(call)
        said[call] = "nothing"
    except Exception as e:
        said[call] = type(e).__name__
    assert works() == before, call
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_what_cannot_be_allocated_is_refused_and_everything_works_after() -> None:
    calls = [call.strip() for line in CALLS.strip().splitlines() for call in line.split(";")]
    place = Path(tt.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(place)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=json.dumps(calls), cwd=place, env=environment, capture_output=True, text=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert set(said) == set(calls)
    assert {call: kind for call, kind in said.items() if kind not in ("ValueError", "MemoryError")} == {}
