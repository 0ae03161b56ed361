"""The whole device: registers, bus and soft reset around front end and core."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Module,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from .bus.axi import axi4_signature, axi_lite_signature
from .bus.read_crossbar import ReadCrossbar
from .bus.write_master import WriteMaster
from .config import Config
from .control.counters import EngineCounters, EventCounters
from .control.csr import RegisterFile
from .control.front_end import FrontEnd
from .control.moderation import InterruptModeration
from .control.partition import PartitionControl
from .control.registers import ADDRESS_BITS, COUNTERS, register_table
from .control.reset import SoftReset
from .control.watchdog import Watchdog
from .core import HELD_EVENTS, LOOKUP_EVENTS, Core
from .engine.cause import Cause
from .share import share
from .trace import trace_members

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """RPAccel: AXI4-Lite registers, AXI4 masters, one interrupt.

    Two clock domains on one clock: ``sync`` (bus and registers), which only the pin resets, and
    ``core``, which a soft reset clears as well once the bus is quiet.

    Parameters
    ----------
    config
        Device sizes.
    trace
        Bring the trace ports out, for simulation.

    Members
    -------
    s_axil
        Registers.
    m_axi
        Device memory, one master a channel.
    irq
        Interrupt, high while a reason is set and enabled.
    trace_{name}_valid, trace_{name}_payload
        With ``trace``: see ``trace_ports``.
    """

    s_axil: Any
    m_axi: Any
    irq: Signal

    def __init__(self, *, config: Config, trace: bool = False) -> None:
        self._config = config
        self._trace = trace
        members: dict[str, Member] = {
            "s_axil": In(axi_lite_signature(address_bits=ADDRESS_BITS)),
            "m_axi": Out(axi4_signature(config)).array(config.axi_channels),
            "irq": Out(1),
        }
        if trace:
            members |= trace_members(config)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        registers = RegisterFile(table=register_table(config))
        crossbar = ReadCrossbar(config=config)
        writer = WriteMaster(config=config)
        front, core = FrontEnd(config=config), Core(config=config, trace=self._trace)
        ports = DomainRenamer("ports")
        m.submodules.registers = ports(share(platform, registers, "registers"))
        m.submodules.read_crossbar = ports(share(platform, crossbar, "read_crossbar"))
        m.submodules.write_master = ports(share(platform, writer, "write_master"))
        m.submodules.front_end = DomainRenamer("core")(share(platform, front, "front_end"))
        m.submodules.core = DomainRenamer("work")(share(platform, core, "core"))
        self._reset(m, registers, crossbar, writer)
        self._watch(m, crossbar, writer, front, core)
        self._bus(m, registers, crossbar, writer, front, core)
        self._rings(m, registers, front, core)
        self._partition(m, registers, front, core)
        self._counters(m, registers, crossbar, writer, front, core)
        self._interrupt(m, registers, front, core, crossbar, writer)
        if self._trace:
            for name in trace_members(config):
                m.d.comb += getattr(self, name).eq(getattr(core, name))
        return m

    def _reset(
        self, m: Module, registers: RegisterFile, crossbar: ReadCrossbar, writer: WriteMaster
    ) -> None:
        """The clock domains of bus and core, and the soft reset sequence.

        Each domain's reset is two registers, all at the same depth, so that all units leave it in
        the same cycle, three after the device's: the second one has thousands of loads, and place
        and route can copy it; its copies lie all over the chip, with nothing but a wire before
        them.
        """
        reset = SoftReset()
        m.submodules.soft_reset = DomainRenamer("ports")(reset)
        device = Signal(name="device_reset", init=1, reset_less=True)
        m.d.sync += device.eq(ResetSignal("sync"))
        self._domain(m, "ports", device)
        self._soft_reset = device | reset.core_reset
        self._domain(m, "core", self._soft_reset)
        quiesce = Signal()
        clear = Signal()  # as late as the core's reset
        m.d.ports += [
            quiesce.eq(reset.quiesce),
            clear.eq(reset.core_reset),
            registers.clear.eq(clear),
        ]
        m.d.comb += [
            reset.request.eq(registers.control.soft_reset),
            crossbar.quiesce.eq(quiesce),
            writer.quiesce.eq(quiesce),
            registers.status.resetting.eq(reset.busy),
        ]
        m.d.ports += reset.bus_idle.eq(crossbar.idle & writer.idle)

    def _domain(self, m: Module, name: str, reset: Value) -> None:
        """A domain of the device's clock with a registered reset of its own."""
        domain: Any = ClockDomain(name, local=True)
        m.domains += domain
        early = Signal(name=f"{name}_reset_early", init=1, reset_less=True)
        held = Signal(name=f"{name}_reset", init=1, reset_less=True)
        m.d.sync += [early.eq(reset), held.eq(early)]
        m.d.comb += [domain.clk.eq(ClockSignal("sync")), domain.rst.eq(held)]

    def _watch(
        self,
        m: Module,
        crossbar: ReadCrossbar,
        writer: WriteMaster,
        front: FrontEnd,
        core: Core,
    ) -> None:
        """The domain of what a query can bring to a standstill, and its reset."""
        watchdog = Watchdog(config=self._config)
        m.submodules.watchdog = DomainRenamer("core")(watchdog)
        self._domain(m, "work", self._soft_reset | watchdog.reset)
        units = range(self._config.sub_arrays)
        computing = Cat(core.causes[u] == Cause.BUSY for u in units).any()
        moves = crossbar.bursts.any() | crossbar.beats.any() | writer.beats.any()
        m.d.comb += [
            watchdog.running.eq(front.running),
            watchdog.fault.eq(core.fault),
            front.abandoned.eq(watchdog.abandon),
            front.closing.eq(watchdog.closing),
        ]
        # These are the ends of long paths and nothing that a cycle matters to.
        moved = Signal()
        m.d.ports += [
            crossbar.abandon.eq(watchdog.abandon),
            moved.eq(moves),
            # With a full completion ring it is the host that does not move.
            watchdog.progress.eq(moved | computing | front.result_taken | front.completion_full),
            watchdog.bus_idle.eq(crossbar.idle),
        ]

    def _bus(
        self,
        m: Module,
        registers: RegisterFile,
        crossbar: ReadCrossbar,
        writer: WriteMaster,
        front: FrontEnd,
        core: Core,
    ) -> None:
        """AXI ports."""
        wiring.connect(m, wiring.flipped(self.s_axil), registers.bus)
        # The host may begin in the first cycle after the device's reset, which is late in here.
        for name in ("awready", "wready", "arready"):
            ready = getattr(self.s_axil, name)
            m.d.comb += ready.eq(getattr(registers.bus, name) & ~ResetSignal("ports"))
        wiring.connect(m, front.memory, crossbar.requester[0])
        for number in range(1, self._config.read_requesters):
            wiring.connect(m, getattr(core, f"read_{number}"), crossbar.requester[number])
        wiring.connect(m, front.write, writer.port)
        for channel in range(self._config.axi_channels):
            port = self.m_axi[channel]
            for unit in (crossbar.axi[channel], writer.axi[channel]):
                for name, member in unit.signature.members.items():
                    outer, inner = getattr(port, name), getattr(unit, name)
                    m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)

    def _rings(self, m: Module, registers: RegisterFile, front: FrontEnd, core: Core) -> None:
        """Registers to front end and core."""
        m.d.comb += [
            front.submission_base.eq(registers.submission_base.address),
            front.submission_size.eq(registers.submission_size.entries),
            front.submission_tail.eq(registers.submission_tail.index),
            registers.submission_head.index.eq(front.submission_head),
            front.completion_base.eq(registers.completion_base.address),
            front.completion_size.eq(registers.completion_size.entries),
            front.completion_head.eq(registers.completion_head.index),
            registers.completion_tail.index.eq(front.completion_tail),
            front.window_base.eq(registers.window_base.address),
            front.window_limit.eq(registers.window_limit.address),
            core.config_write.eq(front.config_write),
            front.cancel.eq(registers.cancel.go),
            front.cancel_tag.eq(registers.cancel_tag.tag),
            registers.cancel_status.pending.eq(front.cancel_pending),
            registers.cancel_status.found.eq(front.cancel_found),
            registers.cancel_status.unknown.eq(front.cancel_unknown),
        ]
        # A cycle late: a query is marked while it is at work, and one with its number begins later.
        m.d.core += core.cancelled.eq(front.cancelled)
        wiring.connect(m, front.o_query, core.i_query)
        wiring.connect(m, core.o_result, front.i_result)
        wiring.connect(m, core.o_done, front.i_done)

    def _partition(self, m: Module, registers: RegisterFile, front: FrontEnd, core: Core) -> None:
        """The partition in force; like the registers it outlives a soft reset."""
        units = self._config.sub_arrays
        control = PartitionControl(config=self._config)
        m.submodules.partition = DomainRenamer("ports")(control)
        levels = Cat(Value.cast(word) for word in registers.partition)
        stages = Cat(Value.cast(word) for word in registers.engine_stages)
        apply = registers.partition_apply.apply
        m.d.comb += [
            Value.cast(control.wanted_levels).eq(levels[: 2 * units]),
            Value.cast(control.wanted_stages).eq(stages[: 4 * units]),
            control.apply.eq(apply),
            control.idle.eq(core.engine_idle),
            control.needed.eq(core.needed | front.starting.replicate(units)),
            core.levels.eq(control.levels),
            core.engine_stages.eq(control.stages),
            front.hold.eq(apply | control.pending),
            front.partition_bad.eq(control.illegal),
        ]
        m.d.ports += [
            registers.partition_status.pending.eq(apply | control.pending),
            registers.partition_status.illegal.eq(control.illegal),
        ]

    def _counters(
        self,
        m: Module,
        registers: RegisterFile,
        crossbar: ReadCrossbar,
        writer: WriteMaster,
        front: FrontEnd,
        core: Core,
    ) -> None:
        """Event and engine counters; cleared with the core."""
        lanes = self._config.gather_lanes
        lookups = Signal(range(lanes + 1))  # a lane decides one a cycle
        m.d.core += lookups.eq(core.hits + core.look_ahead_hits + core.misses + core.bad_ids)
        steps: dict[str, tuple[Any, int]] = {
            "CYCLES": (1, 1),
            "BUSY_CYCLES": (front.busy, 1),
            "QUERIES": (front.query_completed, 1),
            "ERRORS": (front.failed, 1),
            "RESULTS": (front.result_taken, 1),
            "LOOKUPS": (lookups, lanes),
            **{name.upper(): (getattr(core, name), lanes) for name in LOOKUP_EVENTS},
            **{
                name.upper(): (getattr(core, name), self._config.decoding_engines)
                for name in HELD_EVENTS
            },
            "READ_BURSTS": (crossbar.bursts, self._config.axi_channels),
            "READ_BEATS": (crossbar.beats, self._config.axi_channels),
            "WRITE_BURSTS": (writer.bursts, 1),
            "WRITE_BEATS": (writer.beats, 1),
        }
        names = [name for name, _ in COUNTERS]
        events = EventCounters(events={name.lower(): steps[name][1] for name in names})
        engines = EngineCounters(config=self._config)
        m.submodules.counters = DomainRenamer("core")(events)
        m.submodules.engine_counters = DomainRenamer("core")(engines)
        for name in names:
            low = name.lower()
            count = getattr(events, f"{low}_count")
            m.d.comb += [
                getattr(events, low).eq(steps[name][0]),
                getattr(registers, low).value.eq(count),
            ]
        m.d.comb += [
            engines.causes.eq(core.causes),
            engines.select.eq(registers.counter_select.unit),
        ]
        for index, word in enumerate(registers.engine_cycles):
            m.d.comb += word.cycles.eq(engines.cycles[index])

    def _interrupt(
        self,
        m: Module,
        registers: RegisterFile,
        front: FrontEnd,
        core: Core,
        crossbar: ReadCrossbar,
        writer: WriteMaster,
    ) -> None:
        status = registers.irq_status
        moderation = InterruptModeration()
        m.submodules.moderation = DomainRenamer("core")(moderation)
        m.d.ports += self.irq.eq(registers.control.irq_enable & (status.completion | status.error))
        # What the units do now ends deep in them: the host sees it two cycles later, as it does
        # what it has written itself.
        busy = Signal(name="front_busy")
        m.d.core += busy.eq(front.busy)
        idle = ~busy & core.idle & crossbar.idle & writer.idle
        m.d.ports += [
            registers.status.busy.eq(busy),
            registers.status.idle.eq(idle),
            registers.status.completion_full.eq(front.completion_full),
            registers.status.doorbell_ignored.eq(front.doorbell_ignored),
        ]
        m.d.comb += [
            moderation.completed.eq(front.completed),
            moderation.number.eq(registers.irq_completions.completions),
            moderation.timeout.eq(registers.irq_timeout.cycles),
            registers.irq_status_set.completion.eq(moderation.interrupt),
            registers.irq_status_set.error.eq(front.failed),
            registers.status.error.eq(status.error),
        ]
