"""docs/ops.md is complete and up to date."""

from __future__ import annotations

import document


def test_every_public_op_is_tested_by_a_row() -> None:
    assert [name for name, f in document.functions().items() if not document.rows_of(name, f)] == []


def test_the_page_is_what_the_table_says() -> None:
    assert document.PAGE.read_text() == document.page(), "run: python tests/ops/document.py"
