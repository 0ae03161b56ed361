"""Mapping: a quantised model onto an engine of a given edge - addresses, rows, residency.

Nothing here touches values; it decides where everything lives and how many items make a row block,
and refuses what does not fit, naming layer, size and limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hdl.config import Config
from hdl.engine.interaction_steps import product_lanes, step_rows
from hdl.engine.vector_buffer import bank_word_bytes
from hdl.program import STAGE, STREAM_CHUNK_BYTES, dot_shift_words

from .decoders import bag_pages, map_decoders, rows_of_decoders
from .errors import UserError
from .fit import check_models
from .layer_maps import layer_maps
from .maps import DecoderMap, EngineMap, LayerMap, PhaseMap, StageMap, StageShape

__all__ = ["map_engine", "row_blocks", "rows_of"]

_CELL_ROW_LIMIT = 4
"""Fewest items of a row block worth mapping; below it the tile interval wastes most cycles."""


def _pages(values: int, edge: int) -> int:
    return -(-values // edge)


def _bank_pages(shape: StageShape, edge: int) -> tuple[int, list[int], list[int], int]:
    """Pages of the input tensor, of the buffers of the bottom and top MLP; the total.

    Hidden tensors alternate between two buffers; the top MLP's tensors lie over the bottom's,
    which are dead by then. The inputs lie behind both, at the end of the slot: the next job's land
    while a top MLP runs, which may be another program's. A third buffer of the top MLP holds what
    the last layer of a NeuMF reads: pages of products, then the output of the layer before.
    """
    dense = shape.bottom[0][0] if shape.bottom else 0
    inputs = _pages(max(dense, shape.inputs), edge)
    bottom = [0, 0]
    for index, (_, outputs) in enumerate(shape.bottom[:-1]):
        bottom[index % 2] = max(bottom[index % 2], _pages(outputs, edge))
    joined = _pages(shape.top_on(edge)[-1][0], edge) if shape.products else 0
    top = [_pages(shape.top[0][0], edge), 0, joined]
    for index, (_, outputs) in enumerate(shape.top[: -2 if shape.products else -1]):
        top[(index + 1) % 2] = max(top[(index + 1) % 2], _pages(outputs, edge))
    return inputs, bottom, top, max(sum(bottom), sum(top)) + inputs


def _widest(shape: StageShape) -> str:
    """Name and size of the layer with the most inputs or outputs."""
    sizes = [
        (max(layer), f"{part} layer {index} with {layer[0]} inputs and {layer[1]} outputs")
        for part, layers in (("bottom", shape.bottom), ("top", shape.top))
        for index, layer in enumerate(layers)
    ]
    return max(sizes)[1]


def rows_of(config: Config, shape: StageShape, edge: int) -> int:
    """Largest row block of a stage on an engine of ``edge`` PEs.

    Raises
    ------
    UserError
        Activations or the dense vector do not fit even for a few rows.
    """
    *_, pages = _bank_pages(shape, edge)
    slot = config.activation_bytes // 2
    rows = min(config.rows, slot // pages)
    if rows < _CELL_ROW_LIMIT:
        raise UserError(
            f"{shape.name}: activations need {pages} pages of an engine of edge {edge}, "
            f"a lane holds {slot} bytes a slot: at most {slot // _CELL_ROW_LIMIT} pages; "
            f"the widest is {_widest(shape)}"
        )
    dense = _pages(shape.width, edge)
    dense_slot = config.dense_bytes // 2
    if shape.products:
        return rows
    if not shape.decoders:  # else they say how many fit
        rows = min(rows, dense_slot // dense)
    if rows < _CELL_ROW_LIMIT:
        raise UserError(
            f"{shape.name}: dense vector of {shape.width} needs {dense} pages of an engine of edge "
            f"{edge}, a lane holds {dense_slot} bytes a slot"
        )
    return min(rows, rows_of_decoders(config, shape, edge))


def row_blocks(config: Config, programs: dict[int, StageShape], edge: int) -> dict[int, int]:
    """Largest row block of each program of an engine of ``edge`` PEs.

    The inputs of any program must not reach into what a top MLP of any other works on.

    Raises
    ------
    UserError
        Activations or the dense vector do not fit even for a few rows.
    """
    rows = {n: rows_of(config, shape, edge) for n, shape in programs.items()}
    if not programs:
        return rows
    slot = config.activation_bytes // 2
    inputs = max(_bank_pages(s, edge)[0] * rows[n] for n, s in programs.items())
    for number, shape in programs.items():
        pages = sum(_bank_pages(shape, edge)[2])
        rows[number] = min(rows[number], (slot - inputs) // pages)
        if rows[number] < _CELL_ROW_LIMIT:
            names = ", ".join(s.name for s in programs.values())
            raise UserError(
                f"{names}: on one engine of edge {edge} the inputs take {inputs} bytes of a lane, "
                f"{shape.name} needs {pages} pages; a lane holds {slot} bytes a slot"
            )
    return rows


def _layer_maps(
    layers: Sequence[tuple[int, int]],
    edge: int,
    rows: int,
    first: int,
    buffers: tuple[int, int],
    parameter: int,
    joined: tuple[int, int] | None = None,
) -> tuple[tuple[LayerMap, ...], int, int]:
    """Addresses of one MLP: layer i writes ``buffers[i % 2]``; also tiles and parameters used.

    ``joined``: first page that the last layer reads, and the page behind the products there, which
    the layer before writes.
    """
    if not layers:
        return (), 0, parameter
    outputs = [buffers[index % 2] * rows for index in range(len(layers) - 1)] + [0]
    inputs = [first, *outputs[:-1]]
    if joined is not None and len(layers) > 1:
        inputs[-1], outputs[-2] = joined[0] * rows, joined[1] * rows
    return layer_maps(layers, edge, inputs, outputs, parameter)


def _vector_slots(config: Config, shape: StageShape, row: int, column: int) -> tuple[int, int]:
    """Bytes of an item in each bank of the vector buffer, and items held."""
    word = bank_word_bytes(config, row, column)
    size = _pages(shape.vectors, config.gather_lanes) * shape.width
    # Items either share a word evenly or take whole words.
    size = max(16, 1 << (size - 1).bit_length()) if size < word else -(-size // word) * word
    bank = config.bank_bytes_at(row, column)
    slots = min(config.vector_slots_at(row, column), bank // size)
    if slots < 1:
        raise UserError(
            f"{shape.name}: {shape.vectors} vectors of {shape.width} bytes need {size} bytes in "
            f"each of the {config.gather_lanes} banks of a vector buffer, {config.name} has "
            f"{bank}"
        )
    return size, slots


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A program's sizes, before it is known which phases are resident."""

    layers: dict[str, tuple[LayerMap, ...]]
    tiles: dict[str, int]
    input_base: int
    slot_bytes: int
    slots: int
    log2_outputs: int
    step_rows: int
    decoders: tuple[DecoderMap, ...]
    shift_words: int
    product_base: int
    product_lanes: int


def map_engine(
    config: Config,
    *,
    row: int,
    column: int,
    level: int,
    programs: dict[int, StageShape],
    rows: dict[int, int],
) -> EngineMap:
    """Place every program of an engine.

    Parameters
    ----------
    config
        Device.
    row, column, level
        Anchor and size of the engine.
    programs
        Stage shapes by program number.
    rows
        Largest row block by program number, see ``row_blocks``.

    Raises
    ------
    UserError
        Something does not fit; the message names layer, size and limit.
    """
    check_models(config, programs)
    edge = config.sub_array << level
    multipliers = config.interaction_multipliers_at(row, column)
    parameter = 0
    drafts: dict[int, _Draft] = {}
    sizes: list[tuple[int, int, str]] = []
    for number, shape in programs.items():
        r = rows[number]
        inputs, bottom, top, _ = _bank_pages(shape, edge)
        input_base = config.activation_bytes // 2 - inputs * r
        bottom_maps, bottom_tiles, parameter = _layer_maps(
            shape.bottom, edge, r, input_base, (0, bottom[0]), parameter
        )
        first = top[0] + top[1]
        behind = first + _pages(shape.product, edge)
        top_maps, top_tiles, parameter = _layer_maps(
            shape.top_on(edge), edge, r, 0, (top[0], 0), parameter,
            joined=(first, behind) if shape.products else None,
        )  # fmt: skip
        decoders, parameter = map_decoders(config, shape, edge=edge, rows=r, parameter=parameter)
        slot_bytes, slots = _vector_slots(config, shape, row, column)
        most = config.interaction_outputs_at(row, column)
        outputs = max(1, min(most, config.row_outputs, multipliers // shape.width, edge))
        drafts[number] = _Draft(
            layers={"bottom": bottom_maps, "top": top_maps},
            tiles={"bottom": bottom_tiles, "top": top_tiles},
            input_base=input_base,
            slot_bytes=slot_bytes,
            slots=slots,
            log2_outputs=outputs.bit_length() - 1,
            step_rows=step_rows(shape.vectors, shape.width, outputs, multipliers, most),
            decoders=decoders,
            shift_words=dot_shift_words(most),
            product_base=_product_base(shape, first * edge),
            product_lanes=product_lanes(multipliers, most),
        )
        sizes += [(bottom_tiles, number, "bottom"), (top_tiles, number, "top")]
        # Places of a bag have the same weights.
        once = {place.part: place.tiles for place in decoders}
        sizes += [(tiles, number, part) for part, tiles in once.items()]
    if parameter > config.parameter_tiles:
        raise UserError(
            f"{', '.join(s.name for s in programs.values())}: {parameter} output tiles on an "
            f"engine of edge {edge}, {config.name} holds the parameters of {config.parameter_tiles}"
        )
    resident, ring_base, ring_log2 = _residency(config, level, sizes)
    stages = {}
    for number, shape in programs.items():
        draft = drafts[number]
        phases = {}
        for part in ("bottom", "top"):
            base = resident.get((number, part))
            phases[part] = PhaseMap(
                layers=draft.layers[part],
                tiles=draft.tiles[part],
                streamed=base is None,
                weights=base or 0,
            )
        stages[number] = StageMap(
            shape=shape,
            rows=rows[number],
            bottom=phases["bottom"],
            top=phases["top"],
            input_base=draft.input_base,
            output_base=0,
            slot_bytes=draft.slot_bytes,
            slots=draft.slots,
            log2_outputs=draft.log2_outputs,
            step_rows=draft.step_rows,
            decoders=tuple(
                _placed(place, resident.get((number, place.part))) for place in draft.decoders
            ),
            code_base=bag_pages(shape, edge) * rows[number],
            shift_words=draft.shift_words,
            product_base=draft.product_base,
            product_lanes=draft.product_lanes,
        )
    return EngineMap(
        edge=edge,
        stages=stages,
        ring_base=ring_base,
        ring_log2_words=ring_log2,
        resident_words=ring_base,
        parameter_tiles=parameter,
    )


def _product_base(shape: StageShape, base: int) -> int:
    """k of the first product, which lies at ``base`` values from the interaction's first output."""
    if not shape.products:
        return 0
    most = 1 << STAGE["product_base"].width
    if base + shape.product > most:
        raise UserError(
            f"{shape.name}: products are outputs {base} to {base + shape.product - 1} of the "
            f"interaction, which has at most {most}; the widest is {_widest(shape)}"
        )
    return base


def _placed(place: DecoderMap, base: int | None) -> DecoderMap:
    """The decoder with its weights in the banks, when there is room."""
    return place if base is None else replace(place, streamed=False, weights=base)


def _residency(
    config: Config, level: int, sizes: list[tuple[int, int, str]]
) -> tuple[dict[tuple[int, str], int], int, int]:
    """Which phases stay in the weight banks, and where the ring of the others lies.

    Everything when it fits; else small phases first, keeping half of the bank as the ring.
    """
    words = config.slice_words
    total = sum(tiles for tiles, _, _ in sizes) * words
    ring = 0 if total <= config.weight_words else config.weight_words // 2
    chunk = max(1, STREAM_CHUNK_BYTES // config.axi_bytes >> (2 * level))
    least = 2 * chunk + 2 * (2 << level) * words
    if ring and ring < least:
        raise UserError(
            f"{config.name}: a weight bank of {config.weight_words} words has no room for a ring "
            f"of {least} words on an engine of level {level}"
        )
    resident = {}
    base = 0
    for tiles, number, part in sorted(sizes):
        if base + tiles * words <= config.weight_words - ring:
            resident[number, part] = base
            base += tiles * words
    return resident, base, max(0, ring.bit_length() - 1)
