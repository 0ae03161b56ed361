"""One bank of the vector buffer: the vectors of one gather lane."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import row_write_layout

__all__ = ["COPY_BYTES", "VectorBank", "dense_write_layout"]

COPY_BYTES = 16
"""Bytes of one write of the dense vector, and of one chunk of a plain copy."""


def dense_write_layout() -> data.StructLayout:
    """Up to 16 bytes of the dense vector; bytes and enables sit at ``address`` modulo 16."""
    return data.StructLayout(
        {
            "address": unsigned(13),  # byte address in bank 0, a multiple of 4
            "enable": unsigned(COPY_BYTES // 4),  # 4-byte granules of the aligned 16 bytes
            "data": unsigned(COPY_BYTES * 8),
        }
    )


class VectorBank(wiring.Component):
    """Memory with one write port for the lane's row words and two read ports.

    Flow control: row words are never refused; writes of the dense vector wait for them. A word is
    readable in the cycle after it was written; reading bytes that are written in the same cycle
    returns old bytes. Read data comes one cycle after its address and stays while not enabled.

    Parameters
    ----------
    config
        Device configuration.
    word
        Bytes of a word, a power of two of at least ``lane_bytes``.
    depth
        Number of words.
    dense
        Dense vectors are written, too; else ``dense_write`` is never ready.

    Members
    -------
    row_write
        The lane's row words, those with ``lands``.
    lands
        The row word is for this engine.
    dense_write
        Stream of dense vector bytes.
    read_address, read_enable, read_data
        Two ports of words.
    """

    row_write: Any
    lands: Signal
    dense_write: stream.Interface
    read_address: Any
    read_enable: Any
    read_data: Any

    def __init__(self, *, config: Config, word: int, depth: int, dense: bool) -> None:
        if word < config.lane_bytes or word & (word - 1):
            raise ValueError(
                f"word must be a power of two of at least {config.lane_bytes}, not {word!r}"
            )
        self._config = config
        self._word = word
        self._depth = depth
        self._dense = dense
        super().__init__(
            {
                "row_write": In(row_write_layout(config)),
                "lands": In(1),
                "dense_write": In(stream.Signature(dense_write_layout())),
                "read_address": In(range(self._depth)).array(2),
                "read_enable": In(1).array(2),
                "read_data": Out(8 * word).array(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size, lane_bytes = self._word, self._config.lane_bytes
        storage: Any = memory.Memory(shape=unsigned(8 * size), depth=self._depth, init=[])
        m.submodules.memory = storage
        write = storage.write_port(granularity=32)
        row, dense = self.row_write, self.dense_write
        address, words = row.address, row.data.replicate(size // lane_bytes)
        if self._dense:
            new = dense.payload
            address = Mux(self.lands, address, new.address)
            words = Mux(self.lands, words, new.data.replicate(size // COPY_BYTES))
            m.d.comb += dense.ready.eq(~self.lands)
            with m.If(dense.valid):
                m.d.comb += write.en.eq(_place(new.enable, new.address, COPY_BYTES, size))
        with m.If(self.lands):
            m.d.comb += write.en.eq(_place(row.enable, row.address, lane_bytes, size))
        m.d.comb += [
            write.addr.eq(address >> exact_log2(size)),
            write.data.eq(words),
        ]
        for port in range(2):
            read = storage.read_port(domain="sync")
            m.d.comb += [
                read.addr.eq(self.read_address[port]),
                read.en.eq(self.read_enable[port]),
                self.read_data[port].eq(read.data),
            ]
        return m


def _place(enable: Any, address: Any, part_bytes: int, word_bytes: int) -> Any:
    """Granule enables of a part of ``part_bytes`` at its place in the word."""
    parts = word_bytes // part_bytes
    if parts == 1:
        return enable
    place = address[exact_log2(part_bytes) : exact_log2(word_bytes)]
    return Cat(Mux(place == number, enable, 0) for number in range(parts))
