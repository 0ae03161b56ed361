"""The memory's own port inside a board: one word a request, answers to reads in order."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

__all__ = ["WORD_BYTES", "word_port_signature", "word_request_layout"]

WORD_BYTES = 8
"""Bytes of a word: the AXI width of the presets for boards."""


def word_request_layout(address_bits: int) -> data.StructLayout:
    """A word to read, or to write where ``strobe`` says; ``address`` counts words."""
    return data.StructLayout(
        {
            "address": unsigned(address_bits),
            "write": unsigned(1),
            "data": unsigned(8 * WORD_BYTES),
            "strobe": unsigned(WORD_BYTES),
        }
    )


def word_port_signature(address_bits: int) -> Signature:
    """The user's side. Writes have no answer: a later request sees them."""
    return Signature(
        {
            "request": Out(stream.Signature(word_request_layout(address_bits))),
            "data": In(stream.Signature(8 * WORD_BYTES)),
        }
    )
