"""Requests over a line that garbles: right results or an error, and nothing done twice."""

from __future__ import annotations

import random

import pytest

from driver.board.errors import BoardError
from driver.board.link import Link, open_port
from driver.board.player import load_image, play
from driver.errors import UserError
from sim.job import Job

from .fake_board import FakeBoard

SHORT = 0.002
"""Seconds to an answer that a fake board would give at once."""


def _silent(text: str) -> None:
    pass


@pytest.mark.parametrize("faults", [0.0, 0.0005])
def test_memory_and_registers(faults: float) -> None:
    board = FakeBoard(faults=faults, seed=4)
    link = Link(board, timeout=SHORT)
    rng = random.Random(2)
    copy = bytearray(1 << 16)
    for _ in range(20):
        size, at = rng.randrange(1, 3000), rng.randrange(60_000)
        data = rng.randbytes(size)
        link.write_memory(at, data)
        copy[at : at + size] = data
        assert link.read_memory(at, size) == data
    link.zero_memory(1024, 4096)
    copy[1024 : 1024 + 4096] = bytes(4096)
    assert board.memory == copy
    for n in range(40):
        link.write_register(4 * n, n + 7)
        assert link.read_register(4 * n) == n + 7
    # Each write was done once, however often its request was sent.
    assert board.writes == [(4 * n, n + 7) for n in range(40)]
    assert (link.retries > 0) == (faults > 0)


def test_image_with_holes() -> None:
    board = FakeBoard()
    board.memory[:] = bytes([255]) * len(board.memory)
    image = b"ab" + bytes(500) + b"c" * 3000 + bytes(63) + b"d" + bytes(1001)
    load_image(Link(board, timeout=SHORT), image, _silent)
    assert board.memory[: len(image)] == image
    assert set(board.memory[len(image) + 8 :]) == {255}
    with pytest.raises(BoardError, match="70000 bytes do not fit the board's memory of 65536"):
        load_image(Link(board, timeout=SHORT), bytes(70_000), _silent)


def test_job() -> None:
    board = FakeBoard()
    board.interrupt = True
    board.registers[8] = 5
    job = Job()
    job.write(4, 77)
    job.read(4, "four")
    job.memory_write(100, b"xyz")
    job.memory_read(100, 3, "text")
    job.dump(96, 8, "dump")
    job.wait_register(8, 5, clear=(12, 3))
    job.idle(10)
    job.reset()
    result = play(Link(board, timeout=SHORT), job)
    assert result.values == {"four": 77}
    assert result.memory == {"text": b"xyz", "dump": bytes(4) + b"xyz" + bytes(1)}
    assert board.resets == 2


def test_what_goes_wrong_is_said() -> None:
    board = FakeBoard()
    link = Link(board, timeout=SHORT)
    with pytest.raises(BoardError, match="refuses WRITE_REGISTER at 0x400: BUS_ERROR"):
        link.write_register(0x400, 1)
    with pytest.raises(BoardError, match="refuses READ_MEMORY at 0x10000: BAD_ADDRESS"):
        link.read_memory(1 << 16, 4)
    board.dead = True
    with pytest.raises(BoardError, match="no answer to READ_REGISTER at 0x8 in 8 tries"):
        link.read_register(8)
    board.lost = True
    with pytest.raises(BoardError, match="the serial line is lost: device disconnected"):
        link.read_register(8)
    with pytest.raises(BoardError, match="answers with 00000001, not 31425052"):
        Link(FakeBoard(magic=1), timeout=SHORT)
    with pytest.raises(BoardError, match=r"no answer to HELLO .* garbled \([1-9]"):
        Link(FakeBoard(faults=0.1), timeout=SHORT)


def test_a_late_answer_is_not_taken_for_the_next_one() -> None:
    board = FakeBoard()
    board.copies = 2  # as after repeats whose first answers came after all
    link = Link(board, timeout=SHORT)
    for text in (b"new!", b"old?", b"more"):
        board.memory[:4] = text
        assert link.read_memory(0, 4) == text


def test_no_port() -> None:
    with pytest.raises(UserError, match="cannot open port /dev/no-such-port"):
        open_port("/dev/no-such-port", 3_000_000)
