"""C header: registers, program format, entry structures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum

from amaranth.hdl import Shape
from amaranth.lib import data

from . import program
from .config import Config
from .control.register import Register
from .engine.cause import Cause

__all__ = ["c_header"]

_ENUMS: tuple[type[IntEnum], ...] = (
    program.Opcode,
    program.Status,
    program.Target,
    program.Function,
    program.Destination,
    program.InteractionMode,
)
_LAYOUTS = {
    name: value
    for name, value in vars(program).items()
    if isinstance(value, data.StructLayout) and not name.startswith("_")
}
_STRUCTS = ("SUBMISSION", "COMPLETION")

_PUT = """\
/* Puts the low `width` bits of `value` at bit `lsb` of a program word sequence. */
static inline void rpaccel_put(uint64_t *words, unsigned lsb, unsigned width, uint64_t value)
{
    uint64_t mask = width < 64 ? ((uint64_t)1 << width) - 1 : ~(uint64_t)0;
    unsigned bit = lsb % 64;
    uint64_t *word = words + lsb / 64;
    word[0] = (word[0] & ~(mask << bit)) | ((value & mask) << bit);
    if (bit + width > 64)
        word[1] = (word[1] & ~(mask >> (64 - bit))) | ((value & mask) >> (64 - bit));
}
"""


def _snake(name: str) -> str:
    """``InteractionMode`` as ``INTERACTION_MODE``."""
    out = "".join("_" + c if c.isupper() else c.upper() for c in name)
    return out.lstrip("_")


def _registers(table: Sequence[Register]) -> Iterator[str]:
    yield "/* Registers: byte offset, then shift and mask of each field. */"
    for register in table:
        prefix = f"RPACCEL_{register.name}"
        suffix = "ull" if register.width == 64 else "u"
        yield f"#define {prefix} {register.offset:#05x}u"
        if register.array:
            yield f"#define {prefix}_COUNT {register.count}u"
        for field in register.fields:
            mask = ((1 << field.width) - 1) << field.lsb
            yield f"#define {prefix}_{field.name.upper()}_SHIFT {field.lsb}u"
            yield f"#define {prefix}_{field.name.upper()}_MASK {mask:#x}{suffix}"
            if register.access == "constant":
                yield f"#define {prefix}_{field.name.upper()}_VALUE {field.reset:#x}{suffix}"


def _fields(layout: data.Layout) -> Iterator[tuple[str, data.Field]]:
    for name, field in layout:
        if not str(name).startswith("_"):
            yield str(name), field


def _layouts() -> Iterator[str]:
    yield "/* Program words: first bit and width of each field; arrays: of the first element. */"
    for name, layout in _LAYOUTS.items():
        yield f"#define RPACCEL_{name}_BYTES {-(-layout.size // 64) * 8}u"
        for field, place in _fields(layout):
            prefix = f"RPACCEL_{name}_{field.upper()}"
            shape = place.shape
            if isinstance(shape, data.ArrayLayout):
                yield f"#define {prefix}_COUNT {shape.length}u"
                shape = shape.elem_shape
            yield f"#define {prefix}_LSB {place.offset}u"
            yield f"#define {prefix}_WIDTH {Shape.cast(shape).width}u"


def _struct(name: str) -> Iterator[str]:
    """A ring entry as a C structure; fields of odd width become bit fields of 16 bits."""
    layout = _LAYOUTS[name]
    yield f"struct rpaccel_{name.lower()} {{"
    for field, place in layout:
        shape = place.shape
        count = ""
        if isinstance(shape, data.ArrayLayout):
            count = f"[{shape.length}]"
            shape = shape.elem_shape
        width = Shape.cast(shape).width
        label = str(field).lstrip("_") if str(field).startswith("_") else str(field)
        if width in (8, 16, 32, 64):
            yield f"    uint{width}_t {label}{count};"
        elif width < 16:
            yield f"    uint16_t {label} : {width};"
        else:
            yield f"    uint8_t {label}[{width // 8}];"
    yield "};"
    size = layout.size // 8
    yield (
        f"typedef char rpaccel_{name.lower()}_size_check"
        f"[sizeof(struct rpaccel_{name.lower()}) == {size} ? 1 : -1];"
    )


def c_header(config: Config, table: Sequence[Register]) -> str:
    """Header for C and C++ hosts; little-endian machines only, as the structures say."""
    lines = [
        f"/* RPAccel host interface, preset {config.name}. Generated; do not edit. */",
        "#ifndef RPACCEL_H",
        "#define RPACCEL_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define RPACCEL_HASH {config.hash:#010x}u",
        f"#define RPACCEL_ALL_UNITS {program.ALL_UNITS}u",
        f"#define RPACCEL_MANY_UNITS {program.MANY_UNITS}u",
        f"#define RPACCEL_STREAM_CHUNK_BYTES {program.STREAM_CHUNK_BYTES}u",
        "",
        *_registers(table),
        "",
    ]
    for kind in _ENUMS:
        lines.append(f"enum rpaccel_{_snake(kind.__name__).lower()} {{")
        lines += [f"    RPACCEL_{_snake(kind.__name__)}_{m.name} = {m.value}," for m in kind]
        lines += ["};", ""]
    lines.append("/* Index into ENGINE_CYCLES. */")
    lines.append("enum rpaccel_cause {")
    lines += [f"    RPACCEL_CAUSE_{cause.name} = {cause.value}," for cause in Cause]
    lines += ["};", "", *_layouts(), ""]
    for name in _STRUCTS:
        lines += [*_struct(name), ""]
    lines += [
        "struct rpaccel_result {",
        "    uint32_t item;",
        "    int32_t score;",
        "};",
        "",
        _PUT,
        "#endif",
        "",
    ]
    return "\n".join(lines)
