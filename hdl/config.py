"""Configuration of one generated device: frozen data, named presets, derived sizes in one place.

Every width, depth and count that RTL, driver or side file needs is a property here, so that no two
places can disagree. A bad combination is rejected when the configuration is built, never later.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace

__all__ = [
    "LINE_BYTES",
    "PRESETS",
    "Config",
    "ConfigError",
    "Features",
    "preset",
    "without_fission",
]

LINE_BYTES = 64
"""Line of the look-ahead cache and burst of a gather read."""
MOST_HASH_LANES = 16
"""Of one engine: codes that a bank write takes."""
_MOST_MULTIPLIERS = 256
"""Of an interaction unit that takes one vector i a step; its outputs are 32 at most."""
_WIDE_MULTIPLIERS, _WIDE_OUTPUTS = 2048, 128
"""Of the unit of the whole grid's engine where ``interaction_outputs`` says so: 4 vectors i."""


class ConfigError(ValueError):
    """A field has a value that the generator cannot build; names field, value and limit."""


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _bits(count: int) -> int:
    """Width of an unsigned signal that counts ``0 .. count - 1`` (at least 1)."""
    return max(1, (count - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class Features:
    """Optional parts of the device. A baseline is the same generator with features off."""

    fission: bool = True
    """The grid can be cut into engines at run time; off: one engine, the whole grid."""
    on_chip_filter: bool = True
    """Top-k is selected in the device; off: all scores of the one stage are returned."""
    look_ahead: bool = True
    """Rows of survivors are prefetched into the look-ahead cache."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of one device. Bytes are bytes, counts are counts; see ARCHITECTURE of the docs.

    Raises
    ------
    ConfigError
        A field is out of range or does not fit the others.
    """

    name: str
    """Preset name, reported back by the device's side file."""
    grid: int
    """B: sub-arrays along one edge of the grid, a power of two, at most 8."""
    sub_array: int
    """S: PEs along one edge of a sub-array, a power of two from 4 to 32."""
    macs_per_dsp: int = 1
    """2: neighbouring PEs share a multiplier of 25 x 8 bits, for DSP blocks of 25 x 18 and more."""
    rows: int
    """Largest number of items an engine takes as one row block."""
    dot_multipliers: int
    """Interaction multipliers of a grid of single engines, all sub-arrays together."""
    interaction_outputs: int = 16
    """Most outputs that an interaction unit hands over in a cycle, 16 or 32. 128: the engine of the
    whole grid has a wide unit, which works on several vectors i in a step; others have up to 32."""
    weight_bytes: int
    """Weight bank of one sub-array, bytes."""
    activation_bytes: int
    """Activation bank of one lane (one array row of one sub-array), bytes, both slots together."""
    activation_memories: int = 1
    """Memories that it is made of, 1 or 2. With one a slot the array's write-backs (rows + E cycles
    an output tile) do not keep the interaction of the other slot's job off the banks."""
    parameter_tiles: int = 512
    """Depth of an array column's parameter memory: output tiles whose bias and scale are held."""
    dense_bytes: int = 256
    """Dense-vector memory of one lane, bytes, both slots together."""
    decoded_bytes: int = 0
    """The same where an engine with hash lanes writes: room for its DHE vectors, too."""
    held_bytes: int = 0
    """Finished DHE vectors that an engine with hash lanes holds, bytes, 16 at least a vector: the
    MP-Cache's first tier. 0: none."""
    vector_bytes: int = 4096
    """Vector buffer of one engine, bytes: embedding rows of items waiting for the interaction."""
    gather_lanes: int
    """G: embedding gather lanes, a power of two."""
    lane_bytes: int = 16
    """Bytes a gather lane hands over in a cycle."""
    static_cache_bytes: int
    """Static embedding cache, row data, all lanes together: a multiple of 64 bytes a way and lane;
    regions of it are powers of two."""
    look_ahead_bytes: int = 0
    """Look-ahead cache, line data, all lanes together, a power of two; 0: a lane has only line
    buffers for its outstanding reads."""
    cache_ways: int = 4
    """Associativity of the static cache."""
    hash_lanes: int
    """DHE hash lanes of the device, 0 or a power of two; see ``hash_level``. 0: nothing of DHE is
    there."""
    axi_data_bits: int
    """Width of an AXI4 master."""
    axi_channels: int = 1
    """AXI4 masters; pages of 4 KB are spread over them, see ``hdl/bus/interleave.py``."""
    reads_in_flight: int
    """Outstanding gather reads of one AXI channel, all lanes together."""
    record_loaders: int = 1
    """L: loaders of item records, a power of two, at most one an AXI channel."""
    lookup_queue: int = 64
    """Lookups of one gather lane between tags and data: covers the memory latency when at least
    as many as its cycles, at one lookup a cycle."""
    max_items: int
    """Largest n of the top-k filter."""
    filter_contexts: int = 4
    """Stages of queries in progress at once: contexts of the filter."""
    filter_lanes: int = 2
    """Scores the filter takes in a cycle, from all engines together."""
    filter_survivors: int = 1
    """Survivors the filter lists in a cycle."""
    sorter_cells: int = 0
    """Results of a query that are sorted as they come, by as many cells; longer lists, and all of
    them without cells, are sorted by merging, two cycles an element and pass."""
    queries_in_flight: int = 8
    """Queries admitted and not completed, at most."""
    max_inputs: int = 4096
    """Largest number of inputs K of a layer: fixes the accumulator width."""
    clock_mhz: float = 250.0
    """Clock that times are reported at."""
    features: Features = Features()

    def __post_init__(self) -> None:
        powers = (
            "grid", "sub_array", "rows", "weight_bytes", "activation_bytes", "parameter_tiles",
            "activation_memories", "interaction_outputs", "dense_bytes", "vector_bytes",
            "gather_lanes", "lane_bytes", "cache_ways",
            "axi_data_bits", "axi_channels", "reads_in_flight", "record_loaders", "lookup_queue",
            "max_items", "max_inputs", "dot_multipliers", "filter_contexts", "filter_lanes",
            "filter_survivors", "queries_in_flight", "macs_per_dsp",
        )  # fmt: skip
        for field in powers:
            value = getattr(self, field)
            if not isinstance(value, int) or not _is_power_of_two(value):
                raise ConfigError(f"{field} must be a power of two, not {value!r}")
        limits = {
            "grid": (1, 8), "sub_array": (4, 32), "rows": (4, 256), "gather_lanes": (1, 32),
            "lane_bytes": (16, 64), "axi_data_bits": (64, 512), "axi_channels": (1, 4),
            "activation_memories": (1, 2), "interaction_outputs": (16, 128),
            "filter_contexts": (2, 16), "filter_lanes": (1, 16),
            "filter_survivors": (1, max(1, self.filter_lanes // 2)), "queries_in_flight": (1, 8),
            "cache_ways": (1, 8), "macs_per_dsp": (1, 2),
            "max_items": (16, 1 << 20), "parameter_tiles": (16, 4096),
            "record_loaders": (1, self.axi_channels), "lookup_queue": (4, 512),
        }  # fmt: skip
        for field, (low, high) in limits.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigError(f"{field} must be in {low}..{high}, not {value}")
        if self.axi_bytes < self.sub_array:
            raise ConfigError(
                f"axi_data_bits must be at least 8 * sub_array = {8 * self.sub_array}, "
                f"not {self.axi_data_bits}: a weight word holds whole rows"
            )
        if self.sub_array**2 < self.axi_bytes:
            raise ConfigError(
                f"sub_array must be at least {self.axi_bytes**0.5:.0f} for axi_data_bits = "
                f"{self.axi_data_bits}, not {self.sub_array}: a tile slice holds whole words"
            )
        if self.features.on_chip_filter and self.filter_lanes > len(self.anchors):
            raise ConfigError(
                f"filter_lanes must be at most the number of engines = {len(self.anchors)}, "
                f"not {self.filter_lanes}"
            )
        self._check_interaction()
        if self.reads_in_flight < self.gather_lanes:
            raise ConfigError(
                f"reads_in_flight must be at least gather_lanes = {self.gather_lanes}, "
                f"not {self.reads_in_flight}"
            )

    def _check_interaction(self) -> None:
        if self.dot_multipliers < 4 * self.grid**2:
            raise ConfigError(
                f"dot_multipliers must be at least 4 per sub-array = {4 * self.grid**2}, "
                f"not {self.dot_multipliers}"
            )
        if self.interaction_outputs not in (16, 32, _WIDE_OUTPUTS):
            raise ConfigError(
                f"interaction_outputs must be 16, 32 or {_WIDE_OUTPUTS}, "
                f"not {self.interaction_outputs}"
            )
        if self.interaction_outputs == _WIDE_OUTPUTS:
            for field, least in (("dot_multipliers", _WIDE_MULTIPLIERS), ("gather_lanes", 4)):
                if getattr(self, field) < least:
                    raise ConfigError(
                        f"{field} must be at least {least} for interaction_outputs = "
                        f"{_WIDE_OUTPUTS}, not {getattr(self, field)}"
                    )
        if self.sorter_cells and not 2 <= self.sorter_cells <= 256:
            raise ConfigError(f"sorter_cells must be 0 or in 2..256, not {self.sorter_cells}")
        self._check_caches()
        self._check_hash_lanes()

    def _check_caches(self) -> None:
        unit = LINE_BYTES * self.cache_ways * self.gather_lanes
        size = self.static_cache_bytes
        if not isinstance(size, int) or size < unit or size % unit:
            raise ConfigError(
                f"static_cache_bytes must be a multiple of {LINE_BYTES} * cache_ways * "
                f"gather_lanes = {unit}, not {size!r}"
            )
        size = self.look_ahead_bytes
        if size != 0 and (not isinstance(size, int) or not _is_power_of_two(size) or size < unit):
            raise ConfigError(
                f"look_ahead_bytes must be 0 or a power of two of at least {LINE_BYTES} * "
                f"cache_ways * gather_lanes = {unit}, not {size!r}"
            )

    def _check_hash_lanes(self) -> None:
        lanes = self.hash_lanes
        if lanes != 0 and not (isinstance(lanes, int) and _is_power_of_two(lanes)):
            raise ConfigError(f"hash_lanes must be 0 or a power of two, not {lanes!r}")
        if not lanes:
            if self.decoded_bytes:
                raise ConfigError(
                    f"decoded_bytes must be 0 without hash lanes, not {self.decoded_bytes!r}"
                )
            if self.held_bytes:
                raise ConfigError(
                    f"held_bytes must be 0 without hash lanes, not {self.held_bytes!r}"
                )
            return
        size, least = self.held_bytes, 16 * self.held_ways
        if size and not (_is_power_of_two(size) and least <= size <= least << 15):
            raise ConfigError(
                f"held_bytes must be 0 or a power of two in {least}..{least << 15}, not {size!r}"
            )
        most = min(MOST_HASH_LANES, self.sub_array)
        if self.hash_lanes_of_front > most:
            raise ConfigError(
                f"hash_lanes = {lanes} are {self.hash_lanes_of_front} an engine, at most {most}"
            )
        size = self.decoded_bytes
        if not _is_power_of_two(size) or not self.dense_bytes <= size <= self.activation_bytes:
            raise ConfigError(
                f"decoded_bytes must be a power of two from dense_bytes = {self.dense_bytes} to "
                f"activation_bytes = {self.activation_bytes}, not {size!r}"
            )

    # -- array ---------------------------------------------------------------------------------
    @property
    def sub_arrays(self) -> int:
        """Number of sub-arrays."""
        return self.grid**2

    @property
    def anchors(self) -> tuple[int, ...]:
        """Sub-arrays where an engine can be anchored: engine control exists only there."""
        return tuple(range(self.sub_arrays)) if self.features.fission else (0,)

    @property
    def edge(self) -> int:
        """PEs along one edge of the whole grid: the largest engine edge E."""
        return self.grid * self.sub_array

    @property
    def pes(self) -> int:
        """Processing elements (MACs per cycle)."""
        return self.edge**2

    @property
    def levels(self) -> int:
        """Engine sizes: 1, 2, .. B sub-arrays along an edge."""
        return self.grid.bit_length()

    @property
    def level_bits(self) -> int:
        """Bits of a partition level as the register map stores it."""
        return 2

    @property
    def partial_sum_width(self) -> int:
        """Signed width of partial sums inside an engine: 16 + log2(largest engine rows)."""
        return 16 + self.edge.bit_length() - 1

    @property
    def accumulator_width(self) -> int:
        """Signed width below the engine: ``max_inputs`` products of int8 x int8."""
        return (self.max_inputs * 128 * 127).bit_length() + 1

    @property
    def tile_interval(self) -> int:
        """Least cycles between an engine's weight loads: S rows, each behind the swap wave."""
        return self.sub_array

    # -- memories ------------------------------------------------------------------------------
    @property
    def axi_bytes(self) -> int:
        """D: bytes of an AXI beat, of a weight word and of a configuration beat."""
        return self.axi_data_bits // 8

    @property
    def slice_words(self) -> int:
        """Words of a sub-array's slice of a weight tile (S*S bytes)."""
        return self.sub_array**2 // self.axi_bytes

    @property
    def weight_words(self) -> int:
        """Depth of a weight bank in words of D bytes."""
        return self.weight_bytes // self.axi_bytes

    @property
    def weight_address_bits(self) -> int:
        return _bits(self.weight_words)

    @property
    def activation_address_bits(self) -> int:
        """Byte address in a lane; the top bit is the slot."""
        return _bits(self.activation_bytes)

    @property
    def dense_address_bits(self) -> int:
        """Byte address in a lane of the largest dense-vector memory; the top bit is the slot."""
        return _bits(max(self.dense_bytes, self.decoded_bytes))

    @property
    def parameter_address_bits(self) -> int:
        return _bits(self.parameter_tiles)

    @property
    def row_bits(self) -> int:
        """Index of a row inside a row block."""
        return _bits(self.rows)

    @property
    def item_bits(self) -> int:
        """Index of an item or position inside a query."""
        return _bits(self.max_items)

    @property
    def record_alignment(self) -> int:
        """Bytes that addresses and pitch of item records are multiples of: a word of ids has the
        number of its gather lane (see docs, Embedding)."""
        return max(64, 4 * self.gather_lanes)

    @property
    def address_bits(self) -> int:
        """Bytes of device memory are addressed with this many bits."""
        return 40

    @property
    def requantise_lanes(self) -> int:
        """Requantisers: one below each column of each sub-array, so that none ever stalls."""
        return self.sub_arrays * self.sub_array

    # -- hashes --------------------------------------------------------------------------------
    @property
    def hash_level(self) -> int:
        """Level of the smallest engines that all have hash lanes: the lanes are spread over as
        many engines as there are lanes for. Anchors of smaller engines only have none."""
        if not self.features.fission:
            return self.levels - 1
        level = 0
        while (self.grid >> level) ** 2 > self.hash_lanes:
            level += 1
        return level

    @property
    def hash_lanes_of_front(self) -> int:
        """Hash lanes of an engine that has any; 0 where none has."""
        if not self.hash_lanes:
            return 0
        return max(1, self.hash_lanes // (self.grid >> self.hash_level) ** 2)

    def hash_lanes_at(self, row: int, column: int) -> int:
        """Hash lanes of the engine anchored at sub-array (row, column)."""
        here = self.hash_lanes and self.largest_level_at(row, column) >= self.hash_level
        return self.hash_lanes_of_front if here else 0

    @property
    def hash_anchors(self) -> tuple[int, ...]:
        """Anchors of the engines with hash lanes."""
        return tuple(u for u in self.anchors if self.hash_lanes_at(*divmod(u, self.grid)))

    @property
    def decoding_engines(self) -> int:
        """Most engines with hash lanes at once, and 1 at least."""
        return max(1, len(self.hash_anchors))

    def dense_bytes_at(self, column: int) -> int:
        """Dense-vector memory of a lane in a column of sub-arrays: vectors of an engine go to its
        left column."""
        left = self.hash_lanes and column % (1 << self.hash_level) == 0
        return self.decoded_bytes if left else self.dense_bytes

    @property
    def max_dhe_ids(self) -> int:
        """Id words of an item that an engine's decoders take, those of bags among them."""
        return 64

    @property
    def max_dhe_vectors(self) -> int:
        """Vectors of an item that an engine's decoders make."""
        return 32

    @property
    def max_decoders(self) -> int:
        """Decoders of an engine, all programs together; 0: it has no hash lanes."""
        return 64 if self.hash_lanes else 0

    @property
    def held_ways(self) -> int:
        """Associativity of the tags of finished DHE vectors."""
        return 4

    @property
    def held_sets(self) -> int:
        """Sets of those tags, in each engine with hash lanes: a tag for 16 bytes."""
        return self.held_bytes // (16 * self.held_ways)

    @property
    def place_bits(self) -> int:
        """Place of a DHE vector: among those held, or a row of the decoder's output."""
        return max(self.row_bits, _bits(max(1, self.held_sets * self.held_ways)))

    # -- interaction ---------------------------------------------------------------------------
    def largest_level_at(self, row: int, column: int) -> int:
        """Largest partition level of an engine anchored at sub-array (row, column)."""
        level = 0
        while level + 1 < self.levels and row % (2 << level) == 0 and column % (2 << level) == 0:
            level += 1
        return level

    def largest_edge_at(self, row: int, column: int) -> int:
        """PEs along the edge of the largest engine anchored at sub-array (row, column)."""
        return self.sub_array << self.largest_level_at(row, column)

    def wide_interaction_at(self, row: int, column: int) -> bool:
        """The interaction unit at an anchor takes several vectors i in a step."""
        whole = self.largest_level_at(row, column) == self.levels - 1
        return whole and self.interaction_outputs == _WIDE_OUTPUTS

    def interaction_multipliers_at(self, row: int, column: int) -> int:
        """Multipliers of the interaction unit at an anchor: grows with the largest engine there."""
        share = self.dot_multipliers // self.sub_arrays
        most = _WIDE_MULTIPLIERS if self.wide_interaction_at(row, column) else _MOST_MULTIPLIERS
        return min(most, share << (2 * self.largest_level_at(row, column)))

    @property
    def row_outputs(self) -> int:
        """Most outputs of one vector i in a cycle."""
        return min(self.interaction_outputs, 32)

    def interaction_outputs_at(self, row: int, column: int) -> int:
        """Outputs of the unit at an anchor: vectors have 4 values at least, copies 16 bytes."""
        if self.wide_interaction_at(row, column):
            return _WIDE_OUTPUTS
        vectors = self.interaction_multipliers_at(row, column) // 4
        return min(self.row_outputs, max(16, vectors))

    # -- embedding -----------------------------------------------------------------------------
    @property
    def lane_cache_bytes(self) -> int:
        """Static cache row data of one lane."""
        return self.static_cache_bytes // self.gather_lanes

    @property
    def lane_look_ahead_bytes(self) -> int:
        """Look-ahead cache line data of one lane."""
        return self.look_ahead_bytes // self.gather_lanes

    def bank_bytes_at(self, row: int, column: int) -> int:
        """One bank of the vector buffer at an anchor: vectors of one gather lane.

        A wide unit takes items several times as fast and has four times the room: rows that miss
        take as long for it as for others.
        """
        wide = self.wide_interaction_at(row, column)
        return self.vector_bytes // self.gather_lanes << 2 * wide

    @property
    def lane_words(self) -> int:
        """Feature descriptors of one lane and program: id words of an item in one lane."""
        return max(2, 2 * self.max_features // self.gather_lanes)

    @property
    def reads_per_lane(self) -> int:
        """Outstanding reads of one gather lane (its AXI ids)."""
        return max(1, self.reads_in_flight * self.axi_channels // self.gather_lanes)

    def vector_slots_at(self, row: int, column: int) -> int:
        """Most items that the vector buffer at an anchor holds at once."""
        return 31 if self.wide_interaction_at(row, column) else 16

    # -- ranking -------------------------------------------------------------------------------
    @property
    def candidate_words(self) -> int:
        """Candidates of all contexts together: the longest stage and as many survivors."""
        return 2 * self.max_items

    @property
    def candidate_bits(self) -> int:
        """Address of a candidate."""
        return _bits(self.candidate_words)

    @property
    def candidate_banks(self) -> int:
        """Candidates read in a cycle: two for each one that may arrive in it."""
        return 2 * self.filter_lanes

    @property
    def max_sub_batches(self) -> int:
        """Most sub-batches of a query."""
        return 16

    # -- bus -----------------------------------------------------------------------------------
    @property
    def read_requesters(self) -> int:
        """Front end, weight streamer, record loaders, one per gather lane, then hash constants."""
        return 2 + self.record_loaders + self.gather_lanes + (self.hash_lanes > 0)

    def loader_of(self, row: int, column: int, level: int) -> int:
        """Record loader of the engine anchored at sub-array (row, column)."""
        number = (row >> level) * (self.grid >> level) + (column >> level)
        return number % self.record_loaders

    @property
    def tag_bits(self) -> int:
        """Low bits of an AXI read id: the requester's own tag."""
        return _bits(max(self.reads_per_lane, self.axi_channels))

    @property
    def id_bits(self) -> int:
        """AXI id: requester number above the tag."""
        return _bits(self.read_requesters) + self.tag_bits

    @property
    def max_stages(self) -> int:
        return 4

    @property
    def max_programs(self) -> int:
        """Stage programs resident at once (an engine's stage table)."""
        return 8

    @property
    def max_layers(self) -> int:
        """Depth of an engine's layer table, all programs together, decoders among them."""
        return 128 if self.hash_lanes else 64

    @property
    def max_features(self) -> int:
        """Feature descriptors of one stage program."""
        return 64

    @property
    def max_pipelines(self) -> int:
        return 8

    @property
    def activation_tables(self) -> int:
        """256-entry activation tables held at once."""
        return 4

    # -- identity ------------------------------------------------------------------------------
    def as_dict(self) -> dict[str, object]:
        """All fields as plain data, for the JSON side file."""
        return asdict(self)

    @property
    def hash(self) -> int:
        """32-bit identity of this configuration; the device reads it back (``CONFIG_HASH``)."""
        text = json.dumps(self.as_dict(), sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


_TINY = Config(
    name="tiny", grid=2, sub_array=4, rows=16, dot_multipliers=16, weight_bytes=4096,
    activation_bytes=4096, gather_lanes=2, static_cache_bytes=6144, look_ahead_bytes=2048,
    hash_lanes=1, decoded_bytes=2048, held_bytes=4096, axi_data_bits=64,
    reads_in_flight=16, max_items=1024,
)  # fmt: skip
_SMALL = Config(
    name="small", grid=4, sub_array=4, rows=64, dot_multipliers=64, weight_bytes=16384,
    activation_bytes=8192, gather_lanes=4, static_cache_bytes=48 << 10,
    look_ahead_bytes=16 << 10, hash_lanes=2, decoded_bytes=8192, held_bytes=16 << 10,
    axi_data_bits=128, reads_in_flight=32, max_items=16384, filter_contexts=8, filter_lanes=4,
)  # fmt: skip
_ECP5 = replace(
    _TINY,
    name="ecp5",
    grid=1,
    sub_array=8,
    weight_bytes=32768,
    filter_lanes=1,
    static_cache_bytes=12288,
    look_ahead_bytes=4096,
    max_items=4096,
    queries_in_flight=4,
    hash_lanes=0,
    decoded_bytes=0,
    held_bytes=0,
    clock_mhz=120.0,
)
_MEDIUM = Config(
    name="medium", grid=4, sub_array=8, rows=64, dot_multipliers=256, weight_bytes=32768,
    activation_bytes=8192, vector_bytes=8192, gather_lanes=8, lane_bytes=32,
    static_cache_bytes=768 << 10, look_ahead_bytes=256 << 10, lookup_queue=128, hash_lanes=8,
    decoded_bytes=8192, held_bytes=64 << 10, axi_data_bits=512, reads_in_flight=128,
    max_items=16384, filter_contexts=8, filter_lanes=8, filter_survivors=2,
)  # fmt: skip
_PAPER = Config(
    name="paper", grid=8, sub_array=16, rows=64, dot_multipliers=4096, weight_bytes=131072,
    activation_bytes=4096, activation_memories=2, interaction_outputs=32, vector_bytes=8192,
    gather_lanes=32, lane_bytes=32,
    static_cache_bytes=12 << 20, look_ahead_bytes=4 << 20, lookup_queue=128, hash_lanes=32,
    decoded_bytes=4096, held_bytes=64 << 10, axi_data_bits=512, axi_channels=4,
    reads_in_flight=128, record_loaders=4, max_items=16384, filter_contexts=16, filter_lanes=16,
    filter_survivors=4, sorter_cells=64,
)  # fmt: skip


def without_fission(config: Config) -> Config:
    """The same device as one engine of the whole grid, which hands over one score a cycle."""
    return replace(
        config,
        rows=_monolithic_rows(config),
        interaction_outputs=_monolithic_outputs(config),
        features=replace(config.features, fission=False),
        filter_lanes=1,
        filter_survivors=1,
        hash_lanes=min(config.hash_lanes, MOST_HASH_LANES, config.sub_array),
    )


def _monolithic_rows(config: Config) -> int:
    """Row blocks of the whole grid's engine: as many rows as it has, for a layer's outputs are not
    back in the banks earlier; shorter blocks wait for them."""
    return max(config.rows, config.edge)


def _monolithic_outputs(config: Config) -> int:
    """A wide interaction unit where one of a vector i a step is slower than the array: with an
    edge of 128, the MLPs of 27 vectors take 6 to 20 tiles an item, its dot products 26 steps."""
    wide = config.edge >= 128 and config.dot_multipliers >= _WIDE_MULTIPLIERS
    return _WIDE_OUTPUTS if wide else config.interaction_outputs


def _baseline(config: Config, name: str) -> Config:
    """The same device without fission, on-chip filter, look-ahead cache and hash lanes."""
    return replace(
        config,
        name=name,
        rows=_monolithic_rows(config),
        interaction_outputs=_monolithic_outputs(config),
        hash_lanes=0,
        decoded_bytes=0,
        held_bytes=0,
        static_cache_bytes=config.static_cache_bytes + config.look_ahead_bytes,
        look_ahead_bytes=0,
        features=Features(fission=False, on_chip_filter=False, look_ahead=False),
    )


PRESETS: dict[str, Config] = {
    c.name: c
    for c in (
        _TINY,
        _SMALL,
        _ECP5,
        _MEDIUM,
        _PAPER,
        _baseline(_PAPER, "baseline"),
        _baseline(_TINY, "tiny-baseline"),
        _baseline(_SMALL, "small-baseline"),
    )
}
"""Presets by name; names are part of the contract with users."""


def preset(name: str) -> Config:
    """Look up a preset.

    Raises
    ------
    ConfigError
        Unknown name; the message lists the known ones.
    """
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise ConfigError(f"unknown preset {name!r}; known presets: {known}") from None
