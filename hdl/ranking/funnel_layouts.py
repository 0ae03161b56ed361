"""Shapes of the streams at the funnel's edge and between its parts."""

from __future__ import annotations

import enum as py_enum

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from ..config import Config

__all__ = [
    "CONTEXT_BITS",
    "FRACTION_BITS",
    "SUB_BATCH_BITS",
    "Policy",
    "append_layout",
    "arrival_layout",
    "cancel_layout",
    "candidate_layout",
    "context_layout",
    "forward_layout",
    "funnel_result_layout",
    "kept_layout",
    "link_layout",
    "open_layout",
    "score_write_layout",
    "selection_layout",
]

CONTEXT_BITS = 4
"""Number of a context; fixed, so that jobs look the same in every configuration."""
SUB_BATCH_BITS = 4
FRACTION_BITS = 5
"""Entry of the table of fractions: 4 stages of 8 pipelines."""


class Policy(py_enum.IntEnum):
    """How a stage chooses what it passes on. The last stage of a query is always exact."""

    EXACT = 0
    """The k best of the whole stage; parts of them are forwarded early."""
    QUOTA = 1
    """A fair share of k from each sub-batch."""
    BINNED = 2
    """16 bins of each sub-batch, from the top until they hold its share: at least k."""


def open_layout(config: Config) -> data.StructLayout:
    """A context begins: one stage of one query."""
    return data.StructLayout(
        {
            "context": unsigned(CONTEXT_BITS),
            "next_context": unsigned(CONTEXT_BITS),  # of the query's next stage
            "base": unsigned(config.candidate_bits),  # region, a multiple of candidate_banks
            "next_base": unsigned(config.candidate_bits),
            "n": unsigned(config.item_bits + 1),  # first stage: items
            "k": unsigned(config.item_bits + 1),
            "first": unsigned(1),  # positions are item indices
            "final": unsigned(1),  # survivors are the query's result
            "policy": unsigned(2),
            "bins": unsigned(2),  # BINNED: bins are 4096, 1024, 256, 64 wide, centred on 0
            "sub_batches": unsigned(SUB_BATCH_BITS + 1),  # 1..16
            "fractions": unsigned(FRACTION_BITS),  # EXACT: row of the table of fractions
        }
    )


def context_layout(config: Config) -> data.StructLayout:
    """What is kept of a context from its opening on."""
    members = dict(open_layout(config))
    return data.StructLayout(
        {name: field.shape for name, field in members.items()}
        | {
            "share": unsigned(config.item_bits + 1),  # k // sub_batches
            "extra": unsigned(SUB_BATCH_BITS),  # k % sub_batches: so many get one more
        }
    )


def arrival_layout(config: Config) -> data.StructLayout:
    """So many scores of a sub-batch have come, or will not come any more."""
    return data.StructLayout(
        {
            "context": unsigned(CONTEXT_BITS),
            "sub_batch": unsigned(SUB_BATCH_BITS),
            "count": unsigned(config.item_bits + 1),
        }
    )


def cancel_layout(config: Config) -> data.StructLayout:
    """``count`` items of a sub-batch will never be scored: their query is cancelled."""
    return arrival_layout(config)


def forward_layout(config: Config) -> data.StructLayout:
    """A selection is done: the next context's list has grown to ``count`` items."""
    return data.StructLayout(
        {
            "context": unsigned(CONTEXT_BITS),  # where the items come from
            "next_context": unsigned(CONTEXT_BITS),  # whose list has grown
            "sub_batch": unsigned(SUB_BATCH_BITS),
            "count": unsigned(config.item_bits + 1),  # final: results on their way
            "added": unsigned(config.item_bits + 1),  # of them in this selection
            "dropped": unsigned(config.item_bits + 1),  # of them fell out again
            "last": unsigned(1),  # ``context`` is closed, the list is complete
            "final": unsigned(1),
        }
    )


def funnel_result_layout(config: Config) -> data.StructLayout:
    """A result of a query, best first."""
    return data.StructLayout(
        {
            "context": unsigned(CONTEXT_BITS),
            "item": unsigned(config.item_bits),
            "score": signed(16),
            "last": unsigned(1),
        }
    )


def kept_layout(config: Config) -> data.StructLayout:
    """Event for traces: a selection keeps an item."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "context": unsigned(CONTEXT_BITS),
            "sub_batch": unsigned(SUB_BATCH_BITS),
            "item": unsigned(config.item_bits),
            "score": signed(16),
        }
    )


def bank_address_bits(config: Config) -> int:
    """Address inside a bank of the candidate memory."""
    return config.candidate_bits - (config.candidate_banks.bit_length() - 1)


def candidate_layout(config: Config) -> data.StructLayout:
    """A candidate as the memory hands it over."""
    return data.StructLayout(
        {
            "score": signed(16),
            "item": unsigned(config.item_bits),
            "dropped": unsigned(1),  # fell out of a stage before, after it was forwarded
            "link": unsigned(config.item_bits + 1),  # position in the next context's list
        }
    )


def score_write_layout(config: Config) -> data.StructLayout:
    """Write of a score into one bank."""
    return data.StructLayout(
        {"valid": unsigned(1), "word": unsigned(bank_address_bits(config)), "score": signed(16)}
    )


def append_layout(config: Config) -> data.StructLayout:
    """Write of a list entry."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "address": unsigned(config.candidate_bits),
            "item": unsigned(config.item_bits),
            "dropped": unsigned(1),
        }
    )


def link_layout(config: Config) -> data.StructLayout:
    """Note where a forwarded candidate went."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "address": unsigned(config.candidate_bits),
            "link": unsigned(config.item_bits + 1),
        }
    )


def selection_layout(config: Config) -> data.StructLayout:
    """One selection: which candidates take part and what is known of them."""
    return data.StructLayout(
        {
            "base": unsigned(config.candidate_bits),
            "first": unsigned(1),
            "sub_batches": unsigned(SUB_BATCH_BITS + 1),
            "sub_batch": unsigned(SUB_BATCH_BITS),
            "cumulative": unsigned(1),  # all sub-batches so far take part, else this one alone
            "fresh_from": unsigned(SUB_BATCH_BITS + 1),  # first stage: sub-batches not seen before
            "start": unsigned(config.item_bits + 1),  # later stages: positions not seen before
            "end": unsigned(config.item_bits + 1),  # one behind the last position
        }
    )
