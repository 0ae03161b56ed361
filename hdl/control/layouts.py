"""Shapes that the parts of the dispatcher hand to each other."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data

from ..config import Config
from ..interfaces import QUERY_BITS
from ..ranking.funnel_layouts import CONTEXT_BITS, SUB_BATCH_BITS

__all__ = ["admitted_layout", "block_layout", "context_layout"]


def context_layout(config: Config) -> data.StructLayout:
    """What stays of a context from its opening on: one stage of one query."""
    return data.StructLayout(
        {
            "query": unsigned(QUERY_BITS),
            "stage": unsigned(2),
            "program": unsigned(4),
            "features": unsigned(7),
            "rows": unsigned(config.row_bits + 1),  # of a full row block
            "ahead": unsigned(12),  # rows to be fetched ahead
            "first": unsigned(1),
            "base": unsigned(config.candidate_bits),
            "records": unsigned(config.address_bits),
            "pitch": unsigned(16),
            "dense_bytes": unsigned(8),
            "ids_offset": unsigned(12),
            # First stage: item j is in sub-batch j mod B; the first ``remainder`` of them have one
            # item more than ``quotient``.
            "sub_batches": unsigned(5),
            "quotient": unsigned(config.item_bits + 1),
            "remainder": unsigned(4),
        }
    )


def admitted_layout(config: Config) -> data.StructLayout:
    """A query got its number; with a status other than OK nothing of it will run."""
    return data.StructLayout(
        {
            "query": unsigned(QUERY_BITS),
            "status": unsigned(8),
            "stages": unsigned(3),
            "words": unsigned(config.candidate_bits + 1),  # of the candidate memory
            "count": unsigned(config.item_bits + 1),  # results it will have
        }
    )


def block_layout(config: Config) -> data.StructLayout:
    """Rows of a context that may be worked on together: ``position``, ``position + stride``, .."""
    return data.StructLayout(
        {
            "context": unsigned(CONTEXT_BITS),
            "sub_batch": unsigned(SUB_BATCH_BITS),
            "position": unsigned(config.item_bits),
            "stride": unsigned(5),
            "left": unsigned(config.item_bits + 1),
        }
    )
