"""Reads the candidates of a selection and compares them with the threshold found so far."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .candidate_memory import rotation_of
from .funnel_layouts import bank_address_bits, candidate_layout, selection_layout
from .lanes import rotate
from .word_walker import WordWalker

__all__ = ["DIGIT_BITS", "Scan", "digits_of", "scanned_layout"]

DIGIT_BITS = 4
SCORE_DIGITS = 4


def digits_of(config: Config) -> int:
    """Digits of a key: score above, inverted item below, so that the larger key is the better."""
    return SCORE_DIGITS + -(-config.item_bits // DIGIT_BITS)


def scanned_layout(config: Config) -> data.StructLayout:
    """A word of candidates, compared."""
    banks = config.candidate_banks
    return data.StructLayout(
        {
            "valid": 1,
            "last": 1,
            "address": bank_address_bits(config),
            "position": max(1, config.item_bits + 1 - (banks.bit_length() - 1)),
            "counted": banks,  # by bank: takes part and equals the threshold so far
            "digit": data.ArrayLayout(DIGIT_BITS, banks),  # by bank: the next digit
            "equal": banks,  # by lane
            "above": banks,  # by lane
            "fresh": banks,  # by lane: seen by no selection before
            "forwarded": banks,  # by lane: flag of a selection before, or noise when fresh
            "seen": banks,  # by lane: position takes part and is not fresh
            "candidates": data.ArrayLayout(candidate_layout(config), banks),  # by bank
        }
    )


class Scan(wiring.Component):
    """A pass over the words of a selection, one a cycle.

    ``go`` in cycle t, then the words come out of ``o`` from cycle t + ``LATENCY`` on, one for each
    cycle with ``advance``; everything stands still in the others.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    selection, go, advance
        See ``WordWalker``.
    exclude_dropped
        Candidates that fell out of a stage before take no part.
    bins
        Width of the score's leading digit: 4096 (0: plain key), 1024, 256 or 64, saturating.
    threshold, depth
        The digits found so far, from the highest; those behind ``depth`` are 0.
    scan_address, scan_enable, candidates
        To the candidate memory.
    flags
        Forwarded flags of the word read in the cycle before.
    o
        ``scanned_layout``.
    """

    LATENCY = 5

    selection: Any
    go: Signal
    advance: Signal
    exclude_dropped: Signal
    bins: Signal
    threshold: Signal
    depth: Signal
    scan_address: Signal
    scan_enable: Signal
    candidates: Any
    flags: Signal
    o: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        banks = config.candidate_banks
        super().__init__(
            {
                "selection": In(selection_layout(config)),
                "go": In(1),
                "advance": In(1),
                "exclude_dropped": In(1),
                "bins": In(2),
                "threshold": In(DIGIT_BITS * digits_of(config)),
                "depth": In(range(digits_of(config) + 1)),
                "scan_address": Out(bank_address_bits(config)),
                "scan_enable": Out(1),
                "candidates": In(data.ArrayLayout(candidate_layout(config), banks)),
                "flags": In(banks),
                "o": Out(scanned_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.walker = walker = WordWalker(config=config)
        m.d.comb += [
            walker.selection.eq(self.selection),
            walker.go.eq(self.go),
            walker.advance.eq(self.advance),
            self.scan_address.eq(walker.address),
            self.scan_enable.eq(self.advance),
        ]
        read: Any = Signal(scanned_layout(config))  # what belongs to the word being read
        held: Any = Signal(scanned_layout(config))  # the word in a register: memory is slow
        compared: Any = Signal(scanned_layout(config))  # its lanes still by bank
        member = Signal(config.candidate_banks)  # by lane: takes part
        taking = Signal(config.candidate_banks)  # by bank, of the word in ``held``
        with m.If(self.advance):
            m.d.sync += [
                read.valid.eq(walker.valid),
                read.last.eq(walker.last),
                read.address.eq(walker.address),
                read.position.eq(walker.position),
                read.fresh.eq(walker.fresh),
                read.seen.eq(walker.member & ~walker.fresh),
                member.eq(walker.member),
                taking.eq(rotate(m, member, rotation_of(config, read.address), name="members")),
                held.eq(read),
                held.forwarded.eq(self.flags),
                held.candidates.eq(self.candidates),
                compared.eq(held),
                self.o.eq(compared),
            ]
        self._compare(m, held, taking, compared)
        return m

    def _compare(self, m: Module, held: Any, taking: Signal, compared: Any) -> None:
        """All candidates of a word against the threshold, two cycles after their read.

        They are turned from banks to lanes in a third one. Their leading digits, and who takes
        part, are found in the first of the two.
        """
        banks = self._config.candidate_banks
        digits = digits_of(self._config)
        # Registers: the first word is further away than a change of ``depth``.
        # One-hot: memory in front of it is slow.
        self._bins = [Signal(name=f"bins_{number}") for number in range(4)]
        m.d.sync += [chosen.eq(self.bins == number) for number, chosen in enumerate(self._bins)]
        looked_at = Signal(digits)
        m.d.sync += looked_at.eq(Cat(digits - 1 - digit < self.depth for digit in range(digits)))
        mask = Cat(looked_at[digit].replicate(DIGIT_BITS) for digit in range(digits))
        equal, above = Signal(banks), Signal(banks)
        digit: Any = Signal(data.ArrayLayout(DIGIT_BITS, banks))
        for bank in range(banks):
            candidate = self.candidates[bank]
            leading = Signal(DIGIT_BITS, name=f"leading_{bank}")
            present = Signal(name=f"present_{bank}")
            key = Signal(DIGIT_BITS * digits, name=f"key_{bank}")
            masked = Signal(DIGIT_BITS * digits, name=f"masked_{bank}")
            with m.If(self.advance):
                m.d.sync += leading.eq(self._leading(candidate.score))
            dropped = self.exclude_dropped & held.candidates[bank].dropped
            m.d.comb += [
                present.eq(taking[bank] & ~dropped),
                key.eq(self._key(held.candidates[bank], leading)),
                masked.eq(key & mask),
                equal[bank].eq(present & (masked == self.threshold)),
                above[bank].eq(present & (masked > self.threshold)),
            ]
            with m.Switch(self.depth):
                for number in range(digits):
                    with m.Case(number):
                        m.d.comb += digit[bank].eq(key.word_select(digits - 1 - number, DIGIT_BITS))
        turn = rotation_of(self._config, compared.address)
        equal_lanes = rotate(m, compared.equal, turn, name="equal_lanes", back=True)
        above_lanes = rotate(m, compared.above, turn, name="above_lanes", back=True)
        with m.If(self.advance):
            m.d.sync += [
                compared.counted.eq(equal),
                compared.digit.eq(digit),
                compared.equal.eq(equal),
                compared.above.eq(above),
                self.o.equal.eq(equal_lanes),
                self.o.above.eq(above_lanes),
            ]

    def _key(self, candidate: Any, leading: Value) -> Value:
        """Leading digit, the score's other digits, the inverted item."""
        item_bits = self._config.item_bits
        padded = DIGIT_BITS * (digits_of(self._config) - SCORE_DIGITS)
        padding = Const(0, padded - item_bits)
        return Cat((~candidate.item)[:item_bits], padding, candidate.score[:12], leading)

    def _leading(self, score: Value) -> Value:
        """The bin."""
        leading = (score[12:16] ^ 0x8) & self._bins[0].replicate(DIGIT_BITS)
        for number in range(1, 4):
            low = 12 - 2 * number
            inside = score[low + 3 :].all() | ~score[low + 3 :].any()  # only copies of the sign
            window = Mux(inside, score[low : low + 4] ^ 0x8, (~score[15]).replicate(DIGIT_BITS))
            leading = leading | (window & self._bins[number].replicate(DIGIT_BITS))
        return leading
