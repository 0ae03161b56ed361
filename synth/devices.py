"""FPGAs that ``rpaccel synth`` knows: tool options and what is on the die."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .errors import SynthesisError

__all__ = ["DEVICES", "Device", "device"]

Family = Literal["ecp5", "ice40", "xc7", "xcup", "cyclonev"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """One part.

    ``luts`` are those of the family (LUT4, LUT6, or ALMs on Cyclone V), ``brams`` its block RAMs
    (18 Kbit on ECP5, 4 Kbit on iCE40, 36 Kbit on 7-series and UltraScale+, 10 Kbit on Cyclone V),
    ``dsps`` its multiplier blocks.
    """

    name: str
    part: str
    """As the vendor writes it."""
    family: Family
    luts: int
    ffs: int
    dsps: int
    brams: int
    speed: str = ""
    """Speed grade that is timed; empty where only area is known."""
    nextpnr: tuple[str, ...] = field(default=())
    """Options of nextpnr; empty: area by Yosys only."""
    tiles: tuple[int, int] = (0, 0)
    """Columns and rows of the die; ECP5 only."""

    @property
    def is_routed(self) -> bool:
        """Place and route, so Fmax, is possible; else area only."""
        return bool(self.nextpnr)

    @property
    def capacities(self) -> dict[str, int]:
        return {"luts": self.luts, "ffs": self.ffs, "dsps": self.dsps, "brams": self.brams}


def _ecp5(size: int, luts: int, dsps: int, brams: int) -> list[Device]:
    """LFE5U (speed 6) and LFE5UM5G (speed 8) of one size, largest package."""
    package = "CABGA756" if size == 85 else "CABGA554" if size == 45 else "CABGA381"
    tiles = {25: (72, 50), 45: (90, 71), 85: (126, 95)}[size]
    common = {"luts": luts, "ffs": luts, "dsps": dsps, "brams": brams}
    return [
        Device(
            name=f"lfe5u-{size}f", part=f"LFE5U-{size}F-6", family="ecp5", speed="6",
            nextpnr=(f"--{size}k", "--package", package, "--speed", "6"), tiles=tiles,
            **common,
        ),
        Device(
            name=f"lfe5um5g-{size}f", part=f"LFE5UM5G-{size}F-8", family="ecp5", speed="8",
            nextpnr=(f"--um5g-{size}k", "--package", package, "--speed", "8"), tiles=tiles,
            **common,
        ),
    ]  # fmt: skip


_TABLE = (
    *_ecp5(25, 24_288, 28, 56),
    *_ecp5(45, 43_848, 72, 108),
    *_ecp5(85, 83_640, 156, 208),
    Device(
        name="up5k", part="iCE40UP5K-SG48", family="ice40", speed="UP",
        luts=5280, ffs=5280, dsps=8, brams=30, nextpnr=("--up5k", "--package", "sg48"),
    ),
    Device(name="xc7a35t", part="XC7A35T", family="xc7",
           luts=20_800, ffs=41_600, dsps=90, brams=50),
    Device(name="xc7a100t", part="XC7A100T", family="xc7",
           luts=63_400, ffs=126_800, dsps=240, brams=135),
    Device(name="xc7a200t", part="XC7A200T", family="xc7",
           luts=134_600, ffs=269_200, dsps=740, brams=365),
    Device(name="xc7k325t", part="XC7K325T", family="xc7",
           luts=203_800, ffs=407_600, dsps=840, brams=445),
    Device(name="xcku5p", part="XCKU5P", family="xcup",
           luts=216_960, ffs=433_920, dsps=1824, brams=480),
    Device(name="xczu9eg", part="XCZU9EG", family="xcup",
           luts=274_080, ffs=548_160, dsps=2520, brams=912),
    Device(name="xcvu9p", part="XCVU9P", family="xcup",
           luts=1_182_240, ffs=2_364_480, dsps=6840, brams=2160),
    Device(name="5csema5", part="5CSEMA5 (Cyclone V)", family="cyclonev",
           luts=32_070, ffs=128_280, dsps=87, brams=397),
)  # fmt: skip

DEVICES: dict[str, Device] = {entry.name: entry for entry in _TABLE}


def device(name: str) -> Device:
    """Look up a device; upper and lower case are the same.

    Raises
    ------
    SynthesisError
        Unknown; the message lists the known ones.
    """
    try:
        return DEVICES[name.lower()]
    except KeyError:
        known = ", ".join(DEVICES)
        raise SynthesisError(f"unknown device {name!r}; known devices: {known}") from None
