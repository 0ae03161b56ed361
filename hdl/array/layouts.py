"""Shapes of the signals between the units of the array."""

from __future__ import annotations

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

from ..config import Config
from ..program import PARAMETER

__all__ = [
    "grid_weight_write_layout",
    "lane_write_layout",
    "parameter_write_layout",
    "strip_config_layout",
    "strip_word_layout",
    "table_write_layout",
    "trace_layout",
    "weight_word_layout",
    "write_back_layout",
]


def grid_weight_write_layout(config: Config) -> data.StructLayout:
    """One word a cycle into the banks of ``mask``, each at an address of its own; never refused."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "mask": unsigned(config.sub_arrays),
            "addresses": data.ArrayLayout(config.weight_address_bits, config.sub_arrays),
            "data": unsigned(config.axi_data_bits),
        }
    )


def weight_word_layout(config: Config) -> data.StructLayout:
    """Write of one word into one weight bank."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "address": unsigned(config.weight_address_bits),
            "data": unsigned(config.axi_data_bits),
        }
    )


def lane_write_layout(config: Config) -> data.StructLayout:
    """An activation bank's share of ``bank_write_layout``: S lanes."""
    return data.StructLayout(
        {
            "enable": unsigned(config.sub_array),
            "wrapped": unsigned(config.sub_array),
            "address": unsigned(config.activation_address_bits),
            "wrapped_address": unsigned(config.activation_address_bits),
            "data": data.ArrayLayout(signed(8), config.sub_array),
        }
    )


def write_back_layout(config: Config) -> data.StructLayout:
    """Control of one row's write-back, in the cycle of lane 0."""
    return data.StructLayout(
        {
            "bank": unsigned(1),  # write the activation memories
            "dense": unsigned(1),  # write the dense-vector memories
            "address": unsigned(config.activation_address_bits),
            "slot": unsigned(1),
        }
    )


def strip_word_layout(config: Config) -> data.StructLayout:
    """What is left of a control word below the array; names as in ``control_word_layout``."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "row": unsigned(config.row_bits),
            "first": unsigned(1),
            "last": unsigned(1),
            "tile_end": unsigned(1),
            "parameter": unsigned(config.parameter_address_bits),
            "output_address": unsigned(config.activation_address_bits),
            "function": unsigned(2),
            "table": unsigned(2),
            "destination": unsigned(2),
            "slot": unsigned(1),
        }
    )


def strip_config_layout(config: Config) -> data.StructLayout:
    """Configuration word for one strip: PARAMETERS or ACTIVATION_TABLE, addressed as in LOAD."""
    parameters = config.parameter_tiles * config.sub_array
    tables = 32 * config.activation_tables
    return data.StructLayout(
        {
            "parameters": unsigned(1),
            "table": unsigned(1),
            "address": unsigned((max(parameters, tables) - 1).bit_length()),
            "data": unsigned(64),
        }
    )


def parameter_write_layout(config: Config) -> data.StructLayout:
    """Write of one output tile's parameters into one column."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "address": unsigned(config.parameter_address_bits),
            "data": PARAMETER,
        }
    )


def table_write_layout(config: Config) -> data.StructLayout:
    """Write of eight entries of an activation table into one column."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "address": unsigned((32 * config.activation_tables - 1).bit_length()),
            "data": data.ArrayLayout(signed(8), 8),
        }
    )


def trace_layout(config: Config) -> data.StructLayout:
    """One value as it leaves a column, for simulation logs."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "value": signed(16),
            "parameter": unsigned(config.parameter_address_bits),
            "row": unsigned(config.row_bits),
            "slot": unsigned(1),
        }
    )
