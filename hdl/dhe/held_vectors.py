"""Finished DHE vectors that an engine holds, and where the vector of every row is."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out, Signature

from ..config import Config
from .decoder_table import table_write_layout
from .miss_list import placed_layout

__all__ = ["HELD_WORD_BYTES", "HeldVectors", "held_port_signature"]

HELD_WORD_BYTES = 16
"""Bytes of a read; shorter vectors are repeated in them."""


def held_port_signature(config: Config) -> Signature:
    """The reader's view. Both answers come a cycle later.

    ``slot``, ``vector`` (among the decoded ones of an item) and ``row`` give ``hit`` and ``place``:
    number of a held vector, or row of the decoder's output. ``address``: word of the held vectors.
    """
    return Signature(
        {
            "slot": Out(1),
            "vector": Out(range(config.max_dhe_vectors)),
            "row": Out(config.row_bits),
            "hit": In(1),
            "place": In(config.place_bits),
            "address": Out(range(config.held_bytes // HELD_WORD_BYTES)),
            "data": In(8 * HELD_WORD_BYTES),
        }
    )


class HeldVectors(wiring.Component):
    """Two memories: places of both slots' rows, and the vectors, written by LOAD.

    Parameters
    ----------
    config
        Device configuration, with ``held_bytes``.

    Members
    -------
    placed
        Pulses of the miss list.
    write
        LOAD of vectors: address is an 8-byte word.
    port
        See `held_port_signature`.
    """

    placed: data.View
    write: data.View
    port: Any

    def __init__(self, *, config: Config) -> None:
        if not config.held_bytes:
            raise ValueError("config.held_bytes must not be 0")
        self._config = config
        super().__init__(
            {
                "placed": In(placed_layout(config)),
                "write": In(table_write_layout()),
                "port": In(held_port_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, placed, port = self._config, self.placed, self.port
        place = data.StructLayout({"hit": unsigned(1), "place": unsigned(config.place_bits)})
        depth = 2 * config.max_dhe_vectors << config.row_bits
        places: Any = memory.Memory(shape=place, depth=depth, init=[])
        m.submodules.places = places
        write, read = places.write_port(), places.read_port(domain="sync")
        number_bits = len(port.vector)
        m.d.comb += [
            write.addr.eq(Cat(placed.row, placed.feature[:number_bits], placed.slot)),
            write.data.hit.eq(placed.hit),
            write.data.place.eq(placed.place),
            # Ids behind those of the vectors are of bags: their vectors are in the banks.
            write.en.eq(placed.valid & ~placed.feature[number_bits:].any()),
            read.addr.eq(Cat(port.row, port.vector, port.slot)),
            port.hit.eq(read.data.hit),
            port.place.eq(read.data.place),
        ]
        self._hold(m)
        return m

    def _hold(self, m: Module) -> None:
        """The vectors."""
        words = self._config.held_bytes // HELD_WORD_BYTES
        vectors: Any = memory.Memory(shape=unsigned(8 * HELD_WORD_BYTES), depth=words, init=[])
        m.submodules.vectors = vectors
        write, read = vectors.write_port(granularity=64), vectors.read_port(domain="sync")
        address = self.write.address
        inside = self.write.valid & (address < 2 * words)
        m.d.comb += [
            write.addr.eq(address >> 1),
            write.data.eq(self.write.data.replicate(2)),
            write.en.eq(Mux(inside, 1 << address[0], 0)),
            read.addr.eq(self.port.address),
            self.port.data.eq(read.data),
        ]
