"""The register table: the only source of the register map.

RTL (``RegisterFile``), driver, C header, SystemRDL and documentation are all made from
``register_table(config)``.
"""

from __future__ import annotations

from ..config import Config
from ..engine.cause import Cause
from .host_registers import host_registers
from .register import Field, Register, single

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
    ("HELD_HITS", "Ids of decoded features whose finished vector was held (MP-Cache)."),
    ("HELD_MISSES", "Ids of decoded features looked up there and not held."),
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
            fields=single("unit", 8, "Sub-array number of the engine's anchor."),
            description="Engine that ENGINE_CYCLES shows.",
        ),
        Register(
            name="ENGINE_CYCLES", offset=0x1A0, access="ro", array=True, count=len(Cause),
            fields=single("cycles", 32, "Cycles; wraps around."),
            description="Cycles of the selected engine by cause, in this order: "
            + ", ".join(f"{cause.value} {cause.name.lower()}" for cause in Cause)
            + ". Their sum is the same for all engines.",
        ),
    ]  # fmt: skip


def _counters() -> list[Register]:
    return [
        Register(
            name=name, offset=0x200 + 8 * i, access="ro", width=64, description=description,
            fields=single("value", 64, "Count."),
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
        [
            *_constants(config),
            *host_registers(config),
            *_array(config),
            *_counters(),
        ],
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
