"""Writes the simulated top: clock, reset, device, memory, protocol checks, trace files.

Everything that works every cycle stands in this Verilog. Python sees the registers named ``host_*``
and sleeps until the interrupt. The bench knows the device only by its port names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["CLOCK_PERIOD_NS", "BenchSpec", "Master", "Trace", "bench_verilog", "record_bytes"]

CLOCK_PERIOD_NS = 4
"""Simulated clock period; sim time divided by it is the bench's cycle."""

_READ_ADDRESS = ("id", "addr", "len", "size", "burst")
_WRITE_ADDRESS = _READ_ADDRESS


@dataclass(frozen=True, kw_only=True)
class Master:
    """An AXI4 master port of the device."""

    prefix: str = "m_axi_"
    """What its signals' names start with."""
    reads: bool = True
    """It has the AR and R channels."""
    writes: bool = True
    """It has the AW, W and B channels."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A trace port: ``count`` sources, each with a valid bit and ``width`` bits of payload."""

    name: str
    """Name of the plusarg that gives the file."""
    valid: str
    """Port with the valid bits, source 0 lowest."""
    payload: str
    """Port with the payloads, source 0 lowest."""
    count: int
    width: int


@dataclass(frozen=True, kw_only=True)
class BenchSpec:
    """The device's pins and sizes. Resets are synchronous."""

    device: str = "accelerator"
    """Module name of the device."""
    clock: str = "aclk"
    reset: str = "aresetn"
    reset_active_low: bool = True
    interrupt: str = "irq"
    axil_prefix: str = "s_axil_"
    """AXI4-Lite slave port: 32 bits of data."""
    axil_address_bits: int = 12
    data_bits: int = 64
    """Width of every AXI4 master."""
    id_bits: int = 4
    address_bits: int = 40
    masters: tuple[Master, ...] = field(default_factory=lambda: (Master(),))
    traces: tuple[Trace, ...] = ()
    memory_log2_bytes: int = 20
    """Size of the device memory."""

    @property
    def word_bytes(self) -> int:
        """Bytes of a memory word."""
        return self.data_bits // 8


def record_bytes(trace: Trace) -> int:
    """Size of one record of a trace file: cycle (4), source (2), payload, padding."""
    return (48 + trace.width + 31) // 32 * 4


def _channel_wires(spec: BenchSpec) -> list[str]:
    """Packed wires of all AXI4 channels, slice c of each is master c."""
    count = len(spec.masters)
    widths = {
        "valid": 1, "ready": 1, "id": spec.id_bits, "addr": spec.address_bits, "len": 8, "size": 3,
        "burst": 2, "data": spec.data_bits, "resp": 2, "last": 1, "strb": spec.word_bytes,
    }  # fmt: skip
    fields = {
        "ar": ("valid", "ready", *_READ_ADDRESS),
        "r": ("valid", "ready", "id", "data", "resp", "last"),
        "aw": ("valid", "ready", *_WRITE_ADDRESS),
        "w": ("valid", "ready", "data", "strb", "last"),
        "b": ("valid", "ready", "id", "resp"),
    }
    return [
        f"    wire [{count * widths[name] - 1}:0] {channel}{name};"
        for channel, names in fields.items()
        for name in names
    ]


def _slice(wire: str, width: int, index: int) -> str:
    return f"{wire}[{index * width} +: {width}]"


def _master_pins(spec: BenchSpec, master: Master, index: int) -> dict[str, str]:
    """Device port name to slice of the packed wires."""
    one, ids, word = 1, spec.id_bits, spec.data_bits
    address = {"id": ids, "addr": spec.address_bits, "len": 8, "size": 3, "burst": 2}
    pins: dict[str, int] = {}
    if master.reads:
        pins |= {f"ar{name}": width for name, width in address.items()}
        pins |= {"arvalid": one, "arready": one, "rvalid": one, "rready": one, "rid": ids}
        pins |= {"rdata": word, "rresp": 2, "rlast": one}
    if master.writes:
        pins |= {f"aw{name}": width for name, width in address.items()}
        pins |= {"awvalid": one, "awready": one, "wvalid": one, "wready": one, "wdata": word}
        pins |= {"wstrb": word // 8, "wlast": one, "bvalid": one, "bready": one}
        pins |= {"bid": ids, "bresp": 2}
    return {master.prefix + pin: _slice(pin, width, index) for pin, width in pins.items()}


def _tie_offs(spec: BenchSpec) -> list[str]:
    """Constants for the channels that a master lacks."""
    idle: list[str] = []
    for index, master in enumerate(spec.masters):
        if not master.reads:
            idle += [f"{pin}[{index}]" for pin in ("arvalid", "rready")]
        if not master.writes:
            idle += [f"{pin}[{index}]" for pin in ("awvalid", "wvalid", "bready")]
    return [f"    assign {pin} = 1'b0;" for pin in idle]


def _instance(module: str, name: str, parameters: dict[str, object], pins: dict[str, str]) -> str:
    head = ""
    if parameters:
        head = " #(\n" + ",\n".join(f"        .{k}({v})" for k, v in parameters.items()) + "\n    )"
    body = ",\n".join(f"        .{port}({wire})" for port, wire in pins.items())
    return f"    {module}{head} {name} (\n{body}\n    );\n"


_AXIL_INPUTS = {"awaddr": 0, "awvalid": 1, "wdata": 32, "wstrb": 4, "wvalid": 1, "bready": 1,
                "araddr": 0, "arvalid": 1, "rready": 1}  # fmt: skip
_AXIL_OUTPUTS = {"awready": 1, "wready": 1, "bvalid": 1, "bresp": 2, "arready": 1, "rvalid": 1,
                 "rdata": 32, "rresp": 2}  # fmt: skip


def _axil_wires(spec: BenchSpec) -> list[str]:
    pins = _AXIL_INPUTS | _AXIL_OUTPUTS
    return [
        f"    wire [{(width or spec.axil_address_bits) - 1}:0] axil_{pin};"
        for pin, width in pins.items()
    ]


def _device(spec: BenchSpec) -> str:
    pins = {
        spec.clock: "clock",
        spec.reset: "!host_reset" if spec.reset_active_low else "host_reset",
        spec.interrupt: "host_irq",
    }
    pins |= {spec.axil_prefix + pin: f"axil_{pin}" for pin in (*_AXIL_INPUTS, *_AXIL_OUTPUTS)}
    pins |= {f"{spec.axil_prefix}{channel}prot": "3'd0" for channel in ("aw", "ar")}
    for index, master in enumerate(spec.masters):
        pins |= _master_pins(spec, master, index)
    for trace in spec.traces:
        pins |= {trace.valid: f"{trace.name}_valid", trace.payload: f"{trace.name}_payload"}
    return _instance(spec.device, "device", {}, pins)


def _host_master(spec: BenchSpec) -> str:
    pins = {"clock": "clock", "reset": "host_reset", "cycle": "host_cycle"}
    for pin in ("request", "is_write", "address", "data", "strobe", "done", "result", "response",
                "accepted"):  # fmt: skip
        pins[f"host_{pin}"] = f"host_{pin}"
    pins |= {pin: f"axil_{pin}" for pin in (*_AXIL_INPUTS, *_AXIL_OUTPUTS)}
    return _instance("axil_master", "host", {"ADDRESS_BITS": spec.axil_address_bits}, pins)


def _memory(spec: BenchSpec) -> str:
    pins = {"clock": "clock", "reset": "host_reset", "cycle": "host_cycle"}
    for channel in ("ar", "aw"):
        pins |= {f"{channel}{n}": f"{channel}{n}" for n in ("valid", "ready", "id", "addr", "len")}
        pins[f"{channel}size"] = f"{channel}size"
    for pin in ("rvalid", "rready", "rid", "rdata", "rresp", "rlast", "wvalid", "wready", "wdata",
                "wstrb", "bvalid", "bready", "bid", "bresp"):  # fmt: skip
        pins[pin] = pin
    for pin in ("index", "write", "write_data", "read_data", "dump", "count"):
        pins[f"host_{pin}"] = f"host_{pin}"
    parameters: dict[str, object] = {
        "CHANNELS": len(spec.masters), "DATA_BITS": spec.data_bits, "ID_BITS": spec.id_bits,
        "ADDRESS_BITS": spec.address_bits, "LOG2_BYTES": spec.memory_log2_bytes,
    }  # fmt: skip
    return _instance("dram", "memory", parameters, pins)


def _checkers(spec: BenchSpec) -> str:
    """One checker a master, and one on the AXI4-Lite port: bursts of one beat, one id."""
    common = {"clock": "clock", "reset": "host_reset", "cycle": "host_cycle"}
    text = []
    for index, master in enumerate(spec.masters):
        every = Master(prefix="", reads=True, writes=True)
        pins = common | _master_pins(spec, every, index)
        pins |= {"failed": f"failed[{index}]", "outstanding": f"outstanding[{index * 32} +: 32]"}
        parameters: dict[str, object] = {
            "NAME": f'"{master.prefix}"', "DATA_BITS": spec.data_bits, "ID_BITS": spec.id_bits,
            "ADDRESS_BITS": spec.address_bits,
        }  # fmt: skip
        text.append(_instance("axi_checker", f"checker_{index}", parameters, pins))
    count = len(spec.masters)
    pins = common | {pin: f"axil_{pin}" for pin in (*_AXIL_INPUTS, *_AXIL_OUTPUTS)}
    for channel in ("ar", "aw"):
        pins |= {f"{channel}id": "1'b0", f"{channel}len": "8'd0", f"{channel}size": "3'd2"}
        pins[f"{channel}burst"] = "2'b01"
    pins |= {"rid": "1'b0", "rlast": "1'b1", "wlast": "1'b1", "bid": "1'b0"}
    pins |= {"failed": f"failed[{count}]", "outstanding": f"outstanding[{count * 32} +: 32]"}
    parameters = {"NAME": f'"{spec.axil_prefix}"', "DATA_BITS": 32, "ID_BITS": 1,
                  "ADDRESS_BITS": spec.axil_address_bits, "LOG2_IN_FLIGHT": 4}  # fmt: skip
    text.append(_instance("axi_checker", "checker_host", parameters, pins))
    return "\n".join(text)


def _traces(spec: BenchSpec) -> str:
    text = []
    for trace in spec.traces:
        parameters: dict[str, object] = {
            "NAME": f'"{trace.name}"', "COUNT": trace.count, "WIDTH": trace.width
        }  # fmt: skip
        pins = {"clock": "clock", "reset": "host_reset", "cycle": "host_cycle"}
        pins |= {"valid": f"{trace.name}_valid", "payload": f"{trace.name}_payload"}
        text.append(f"    wire [{trace.count - 1}:0] {trace.name}_valid;")
        text.append(f"    wire [{trace.count * trace.width - 1}:0] {trace.name}_payload;")
        text.append(_instance("trace_logger", f"logger_{trace.name}", parameters, pins))
    return "\n".join(text)


_TEMPLATE = """\
// Generated by sim/bench.py.
module bench;
    // host_cycle counts rising edges: what an edge samples belongs to the cycle it reads there.
    reg clock = 0;
    always #{half} clock = !clock;

    reg [31:0] host_cycle = 0;
    always @(posedge clock) host_cycle <= host_cycle + 1;

    reg host_reset = 1;
    wire host_irq;
{axil}

    // The host's register accesses, see axil_master.v.
    reg host_request = 0;
    reg host_is_write = 0;
    reg [{axil_top}:0] host_address = 0;
    reg [31:0] host_data = 0;
    reg [3:0] host_strobe = 0;
    wire host_done;
    wire [31:0] host_result;
    wire [1:0] host_response;
    wire [31:0] host_accepted;

    // The host's view of the memory, see dram.v.
    reg [31:0] host_index = 0;
    reg host_write = 0;
    reg [{word_top}:0] host_write_data = 0;
    wire [{word_top}:0] host_read_data;
    reg host_dump = 0;
    reg [31:0] host_count = 0;

{wires}
{tie_offs}
    wire [{checkers}:0] failed;
    wire [{checkers_32}:0] outstanding;
    wire host_failed = |failed;
    reg [31:0] host_outstanding;
    integer i;
    always @* begin
        host_outstanding = 0;
        for (i = 0; i <= {checkers}; i = i + 1)
            host_outstanding = host_outstanding + outstanding[i*32 +: 32];
    end

{traces}
{device}
{host_master}
{memory}
{checker_text}
`ifdef WAVES
    reg [8*256-1:0] waves_name;
    integer waves_from, waves_to;
    initial if ($value$plusargs("waves=%s", waves_name)) begin
        if (!$value$plusargs("waves_from=%d", waves_from)) waves_from = 0;
        if (!$value$plusargs("waves_to=%d", waves_to)) waves_to = 0;
        while (host_cycle < waves_from) @(posedge clock);
        $dumpfile(waves_name);
        $dumpvars(`WAVES, bench);
        if (waves_to != 0) begin
            while (host_cycle < waves_to) @(posedge clock);
`ifdef VERILATOR
            $c("vlSymsp->_traceDumpClose();");  // it takes no notice of $dumpoff
`else
            $dumpoff;
`endif
        end
    end
`endif
endmodule
"""


def bench_verilog(spec: BenchSpec) -> str:
    """Text of the module ``bench``."""
    checkers = len(spec.masters)
    return _TEMPLATE.format(
        half=CLOCK_PERIOD_NS // 2,
        axil="\n".join(_axil_wires(spec)),
        axil_top=spec.axil_address_bits - 1,
        word_top=spec.data_bits - 1,
        wires="\n".join(_channel_wires(spec)),
        tie_offs="\n".join(_tie_offs(spec)),
        checkers=checkers,
        checkers_32=checkers * 32 + 31,
        traces=_traces(spec),
        device=_device(spec),
        host_master=_host_master(spec),
        memory=_memory(spec),
        checker_text=_checkers(spec),
    )
