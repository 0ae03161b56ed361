"""Sizes of a lane's line memory: the look-ahead cache, or line buffers where there is none."""

from __future__ import annotations

from amaranth.hdl import Value

from ..config import LINE_BYTES, Config

__all__ = ["LINE_WAYS", "LineGeometry"]

LINE_WAYS = 4
"""Associativity of the look-ahead cache."""
_BUFFERS_PER_READ = 4
"""Without look-ahead cache: lines for each outstanding read. Data is read in order, so lines that
overtook an earlier one wait in their buffers, and the sets do not fill evenly."""


class LineGeometry:
    """Lines, sets, ways and words of the line memory of one lane, and where an address goes.

    Line number = set * ways + way. A line's set is its address XOR-folded, so that tables whose
    bases differ by a power of two spread over the sets.

    Parameters
    ----------
    config
        The device.
    """

    def __init__(self, config: Config) -> None:
        buffers = 1 << (_BUFFERS_PER_READ * config.reads_per_lane - 1).bit_length()
        self.lines = max(LINE_WAYS, config.lane_look_ahead_bytes // LINE_BYTES or buffers)
        """Lines; a power of two."""
        self.ways = LINE_WAYS
        self.sets = self.lines // LINE_WAYS
        self.set_bits = (self.sets - 1).bit_length()
        self.way_bits = LINE_WAYS.bit_length() - 1
        self.line_bits = self.set_bits + self.way_bits
        self.address_bits = config.address_bits - (LINE_BYTES.bit_length() - 1)
        """Width of a line's address in device memory."""
        self.tag_bits = self.address_bits - self.set_bits
        self.beats = LINE_BYTES // config.axi_bytes
        """Beats of the burst that fetches a line."""
        self.word_bytes = max(config.axi_bytes, config.lane_bytes)
        """Width of the line memory: a whole beat is written, a lane's word is read."""
        self.words = LINE_BYTES // self.word_bytes
        self.sequence_bits = (config.lookup_queue - 1).bit_length() + 6
        """Width of the numbers of queue entries. A line whose last reader lies a multiple of
        2**sequence_bits entries back may pass for one that is still to be read: it is replaced
        later than it could be, while the queue holds the entries in question."""

    def set_of(self, line: Value) -> Value:
        """Set of a line address; its tag is ``line >> set_bits``."""
        bits = self.set_bits
        return (line ^ (line >> bits) ^ (line >> 2 * bits))[:bits]
