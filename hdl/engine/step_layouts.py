"""What goes into the interaction's step generator, what it keeps, and what comes out of it."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data
from amaranth.lib.enum import Enum

from ..config import Config
from ..program import DOT_SHIFT_WORDS, STAGE
from .interaction_steps import ROW_LANES, most_rows

__all__ = ["PRODUCT_FIELDS", "Phase", "item_layout", "state_layout", "step_layout"]

PRODUCT_FIELDS = ("products", "product_base", "copied", "tail")
"""Of the descriptor: 0 but for NeuMF."""


def item_layout(config: Config) -> data.StructLayout:
    """An item whose dense vector is in its vector slot."""
    return data.StructLayout(
        {
            "slot": unsigned(1),
            "row": unsigned(config.row_bits),
            "last_row": unsigned(1),  # last item of its job
            "address": unsigned(13),  # first byte of the item's slot in every bank
            "mode": unsigned(1),
            "log2_width": unsigned(3),
            "log2_outputs": unsigned(3),
            "vectors": unsigned(7),
            "shift_base": range(DOT_SHIFT_WORDS),
            **{name: STAGE[name].shape for name in PRODUCT_FIELDS},
        }
    )


def step_layout(config: Config, outputs: int) -> data.StructLayout:
    """One cycle of the interaction's datapath at a unit of so many outputs."""
    several = {"log2_rows": unsigned(2), "i": range(ROW_LANES)} if most_rows(outputs) > 1 else {}
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "copy": unsigned(1),  # the bytes of operand b are the outputs
            "product": unsigned(1),  # the products are the outputs
            "first": unsigned(1),  # first cycle of a dot product
            "final": unsigned(1),  # last cycle of the step: a chunk follows
            "load_a": unsigned(1),  # operand a is not the one of the step before
            "address_a": unsigned(13),  # of vector i in its bank
            "bank_a": range(config.gather_lanes),
            "address_b": unsigned(13),  # of vector j0 in its bank
            "bank_b": range(config.gather_lanes),
            "log2_group": unsigned(3),  # banks that operand b comes from
            "log2_width": unsigned(3),
            "shift_address": range(DOT_SHIFT_WORDS),
            "slot": unsigned(1),
            "row": unsigned(config.row_bits),
            "k": unsigned(13),
            "count": unsigned(max(outputs, config.row_outputs).bit_length()),
            **several,  # a dot step has 1, 2 or 4 vectors i, of which this is the first
            "last": unsigned(1),  # last chunk of the row
            "chunk": unsigned(1),  # valid and final
            "last_row": unsigned(1),
        }
    )


class Phase(Enum, shape=unsigned(2)):
    """What the item is at."""

    IDLE = 0
    COPY = 1
    DOT = 2
    PRODUCT = 3


def state_layout(config: Config, *, several: bool) -> data.StructLayout:
    """Where the generator is in its item; ``several``: a step may have several vectors i."""
    banks = config.gather_lanes
    # Going on to the next block of vectors.
    move = data.StructLayout(
        {
            "log2_group": unsigned(3),
            "banks": range(banks + 1),
            "bytes": unsigned(13),  # on the way from the last bank to the first
        }
    )
    more = {
        "log2_rows": unsigned(2),
        "left": unsigned(7),  # vectors from i on
        "rows_end": unsigned(1),  # they are no more than a step's
    }
    return data.StructLayout(
        {
            "phase": Phase,
            "busy": unsigned(1),  # phase != IDLE
            "remaining": unsigned(14),  # bytes to copy
            "copy_only": unsigned(1),
            "width": unsigned(8),  # d
            "outputs": unsigned(config.row_outputs.bit_length()),  # P
            "copy_move": move,
            "dot_move": move,
            "i": unsigned(7),
            "j": unsigned(7),
            "next_j": unsigned(8),  # j + outputs
            "next_end": unsigned(9),  # next_j + outputs
            "last_but_one": unsigned(7),  # vector i
            "last_i": unsigned(1),  # i is the last vector
            "last_step": unsigned(1),  # the item's: its release is one gate away
            "copy_ends": unsigned(1),  # remaining <= COPY_BYTES
            "copied_vector": unsigned(1),  # this copy is its vector's last one
            "pair_bytes": unsigned(14),  # to copy at the last but one of two tails' ends
            "product_count": unsigned(8),  # of a step
            "product_single": unsigned(1),  # a step is all products of a pair
            "product_end": unsigned(1),  # these are their pair's last products
            "last_pair": unsigned(1),  # i == item.products
            # Of dot steps, worked out a step ahead: the item's end starts the next item.
            "single": unsigned(1),  # vectors are no longer than a step
            "final": unsigned(1),  # part is the vectors' last one
            "vector_end": unsigned(1),  # i <= next_j
            # Of steps of several vectors i; 0: of one.
            **(more if several else {}),
            "part": unsigned(7),  # byte inside the vectors: they are longer than a step
            "bank_i": range(banks),
            "address_i": unsigned(13),
            "bank_j": range(banks),
            "address_j": unsigned(13),
            "k": unsigned(13),
            "shift_address": range(DOT_SHIFT_WORDS),
        }
    )
