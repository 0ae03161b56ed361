"""Registers by which the host works with the device: control, rings, cancel, interrupts."""

from __future__ import annotations

from ..config import Config
from .register import Field, Register, single

__all__ = ["host_registers"]


def host_registers(config: Config) -> list[Register]:
    """Offsets 0x040 .. 0x0FF."""
    return _control() + _rings(config) + _service()


def _control() -> list[Register]:
    """Control, status, interrupt."""
    return [
        Register(
            name="CONTROL", offset=0x040, access="rw", description="Control of the device.",
            fields=(
                Field(
                    name="soft_reset", lsb=0, width=1, pulse=True,
                    description="Write 1: finish all bus transfers, then reset the core. Ring "
                    "indices and counters go to 0; bases, sizes and windows stay.",
                ),
                Field(name="irq_enable", lsb=1, width=1, description="Drive the irq pin."),
            ),
        ),
        Register(
            name="STATUS", offset=0x044, access="ro", description="State of the device.",
            fields=(
                Field(name="busy", lsb=0, width=1, description="An entry is being worked on."),
                Field(name="idle", lsb=1, width=1, description="No entry, no bus transfer."),
                Field(name="resetting", lsb=2, width=1, description="Soft reset in progress."),
                Field(
                    name="completion_full", lsb=3, width=1,
                    description="Waiting for room in the completion ring.",
                ),
                Field(name="error", lsb=4, width=1, description="IRQ_STATUS.error is set."),
                Field(
                    name="doorbell_ignored", lsb=5, width=1,
                    description="SUBMISSION_TAIL is not below the ring's size: the tail before it "
                    "holds.",
                ),
            ),
        ),
        Register(
            name="IRQ_STATUS", offset=0x048, access="w1c", cleared=True,
            description="Reasons of an interrupt; irq is high while one is set and enabled.",
            fields=(
                Field(
                    name="completion", lsb=0, width=1,
                    description="A completion was written, or several: see IRQ_COMPLETIONS.",
                ),
                Field(
                    name="error", lsb=1, width=1,
                    description="A completion had a status other than OK, or could not be written.",
                ),
            ),
        ),
    ]  # fmt: skip


def _rings(config: Config) -> list[Register]:
    """Rings and the window."""
    base = single("address", config.address_bits, "Device memory address, 64-byte aligned.")
    size = single("entries", 16, "Entries of 64 bytes, a power of two, at least 2.")
    index = single("index", 16, "Entry number, 0 .. size - 1.")
    byte = single("address", config.address_bits, "Device memory address.")
    return [
        Register(
            name="SUBMISSION_BASE", offset=0x050, access="rw", width=64, fields=base,
            description="First byte of the submission ring.",
        ),
        Register(
            name="SUBMISSION_SIZE", offset=0x058, access="rw", fields=size,
            description="Size of the submission ring. Set base and size while the ring is empty.",
        ),
        Register(
            name="SUBMISSION_TAIL", offset=0x05C, access="rw", fields=index, cleared=True,
            description="Doorbell: first entry the host has not filled. Empty when equal to the "
            "head, so one entry always stays free. A tail that is not below the size is ignored.",
        ),
        Register(
            name="SUBMISSION_HEAD", offset=0x060, access="ro", fields=index,
            description="First entry the device has not finished.",
        ),
        Register(
            name="COMPLETION_BASE", offset=0x068, access="rw", width=64, fields=base,
            description="First byte of the completion ring.",
        ),
        Register(
            name="COMPLETION_SIZE", offset=0x070, access="rw", fields=size,
            description="Size of the completion ring.",
        ),
        Register(
            name="COMPLETION_HEAD", offset=0x074, access="rw", fields=index, cleared=True,
            description="First completion the host has not read. The device waits while its tail "
            "is one entry behind.",
        ),
        Register(
            name="COMPLETION_TAIL", offset=0x078, access="ro", fields=index,
            description="First entry the device has not written.",
        ),
        Register(
            name="WINDOW_BASE", offset=0x080, access="rw", width=64, fields=byte,
            description="First byte that entries of the submission ring may name.",
        ),
        Register(
            name="WINDOW_LIMIT", offset=0x088, access="rw", width=64, fields=byte,
            description="First byte behind the window. After reset the window is empty.",
        ),
    ]  # fmt: skip


def _service() -> list[Register]:
    """Cancel of one query, interrupt moderation."""
    return [
        Register(
            name="CANCEL_TAG", offset=0x090, access="rw",
            fields=single("tag", 32, "As in the submission entry."),
            description="Tag of the query to cancel.",
        ),
        Register(
            name="CANCEL", offset=0x094, access="rw", description="Cancel one query.",
            fields=(
                Field(
                    name="go", lsb=0, width=1, pulse=True,
                    description="Write 1: the query with CANCEL_TAG, at work or submitted before "
                    "this write, completes in its turn with status CANCELLED and count 0. Others "
                    "are not touched. A search that is not over is forgotten.",
                ),
            ),
        ),
        Register(
            name="CANCEL_STATUS", offset=0x098, access="ro",
            description="State of the last cancel; 0 before the first. Cleared by a soft reset.",
            fields=(
                Field(
                    name="pending", lsb=0, width=1,
                    description="No query at work has the tag; entries submitted before it wait.",
                ),
                Field(name="found", lsb=1, width=1, description="The query is cancelled."),
                Field(
                    name="unknown", lsb=2, width=1,
                    description="There was no such query, or it was completed already.",
                ),
            ),
        ),
        Register(
            name="IRQ_COMPLETIONS", offset=0x09C, access="rw",
            fields=single("completions", 8, "How many; 0 and 1: each one."),
            description="IRQ_STATUS.completion is set by every so many completions. "
            "IRQ_STATUS.error never waits.",
        ),
        Register(
            name="IRQ_TIMEOUT", offset=0x0A0, access="rw",
            fields=single("cycles", 32, "Cycles; 0: no limit."),
            description="IRQ_STATUS.completion is set this long after a completion at the latest, "
            "with fewer than IRQ_COMPLETIONS of them.",
        ),
    ]  # fmt: skip
