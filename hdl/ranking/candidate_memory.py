"""Candidates of all contexts, spread over banks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .funnel_layouts import (
    append_layout,
    bank_address_bits,
    candidate_layout,
    link_layout,
    score_write_layout,
)

__all__ = ["CandidateMemory", "bank_of", "rotation_of"]


def rotation_of(config: Config, word: Value) -> Value:
    """How far the lanes of a word are turned: lane l of word w lies in bank l + 3 w.

    Engines hand over every B-th position: without the turn a sub-batch would lie in few banks and
    its scores would wait for each other. Three, not one, keeps all strides from 1 to 16 spread and
    ``filter_survivors`` neighbours in different banks also across the end of a word.
    """
    bits = config.candidate_banks.bit_length() - 1
    low = word[:bits]
    return ((low << 1) + low)[:bits]  # a product would take a multiplier block


def bank_of(config: Config, address: Value) -> Value:
    """Bank of a candidate; its address there is ``address // banks``."""
    bits = config.candidate_banks.bit_length() - 1
    return (address[:bits] + rotation_of(config, address[bits:]))[:bits]


class CandidateMemory(wiring.Component):
    """``candidate_words`` candidates in ``candidate_banks`` banks, each of three memories.

    Scores are written by arrivals, list entries (item, dropped) by the stage before, links by this
    stage's selections; so each memory has one writer. All of a bank can be read in the same cycle.

    Every port takes one access a cycle, never refused; reads answer one clock later. What a read
    in the cycle of a write to the same place returns is open: nobody looks at a place before its
    score has been counted, or its list reported.

    Parameters
    ----------
    config
        Device sizes.
    readers
        Independent readers of list entries.

    Members
    -------
    scan_address, scan_enable
        Word to read, all banks; without enable the answer of the scan before stays.
    scan
        Candidates of the word, one clock later, by bank.
    write
        Scores, by bank.
    append, link
        ``filter_survivors`` writes a cycle to different banks: list entries, links. A cycle later
        than scores in the memory.
    list_address, list_data
        Item at a candidate address, by reader.
    """

    scan_address: Signal
    scan_enable: Signal
    scan: Any
    write: Any
    append: Any
    link: Any
    list_address: Any
    list_data: Any

    def __init__(self, *, config: Config, readers: int = 1) -> None:
        if readers < 1:
            raise ValueError(f"readers must be at least 1, not {readers!r}")
        self._config = config
        self._readers = readers
        banks, wide = config.candidate_banks, config.filter_survivors
        super().__init__(
            {
                "scan_address": In(bank_address_bits(config)),
                "scan_enable": In(1),
                "scan": Out(data.ArrayLayout(candidate_layout(config), banks)),
                "write": In(data.ArrayLayout(score_write_layout(config), banks)),
                "append": In(data.ArrayLayout(append_layout(config), wide)),
                "link": In(data.ArrayLayout(link_layout(config), wide)),
                "list_address": In(data.ArrayLayout(unsigned(config.candidate_bits), readers)),
                "list_data": Out(data.ArrayLayout(unsigned(config.item_bits), readers)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entries = [self._bank(m, bank) for bank in range(self._config.candidate_banks)]
        for reader in range(self._readers):
            chosen = Signal(range(self._config.candidate_banks), name=f"chosen_{reader}")
            m.d.sync += chosen.eq(bank_of(self._config, self.list_address[reader]))
            with m.Switch(chosen):
                for bank, ports in enumerate(entries):
                    with m.Case(bank):
                        m.d.comb += self.list_data[reader].eq(ports[reader].data.item)
        return m

    def _bank(self, m: Module, bank: int) -> list[memory.ReadPort]:
        """Memories of one bank; returns the readers' ports."""
        layout = candidate_layout(self._config)
        entry = data.StructLayout({"item": layout["item"].shape, "dropped": unsigned(1)})
        scores = self._memory(m, f"scores_{bank}", layout["score"].shape)
        entries = self._memory(m, f"entries_{bank}", entry)
        links = self._memory(m, f"links_{bank}", layout["link"].shape)
        read = {}
        for name, cells in (("score", scores), ("entry", entries), ("link", links)):
            read[name] = cells.read_port(domain="sync")
            m.d.comb += [
                read[name].addr.eq(self.scan_address),
                read[name].en.eq(self.scan_enable),
            ]
        m.d.comb += [
            self.scan[bank].score.eq(read["score"].data),
            self.scan[bank].item.eq(read["entry"].data.item),
            self.scan[bank].dropped.eq(read["entry"].data.dropped),
            self.scan[bank].link.eq(read["link"].data),
        ]
        port = scores.write_port()
        m.d.comb += [
            port.en.eq(self.write[bank].valid),
            port.addr.eq(self.write[bank].word),
            port.data.eq(self.write[bank].score),
        ]
        self._route(m, entries.write_port(), bank, self.append, ("item", "dropped"))
        self._route(m, links.write_port(), bank, self.link, None)
        return [self._reader(m, entries, reader) for reader in range(self._readers)]

    def _memory(self, m: Module, name: str, shape: Any) -> memory.Memory:
        depth = self._config.candidate_words // self._config.candidate_banks
        cells: memory.Memory = memory.Memory(shape=shape, depth=depth, init=[])
        m.submodules[name] = cells
        return cells

    def _route(
        self,
        m: Module,
        port: memory.WritePort,
        bank: int,
        sources: Any,
        fields: tuple[str, ...] | None,
    ) -> None:
        """The source, one at most, whose address lies in this bank writes, a cycle later."""
        shift = self._config.candidate_banks.bit_length() - 1
        enable, address, content = Signal(), Signal.like(port.addr), Signal.like(port.data)
        m.d.comb += [port.en.eq(enable), port.addr.eq(address), port.data.eq(content)]
        m.d.sync += enable.eq(0)
        for number in range(self._config.filter_survivors):
            source = sources[number]
            with m.If(source.valid & (bank_of(self._config, source.address) == bank)):
                m.d.sync += [enable.eq(1), address.eq(source.address[shift:])]
                if fields is None:
                    m.d.sync += content.eq(source.link)
                else:
                    m.d.sync += [getattr(content, name).eq(source[name]) for name in fields]

    def _reader(self, m: Module, cells: memory.Memory, reader: int) -> memory.ReadPort:
        shift = self._config.candidate_banks.bit_length() - 1
        port = cells.read_port(domain="sync")
        m.d.comb += port.addr.eq(self.list_address[reader][shift:])
        return port
