"""Exact top-k filter: radix select on the two bytes of a score."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring

from ..config import Config
from .histogram import Histogram
from .layouts import filter_members
from .score_store import ScoreStore

__all__ = ["Filter"]

SIGN = 0x8000


class Filter(wiring.Component):
    """Keeps exactly the k best of n scores: higher score first, ties to the lower position.

    Scores of positions 0 .. n - 1 come in any order, each position once, one a cycle at most, and
    are stored by position. Radix select finds the k-th best score: its high byte from a histogram
    that is counted while the scores come in, its low byte from a histogram of the stored scores
    that share that high byte. A last pass over the stored scores, in the order of positions, lets
    out all scores above it and the first ones equal to it until k are out.

    Flow control: ``i_score`` is never refused between the start and the n-th score, and refused
    otherwise. ``o`` may stall for ever. The next start is taken after ``last`` was taken.
    After reset the first start is refused for about 260 cycles (histogram clearing).

    Latency, in cycles from the one in which the n-th score is taken, when ``o`` never stalls:
    the survivor at position p is taken ``FIXED_CYCLES + n + p`` cycles later
    (a pass of n, two searches of 256 bins, and the last pass, which ends at the k-th survivor).

    Parameters
    ----------
    config
        Device sizes: ``max_items``.

    Members
    -------
    i_start
        Stream of ``filter_start_layout``; 1 <= k <= n <= max_items is the sender's promise.
    i_score
        Stream of ``position_score_layout``.
    o
        Stream of ``survivor_layout`` in ascending order of positions; ``last`` on the k-th.
    """

    FIXED_CYCLES = 2 * Histogram.SEARCH_CYCLES + 8

    i_start: stream.Interface
    i_score: stream.Interface
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(filter_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A count of n = max_items in one bin needs the extra bit.
        count_width = self._config.item_bits + 1
        m.submodules.histogram = histogram = Histogram(count_width=count_width)
        m.submodules.store = store = ScoreStore(config=self._config)
        missing = Signal(count_width)  # scores still to come
        kept = Signal(count_width)  # survivors still to go out
        ties = Signal(count_width)  # of them, those equal to the threshold
        threshold = Signal(16)
        arriving = Signal(16)
        m.d.comb += [
            # Order of the biased score as unsigned is the order of the score as signed.
            arriving.eq(self.i_score.payload.score ^ SIGN),
            store.write.eq(self.i_score.valid & self.i_score.ready),
            store.write_position.eq(self.i_score.payload.position),
            store.write_key.eq(arriving),
            store.advance.eq(~self.o.valid | self.o.ready),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i_start.ready.eq(histogram.ready)
                m.d.sync += [
                    store.n.eq(self.i_start.payload.n),
                    missing.eq(self.i_start.payload.n),
                    kept.eq(self.i_start.payload.k),
                ]
                with m.If(self.i_start.valid & histogram.ready):
                    m.next = "COLLECT"
            with m.State("COLLECT"):
                m.d.comb += [
                    self.i_score.ready.eq(1),
                    histogram.add.eq(self.i_score.valid),
                    histogram.bin.eq(arriving[8:]),
                ]
                with m.If(self.i_score.valid):
                    m.d.sync += missing.eq(missing - 1)
                    with m.If(missing == 1):
                        m.next = "FIND HIGH"
            with m.State("FIND HIGH"):
                m.d.comb += [histogram.find.eq(1), histogram.rank.eq(kept)]
                m.next = "WAIT HIGH"
            with m.State("WAIT HIGH"):
                m.d.sync += threshold[8:].eq(histogram.threshold)
                m.d.comb += store.start.eq(histogram.done)
                with m.If(histogram.done):
                    m.next = "COUNT LOW"
            with m.State("COUNT LOW"):
                m.d.comb += [
                    histogram.add.eq(store.valid & (store.key[8:] == threshold[8:])),
                    histogram.bin.eq(store.key[:8]),
                ]
                with m.If(~store.busy):
                    m.next = "FIND LOW"
            with m.State("FIND LOW"):
                m.d.comb += [histogram.find.eq(1), histogram.rank.eq(histogram.remaining)]
                m.next = "WAIT LOW"
            with m.State("WAIT LOW"):
                m.d.sync += [threshold[:8].eq(histogram.threshold), ties.eq(histogram.remaining)]
                m.d.comb += store.start.eq(histogram.done)
                with m.If(histogram.done):
                    m.next = "EMIT"
            with m.State("EMIT"):
                last_out = self._emit(m, store, threshold, kept, ties)
                with m.If(last_out):
                    m.next = "LAST"
            with m.State("LAST"):
                with m.If(self.o.ready):
                    m.d.sync += self.o.valid.eq(0)
                    m.next = "IDLE"
        return m

    def _emit(
        self, m: Module, store: ScoreStore, threshold: Signal, kept: Signal, ties: Signal
    ) -> Signal:
        """Let one stored score through to the output register or drop it."""
        equal = Signal()
        survives = Signal()
        last_out = Signal()
        m.d.comb += [
            equal.eq(store.key == threshold),
            survives.eq(store.valid & ((store.key > threshold) | (equal & (ties != 0)))),
            last_out.eq(store.advance & survives & (kept == 1)),
            store.stop.eq(last_out),
        ]
        with m.If(store.advance):
            m.d.sync += self.o.valid.eq(survives)
            with m.If(survives):
                m.d.sync += [
                    self.o.payload.position.eq(store.position),
                    self.o.payload.score.eq(store.key ^ SIGN),
                    self.o.payload.last.eq(kept == 1),
                    kept.eq(kept - 1),
                ]
                with m.If(equal):
                    m.d.sync += ties.eq(ties - 1)
        return last_out
