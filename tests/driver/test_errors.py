"""Messages are one printable line."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from driver.errors import UserError


@given(st.text())
def test_message_is_one_printable_line(name: str) -> None:
    text = str(UserError(f"no column {name}"))
    assert text.isprintable() and len(text.splitlines()) == 1
    if name.isprintable():
        assert text == f"no column {name}"


def test_escapes() -> None:
    error = UserError("node '\x0b(\noncat\u2028)' é")
    assert str(error) == "node '\\x0b(\\noncat\\u2028)' é"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
