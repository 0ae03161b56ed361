"""Lists the survivors of a selection, in the order of their positions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .candidate_memory import rotation_of
from .funnel_layouts import append_layout, kept_layout, link_layout, selection_layout
from .lanes import count_ones, prefix_counts
from .layouts import ranked_item_layout
from .scan import scanned_layout

__all__ = ["Emission", "emission_layout"]


def emission_layout(config: Config) -> data.StructLayout:
    """What a selection does with its survivors."""
    count = config.item_bits + 1
    return data.StructLayout(
        {
            "next_base": config.candidate_bits,
            "final": 1,  # survivors go out, one a cycle, instead of into the next list
            "links": 1,  # note where survivors go: a later selection may drop them
            "flags": 1,  # some candidates were forwarded before
            "drop": 1,  # those of them that do not survive are marked in the next list
            "ties": count,  # so many of the candidates that equal the threshold survive
            "listed": count,  # length of the next list before
            "room": count,  # so many survivors may be listed, further ones are left out
            "survivors": count,  # final: how many there will be
        }
    )


class Emission(wiring.Component):
    """Takes the words of a ``Scan`` and appends their survivors to the next context's list.

    A candidate survives that lies above the threshold or is one of the first ``ties`` that equal
    it. Those that a selection before has forwarded are not listed again.

    Four stages: the survivors of the word (``fresh`` ones and others), their numbers (a prefix
    sum), the choice of ``filter_survivors`` of them, the writes. A word takes one cycle for each
    ``filter_survivors`` new survivors (final: for each one), one for each dropped candidate, and
    at least one in all. Candidates on the way are held when the final stage's taker is not ready.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    selection, job
        What is selected and what happens to it; stable from ``start`` until ``done``.
    start
        Before the first word: take over ``ties``, ``listed``, ``room``.
    active
        Words are to be listed; else they are let through unseen.
    word, advance
        From the scan; a word is taken in a cycle with ``advance``. The scan stands still without.
    append, link
        Writes into the candidate memory.
    flag_write, flag_address, flag_data
        Forwarded flags of a word, by lane.
    o
        Survivors of a final stage, ``last`` on the last one.
    done
        Pulse: all is written, or offered at ``o``.
    listed
        Length of the next list.
    fallen
        Candidates forwarded before that did not survive this selection.
    kept
        Events: new survivors, as many a cycle as can be listed.
    """

    STAGES = 3
    """Cycles from a word at ``word`` to the choice of its first survivors."""

    selection: Any
    job: Any
    start: Signal
    active: Signal
    word: Any
    advance: Signal
    append: Any
    link: Any
    flag_write: Signal
    flag_address: Signal
    flag_data: Signal
    o: stream.Interface
    done: Signal
    listed: Signal
    fallen: Signal
    kept: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._banks = config.candidate_banks
        self._count = config.item_bits + 1
        wide = config.filter_survivors
        word = scanned_layout(config)
        super().__init__(
            {
                "selection": In(selection_layout(config)),
                "job": In(emission_layout(config)),
                "start": In(1),
                "active": In(1),
                "word": In(word),
                "advance": Out(1),
                "append": Out(data.ArrayLayout(append_layout(config), wide)),
                "link": Out(data.ArrayLayout(link_layout(config), wide)),
                "flag_write": Out(1),
                "flag_address": Out(word["address"].shape),
                "flag_data": Out(self._banks),
                "o": Out(stream.Signature(ranked_item_layout(config))),
                "done": Out(1),
                "listed": Out(self._count),
                "fallen": Out(self._count),
                "kept": Out(data.ArrayLayout(kept_layout(config), wide)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chosen = self._choose(m)
        self._step = Mux(self.job.final, 1, self._config.filter_survivors)
        # Of the word in the third stage, registers because all stages wait for them:
        self._through = Signal()  # the survivors left are listed in one step
        self._over = Signal()  # none is left
        self._left = Signal(self._banks)  # lost candidates still to be marked
        self._any_left = Signal()
        self._one_left = Signal()  # at most one
        numbered, number, news, falls = self._number(m, chosen)
        self._list(m, numbered, number, news, falls)
        return m

    def _stage(self, name: str) -> Any:
        """A pipeline register: the word, its survivors and those forwarded before."""
        return Signal(
            data.StructLayout(
                {
                    "word": scanned_layout(self._config),
                    "chosen": self._banks,  # survivors; from the second stage on the new ones
                    "old": self._banks,  # forwarded by a selection before
                }
            ),
            name=name,
        )

    def _choose(self, m: Module) -> Any:
        """First stage: who survives."""
        ties = Signal(self._count)  # still to be given
        stage = self._stage("chosen")
        equal = self.word.equal
        before = prefix_counts(m, equal, name="equal_before")
        granted = Cat(before[lane] < ties for lane in range(self._banks))
        with m.If(self.advance):
            m.d.sync += [
                stage.word.eq(self.word),
                stage.word.valid.eq(self.word.valid & self.active),
                stage.chosen.eq(self.word.above | (equal & granted)),
                stage.old.eq(
                    self.word.forwarded & self.word.seen & self.job.flags.replicate(len(equal))
                ),
            ]
            with m.If(self.word.valid & self.active):
                m.d.sync += ties.eq(Mux(before[-1] < ties, ties - before[-1], 0))
        with m.If(self.start):
            m.d.sync += [ties.eq(self.job.ties), stage.word.valid.eq(0)]
        return stage

    def _number(self, m: Module, chosen: Any) -> tuple[Any, Any, Signal, Signal]:
        """Second stage: number the survivors that are new, count those that fell out."""
        stage = self._stage("numbered")
        new = Signal(self._banks)
        lost = Signal(self._banks)
        m.d.comb += [new.eq(chosen.chosen & ~chosen.old), lost.eq(chosen.old & ~chosen.chosen)]
        before = prefix_counts(m, new, name="new_before")
        number: Any = Signal(data.ArrayLayout(self._banks.bit_length(), self._banks))
        self._turn = Signal(self._banks.bit_length() - 1)  # of the word in the third stage
        news = Signal(self._banks.bit_length())
        falls = Signal(self._banks.bit_length())
        with m.If(self.advance):
            m.d.sync += [
                stage.eq(chosen),
                stage.chosen.eq(new),
                self._turn.eq(rotation_of(self._config, chosen.word.address)),
                number.eq(Cat(before[: self._banks])),
                news.eq(before[-1]),
                falls.eq(count_ones(lost)),
                self._through.eq(before[-1] <= self._step),
                self._over.eq(before[-1] == 0),
                *self._marking(Mux(self.job.drop, lost, 0)),
            ]
        with m.If(self.start):
            m.d.sync += stage.word.valid.eq(0)
        return stage, number, news, falls

    def _marking(self, left: Value) -> list[Any]:
        """These lost candidates are left to be marked."""
        return [
            self._left.eq(left),
            self._any_left.eq(left.any()),
            self._one_left.eq((left & (left - 1)[: self._banks]) == 0),
        ]

    def _list(self, m: Module, stage: Any, number: Any, news: Signal, falls: Signal) -> None:
        """Third stage: choose the next few, until the word is done."""
        wide = self._config.filter_survivors
        width = self._banks.bit_length() + 1
        served = Signal(width)  # new survivors of this word that are through
        sent = Signal(self._banks)  # lanes of this word that were listed
        room = Signal(self._count)
        some_room = Signal(wide)  # room > port, a bit a port
        step = self._step
        free = Signal()
        act = Signal()
        dropping = Signal()
        word_done = Signal()
        left = self._left
        others = Signal(self._banks)  # without the one that is marked in this step
        m.d.comb += [
            free.eq(~self.job.final | ~self.o.valid | self.o.ready),
            act.eq(stage.word.valid & free),
            dropping.eq(self._over & self._any_left),
            others.eq(Mux(dropping, left & (left - 1)[: self._banks], left)),
            word_done.eq(Mux(dropping, self._one_left, self._through & ~self._any_left)),
            self.advance.eq(~stage.word.valid | (free & word_done)),
        ]
        picks = []
        for port in range(wide):
            pick = Signal(self._banks, name=f"pick_{port}")
            allowed = Signal(name=f"allowed_{port}")
            m.d.comb += [
                pick.eq(
                    Cat(
                        stage.chosen[lane] & (number[lane] == served + port)
                        for lane in range(self._banks)
                    )
                ),
                # If the word is served in this cycle: that comes late and enables registers.
                allowed.eq(
                    ~dropping & pick.any() & some_room[port] & ~(self.job.final & (port != 0))
                ),
            ]
            picks.append((pick, allowed))
        now = Signal(self._banks)
        m.d.comb += now.eq(_any_of([Mux(allowed, pick, 0) for pick, allowed in picks]))
        listing = count_ones(Cat(allowed for _, allowed in picks))
        with m.If(act):
            m.d.sync += [
                self.listed.eq(self.listed + listing),
                room.eq(room - listing),
                some_room.eq(_chosen(listing, [_above(room, n, wide) for n in range(wide + 1)])),
                served.eq(served + step),
                sent.eq(sent | now),
            ]
            with m.If(~word_done):
                m.d.sync += [
                    self._through.eq(self._through | (served + 2 * step >= news)),
                    self._over.eq(self._over | (served + step >= news)),
                    *self._marking(others),
                ]
            with m.Else():
                m.d.sync += [
                    served.eq(0),
                    sent.eq(0),
                    self.fallen.eq(self.fallen + falls),
                ]
        m.d.sync += self.done.eq(act & word_done & stage.word.last)
        with m.If(self.start):
            m.d.sync += [
                self.listed.eq(self.job.listed),
                room.eq(self.job.room),
                some_room.eq(_above(self.job.room, 0, wide)),
                self.fallen.eq(0),
            ]
        m.d.sync += [
            self.flag_write.eq(act & word_done & self.job.links),
            self.flag_address.eq(stage.word.address),
            self.flag_data.eq(stage.old | sent | now),
        ]
        lost_one = left & ~(left - 1)[: self._banks]
        self._write(m, stage, picks, lost_one, act, dropping)

    def _write(
        self,
        m: Module,
        stage: Any,
        picks: list[tuple[Signal, Signal]],
        lost_one: Value,
        act: Signal,
        dropping: Signal,
    ) -> None:
        """Last stage: the chosen candidates' data, towards memory or the sorter."""
        config = self._config
        bits = self._banks.bit_length() - 1
        wide = len(picks)
        # The address in the next list is a sum of its own: entries are written a cycle after links.
        entries: Any = Signal(data.ArrayLayout(append_layout(config), wide))
        m.d.sync += self.append.eq(entries)
        for port in range(wide):
            m.d.sync += self.append[port].address.eq(self.job.next_base + entries[port].address)
        for port, (pick, allowed) in enumerate(picks):
            lanes = Mux(dropping, lost_one, pick) if port == 0 else pick
            lane = Signal(bits, name=f"lane_{port}")
            for index in range(self._banks):
                with m.If(lanes[index]):
                    m.d.comb += lane.eq(index)
            bank = Signal(bits, name=f"bank_{port}")
            item = Signal(config.item_bits, name=f"item_{port}")
            m.d.comb += bank.eq(lane + self._turn)
            candidate = stage.word.candidates[bank]
            own = Cat(lane, stage.word.position)[: config.item_bits]
            m.d.comb += item.eq(Mux(self.selection.first, own, candidate.item))
            place = self.listed + port
            if port == 0:
                place = Mux(dropping, candidate.link, place)
            listed = act & allowed & ~self.job.final
            append, link, kept = entries[port], self.link[port], self.kept[port]
            m.d.sync += [
                append.valid.eq(listed | (act & dropping if port == 0 else 0)),
                append.address.eq(place),
                append.item.eq(item),
                append.dropped.eq(dropping if port == 0 else 0),
                link.valid.eq(listed & self.job.links),
                link.address.eq(Cat(lane, stage.word.address)),
                link.link.eq(place),
                kept.valid.eq(act & allowed),
                kept.item.eq(item),
                kept.score.eq(candidate.score),
            ]
            if port == 0:
                with m.If(~self.o.valid | self.o.ready):
                    m.d.sync += [
                        self.o.valid.eq(stage.word.valid & allowed & self.job.final),
                        self.o.payload.item.eq(item),
                        self.o.payload.score.eq(candidate.score),
                        self.o.payload.last.eq(self.listed + 1 == self.job.survivors),
                    ]


def _above(room: Value, taken: int, wide: int) -> Value:
    """For each port, whether ``room - taken`` is above its number."""
    return Cat(room > taken + port for port in range(wide))


def _chosen(number: Value, values: list[Value]) -> Value:
    """``values[number]``."""
    result = values[0]
    for index, value in enumerate(values[1:], 1):
        result = Mux(number == index, value, result)
    return result


def _any_of(values: list[Value]) -> Value:
    result = values[0]
    for value in values[1:]:
        result = result | value
    return result
