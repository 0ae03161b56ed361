"""Settings of ECP5's PLL (EHXPLLL) for a clock and a shifted copy of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Const, Instance, Signal

from ..errors import SynthesisError

__all__ = ["Pll", "pll_for"]

_VCO_MHZ = (400.0, 800.0)
_PHASE_DETECTOR_MHZ = (10.0, 400.0)
_MOST = 128
_EIGHTHS = 8
"""Steps of a VCO period in which a phase is set."""


@dataclass(frozen=True, kw_only=True)
class Pll:
    """Dividers, and what they give. Feedback is the first output."""

    input_mhz: float
    input_divider: int
    feedback_divider: int
    output_divider: int

    @property
    def output_mhz(self) -> float:
        """Frequency of both outputs."""
        return self.input_mhz * self.feedback_divider / self.input_divider

    @property
    def vco_mhz(self) -> float:
        return self.output_mhz * self.output_divider

    def instance(self, source: Signal, output: Signal, shifted: Signal, locked: Signal,
                 *, degrees: int) -> Instance:  # fmt: skip
        """The PLL; ``shifted`` follows ``output`` by ``degrees``."""
        # As the vendor does: outputs in the middle of their divider's count, so that a shift
        # to either side can be had.
        middle = self.output_divider // 2
        eighths = round(self.output_divider * _EIGHTHS * degrees / 360)
        parameters: dict[str, Any] = {
            "PLLRST_ENA": "DISABLED", "INTFB_WAKE": "DISABLED", "STDBY_ENABLE": "DISABLED",
            "DPHASE_SOURCE": "DISABLED", "OUTDIVIDER_MUXA": "DIVA", "OUTDIVIDER_MUXB": "DIVB",
            "CLKOP_ENABLE": "ENABLED", "CLKOP_DIV": self.output_divider,
            "CLKOP_CPHASE": middle, "CLKOP_FPHASE": 0,
            "CLKOS_ENABLE": "ENABLED", "CLKOS_DIV": self.output_divider,
            "CLKOS_CPHASE": middle + eighths // _EIGHTHS, "CLKOS_FPHASE": eighths % _EIGHTHS,
            "FEEDBK_PATH": "CLKOP", "CLKI_DIV": self.input_divider,
            "CLKFB_DIV": self.feedback_divider,
        }  # fmt: skip
        return Instance(
            "EHXPLLL",
            *((("p", name, value)) for name, value in parameters.items()),
            ("a", "ICP_CURRENT", "12"),
            ("a", "LPF_RESISTOR", "8"),
            i_CLKI=source,
            i_CLKFB=output,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            i_ENCLKOS=Const(0),
            o_CLKOP=output,
            o_CLKOS=shifted,
            o_LOCK=locked,
        )


def pll_for(input_mhz: float, output_mhz: float) -> Pll:
    """The setting nearest to ``output_mhz`` and not above it.

    Raises
    ------
    SynthesisError
        None within 2 % is possible.
    """
    best: Pll | None = None
    for input_divider in range(1, _MOST + 1):
        if not _PHASE_DETECTOR_MHZ[0] <= input_mhz / input_divider <= _PHASE_DETECTOR_MHZ[1]:
            continue
        feedback = int(output_mhz * input_divider / input_mhz + 1e-9)
        if not 1 <= feedback <= _MOST:
            continue
        output = input_mhz * feedback / input_divider
        divider = min(_MOST, int(_VCO_MHZ[1] / output))
        found = Pll(
            input_mhz=input_mhz,
            input_divider=input_divider,
            feedback_divider=feedback,
            output_divider=divider,
        )
        if found.vco_mhz >= _VCO_MHZ[0] and (best is None or output > best.output_mhz + 1e-9):
            best = found
    if best is None or best.output_mhz < 0.98 * output_mhz:
        raise SynthesisError(
            f"the PLL cannot make {output_mhz:g} MHz of {input_mhz:g} MHz; it makes 3.2 to 400 MHz"
        )
    return best
