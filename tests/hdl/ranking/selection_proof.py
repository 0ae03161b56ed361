"""What is proved of a selection: a small one with any scores, any n and any k."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Elaboratable, Module, Signal

from hdl.config import Config
from hdl.ranking.candidate_memory import bank_of
from hdl.ranking.funnel_layouts import Policy
from hdl.ranking.selection import Selection

__all__ = ["SelectionProof"]


class SelectionProof(Elaboratable):
    """One selection of a first stage over ``candidates`` arbitrary scores, B = 1.

    The candidate memory is replaced by arbitrary constants. Asserted when the selection reports:
    exactly k survivors were listed, at consecutive places; no item twice (their order is
    strictly ascending); of any two candidates of which one was listed and the other was not, the
    listed one is better. And: the report comes within ``deadline`` cycles.

    Parameters
    ----------
    config
        Device sizes.
    candidates
        Most candidates: all n up to this.
    deadline
        Cycles.
    mask
        Score bits that are arbitrary; the others are 0.

    Members
    -------
    inputs
        Scores, n, k and two positions: arbitrary, but the same in all cycles.
    """

    def __init__(
        self, *, config: Config, candidates: int, deadline: int, mask: int = 0xFFFF
    ) -> None:
        self._config = config
        self._candidates = candidates
        self._deadline = deadline
        self._reads = [Signal(16, name=f"read_{bank}") for bank in range(config.candidate_banks)]
        self.scores = Signal(16 * candidates)
        self.n = Signal(config.item_bits + 1)
        self.k = Signal(config.item_bits + 1)
        self.left = Signal(range(candidates))
        self.right = Signal(range(candidates))
        self._mask = mask
        self.inputs = [self.scores, self.n, self.k, self.left, self.right]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.selection = dut = Selection(config=config)
        n, k = self.n, self.k
        scores = Signal.like(self.scores)
        every = sum(self._mask << 16 * position for position in range(self._candidates))
        m.d.comb += [
            scores.eq(self.scores & every),
            Assume((n >= 1) & (n <= self._candidates), "n"),
            Assume((k >= 1) & (k <= n), "k"),
            dut.ready.eq(1),
            dut.context.n.eq(n),
            dut.context.k.eq(k),
            dut.context.first.eq(1),
            dut.context.policy.eq(Policy.EXACT),
            dut.context.sub_batches.eq(1),
            dut.o_announce.ready.eq(1),
        ]
        self._answer(m, dut, scores)
        self._check(m, dut, scores, n, k)
        return m

    def _answer(self, m: Module, dut: Selection, scores: Signal) -> None:
        """The memory's answer: the score at the place that is read."""
        config = self._config
        shift = config.candidate_banks.bit_length() - 1
        with m.If(dut.scan_enable):
            for position in range(self._candidates):
                place = Signal(config.candidate_bits, init=position, name=f"place_{position}")
                bank = Signal(shift, name=f"bank_of_{position}")
                m.d.comb += bank.eq(bank_of(config, place))
                with m.If(dut.scan_address == position >> shift):
                    for number in range(config.candidate_banks):
                        with m.If(bank == number):
                            m.d.sync += self._reads[number].eq(scores.word_select(position, 16))
        for number in range(config.candidate_banks):
            m.d.comb += dut.candidates[number].score.eq(self._reads[number])

    def _check(self, m: Module, dut: Selection, scores: Signal, n: Signal, k: Signal) -> None:
        config = self._config
        cycle = Signal(range(self._deadline + 2))
        count = Signal(config.item_bits + 1)
        previous = Signal(config.item_bits)
        listed = Signal(self._candidates)
        append = dut.append[0]  # the small configuration lists one a cycle
        with m.If(cycle <= self._deadline):
            m.d.sync += cycle.eq(cycle + 1)
        with m.If(append.valid):
            m.d.sync += [
                count.eq(count + 1),
                previous.eq(append.item),
                listed.eq(listed | (1 << append.item)),
                Assert(append.address == count, "places are consecutive"),
                Assert(append.item < n, "only candidates are listed"),
                Assert((count == 0) | (append.item > previous), "items ascend"),
                Assert(~append.dropped, "nothing is dropped"),
            ]
        left, right = self.left, self.right
        m.d.comb += [Assume(left < n, "left"), Assume(right < n, "right")]
        one, other = Signal(16), Signal(16)
        m.d.comb += [
            one.eq(scores.word_select(left, 16) ^ 0x8000),
            other.eq(scores.word_select(right, 16) ^ 0x8000),
        ]
        reported = dut.o_forward.valid
        kept, lost = listed.bit_select(left, 1), listed.bit_select(right, 1)
        with m.If(reported):
            m.d.sync += [
                Assert(count == k, "k are listed"),
                Assert(dut.o_forward.payload.count == k, "k are reported"),
                Assert(dut.o_forward.payload.last, "the context closes"),
                Assert(
                    ~kept | lost | (one > other) | ((one == other) & (left < right)),
                    "none is worse than one left out",
                ),
            ]
        with m.If(cycle == self._deadline):
            m.d.sync += Assert(reported, "the report comes in time")
