"""The register table: the only source of the register map.

RTL (``RegisterFile``), driver, C header, SystemRDL and documentation are all made from
``register_table(config)``.
"""

from __future__ import annotations

from ..config import Config
from ..engine.cause import Cause
from .register import Field, Register

__all__ = ["ADDRESS_BITS", "COUNTERS", "DEVICE_ID", "VERSION", "register_table"]

ADDRESS_BITS = 12
"""The CSRs fill one 4 KB page."""
DEVICE_ID = int.from_bytes(b"RPAC", "little")
VERSION = (0, 1, 0)
"""Version of the generator; the distribution carries the same one."""

COUNTERS = (
    ("CYCLES", "Clock cycles since reset."),
    ("BUSY_CYCLES", "Cycles in which an entry of the submission ring was being worked on."),
    ("QUERIES", "Completions of QUERY entries, with any status."),
    ("ERRORS", "Completions with a status other than OK."),
    ("RESULTS", "Results written."),
    ("LOOKUPS", "Embedding lookups: HITS + LOOK_AHEAD_HITS + MISSES + BAD_IDS."),
    ("HITS", "Lookups found in the static cache."),
    ("LOOK_AHEAD_HITS", "Lookups found in the look-ahead cache, data there or on its way."),
    ("MERGED", "Those of LOOK_AHEAD_HITS whose data was still on its way."),
    ("MISSES", "Lookups read from device memory."),
    ("PREFETCHES", "Rows asked for ahead of their lookup; not counted above."),
    ("BAD_IDS", "Lookups of an id at or above its table's row count."),
    ("READ_BURSTS", "AXI read bursts, all channels."),
    ("READ_BEATS", "AXI read beats, all channels; times D is bytes read."),
    ("WRITE_BURSTS", "AXI write bursts, all channels."),
    ("WRITE_BEATS", "AXI write beats, all channels."),
)
"""64-bit event counters: cleared by a soft reset, wrap around."""


def _constants(config: Config) -> list[Register]:
    """Identity and sizes of the device."""

    def constant(
        name: str, offset: int, description: str, *fields: tuple[str, int, int, str]
    ) -> Register:
        lsb = 0
        out = []
        for field, width, value, text in fields:
            out.append(Field(name=field, lsb=lsb, width=width, reset=value, description=text))
            lsb += width
        return Register(
            name=name, offset=offset, access="constant", fields=tuple(out), description=description
        )

    features = config.features
    major, minor, patch = VERSION
    return [
        constant("ID", 0x000, 'Identity: "RPAC".', ("value", 32, DEVICE_ID, "Letters.")),
        constant(
            "VERSION", 0x004, "Version of the generator.",
            ("patch", 8, patch, "Patch."), ("minor", 8, minor, "Minor."),
            ("major", 8, major, "Major."),
        ),
        constant(
            "CONFIG_HASH", 0x008, "Identity of the configuration; a driver refuses another one.",
            ("value", 32, config.hash, "Hash in the JSON side file."),
        ),
        constant(
            "GRID", 0x00C, "Sizes of the array.",
            ("grid", 8, config.grid, "Sub-arrays along an edge."),
            ("sub_array", 8, config.sub_array, "PEs along an edge of a sub-array."),
            ("rows", 16, config.rows, "Most items of a row block."),
        ),
        constant(
            "EMBEDDING", 0x010, "Sizes of the embedding unit.",
            ("gather_lanes", 8, config.gather_lanes, "Gather lanes."),
            ("lane_bytes", 8, config.lane_bytes, "Bytes a lane hands over in a cycle."),
            ("hash_lanes", 8, config.hash_lanes, "DHE hash lanes."),
            ("cache_ways", 8, config.cache_ways, "Ways of the static cache."),
        ),
        constant(
            "BUS", 0x014, "Sizes of the bus.",
            ("data_bits", 16, config.axi_data_bits, "Width of an AXI4 master."),
            ("channels", 8, config.axi_channels, "AXI4 masters."),
            ("address_bits", 8, config.address_bits, "Bits of a device memory address."),
        ),
        constant(
            "WEIGHT_BYTES", 0x018, "Weight bank of one sub-array.",
            ("value", 32, config.weight_bytes, "Bytes."),
        ),
        constant(
            "ACTIVATION_BYTES", 0x01C, "Activation bank of one lane.",
            ("value", 32, config.activation_bytes, "Bytes."),
        ),
        constant(
            "STATIC_CACHE_BYTES", 0x020, "Static embedding cache, all lanes.",
            ("value", 32, config.static_cache_bytes, "Bytes."),
        ),
        constant(
            "MAX_ITEMS", 0x024, "Most items of a query.", ("value", 32, config.max_items, "Items.")
        ),
        constant(
            "LIMITS", 0x028, "Depths of the program tables.",
            ("pipelines", 8, config.max_pipelines, "Pipelines."),
            ("programs", 8, config.max_programs, "Stage programs."),
            ("layers", 8, config.max_layers, "Layers of an engine."),
            ("features", 8, config.max_features, "Features of a stage."),
        ),
        constant(
            "FEATURES", 0x02C, "Optional parts that this device has.",
            ("fission", 1, features.fission, "The grid can be cut into engines."),
            ("on_chip_filter", 1, features.on_chip_filter, "Top-k on the device."),
            ("look_ahead", 1, features.look_ahead, "Look-ahead cache."),
        ),
    ]  # fmt: skip


def _one(name: str, width: int, description: str) -> tuple[Field, ...]:
    return (Field(name=name, lsb=0, width=width, description=description),)


def _control(config: Config) -> list[Register]:
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
            ),
        ),
        Register(
            name="IRQ_STATUS", offset=0x048, access="w1c", cleared=True,
            description="Reasons of an interrupt; irq is high while one is set and enabled.",
            fields=(
                Field(name="completion", lsb=0, width=1, description="A completion was written."),
                Field(
                    name="error", lsb=1, width=1,
                    description="A completion had a status other than OK, or could not be written.",
                ),
            ),
        ),
    ]  # fmt: skip


def _rings(config: Config) -> list[Register]:
    """Rings and the window."""
    base = _one("address", config.address_bits, "Device memory address, 64-byte aligned.")
    size = _one("entries", 16, "Entries of 64 bytes, a power of two, at least 2.")
    index = _one("index", 16, "Entry number, 0 .. size - 1.")
    byte = _one("address", config.address_bits, "Device memory address.")
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
            "head, so one entry always stays free. Nothing is fetched while it is not below size.",
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


def _array(config: Config) -> list[Register]:
    """Partition of the grid."""
    level_fields = tuple(
        Field(name=f"level_{i}", lsb=2 * i, width=2, description="Level of a sub-array's engine.")
        for i in range(16)
    )
    stage_fields = tuple(
        Field(name=f"stages_{i}", lsb=4 * i, width=4, description="Stages served, one bit each.")
        for i in range(8)
    )
    return [
        Register(
            name="PARTITION", offset=0x100, access="rw", array=True,
            count=-(-config.sub_arrays // 16), fields=level_fields,
            description="Size of the engine that each sub-array is part of: 2**level sub-arrays "
            "along an edge. Sub-array u is field u mod 16 of word u // 16. Takes effect by "
            "PARTITION_APPLY.",
        ),
        Register(
            name="ENGINE_STAGES", offset=0x120, access="rw", array=True,
            count=-(-config.sub_arrays // 8), fields=stage_fields,
            description="Stages that the engine anchored at sub-array u serves: field u mod 8 of "
            "word u // 8. Takes effect by PARTITION_APPLY.",
        ),
        Register(
            name="PARTITION_APPLY", offset=0x140, access="rw",
            description="Change to the partition in PARTITION and ENGINE_STAGES.",
            fields=(
                Field(
                    name="apply", lsb=0, width=1, pulse=True,
                    description="Write 1: engines that change do so when they are idle and no "
                    "query in flight needs them; the others go on. Entries of the ring that are "
                    "not begun wait for it.",
                ),
            ),
        ),
        Register(
            name="PARTITION_STATUS", offset=0x144, access="ro",
            description="State of the last change of partition.",
            fields=(
                Field(
                    name="pending", lsb=0, width=1,
                    description="Some engines have not changed yet.",
                ),
                Field(
                    name="illegal", lsb=1, width=1,
                    description="It was no quad-tree of square engines and is dropped: the "
                    "partition in force stays, queries complete with BAD_PARTITION.",
                ),
            ),
        ),
        Register(
            name="COUNTER_SELECT", offset=0x180, access="rw",
            fields=_one("unit", 8, "Sub-array number of the engine's anchor."),
            description="Engine that ENGINE_CYCLES shows.",
        ),
        Register(
            name="ENGINE_CYCLES", offset=0x1A0, access="ro", array=True, count=len(Cause),
            fields=_one("cycles", 32, "Cycles; wraps around."),
            description="Cycles of the selected engine by cause, in this order: "
            + ", ".join(f"{cause.value} {cause.name.lower()}" for cause in Cause)
            + ". Their sum is the same for all engines.",
        ),
    ]  # fmt: skip


def _counters() -> list[Register]:
    return [
        Register(
            name=name, offset=0x200 + 8 * i, access="ro", width=64, description=description,
            fields=_one("value", 64, "Count."),
        )
        for i, (name, description) in enumerate(COUNTERS)
    ]  # fmt: skip


def register_table(config: Config) -> tuple[Register, ...]:
    """All registers of a device, by rising offset.

    Raises
    ------
    ValueError
        Two registers overlap (a mistake in this file).
    """
    table = sorted(
        _constants(config) + _control(config) + _rings(config) + _array(config) + _counters(),
        key=lambda register: register.offset,
    )
    end = 0
    for register in table:
        if register.offset < end:
            raise ValueError(f"register {register.name!r} overlaps the one before it")
        end = register.offset + register.bytes
    if end > 1 << ADDRESS_BITS:
        raise ValueError(f"registers need {end} bytes, more than {1 << ADDRESS_BITS}")
    return tuple(table)
