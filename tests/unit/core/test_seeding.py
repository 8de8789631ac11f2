"""Seeds derived from one number."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from frugalmtl.core.seeding import derive_seed

Part = st.one_of(st.integers(-(2**63), 2**63), st.text(max_size=5))


@given(st.lists(Part, max_size=4), st.lists(Part, max_size=4))
def test_different_parts_give_different_seeds(first: list[int | str], second: list[int | str]) -> None:
    assert (derive_seed(*first) == derive_seed(*second)) == (
        [(type(part), part) for part in first] == [(type(part), part) for part in second]
    )
    assert 0 <= derive_seed(*first) < 1 << 63


def test_seeds_are_the_same_in_another_process() -> None:
    code = "from frugalmtl.core.seeding import derive_seed; print(derive_seed(3, 'order', 7))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(printed) == derive_seed(3, "order", 7)
