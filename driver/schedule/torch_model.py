"""A DLRM in PyTorch, for measuring GPUs; inputs and weights lie in the device's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.float_model import lower_triangle
from golden.model import Model

from ..errors import UserError

__all__ = ["torch_scorer"]

_NONE = "none"


def torch_scorer(
    model: Model, dense: NDArray[np.float32], ids: NDArray[np.uint32], device: str
) -> Any:
    """See `host_models.scorer`; ``device`` is ``cuda`` or ``torch``.

    Raises
    ------
    UserError
        PyTorch or the GPU is missing, or the model has DHE vectors.
    """
    try:
        import torch
    except ImportError:
        raise UserError(
            f"--device {device} needs PyTorch: pip install 'rpaccel[torch]', or give a profile file"
        ) from None
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: PyTorch finds no GPU; give a profile file instead")
    shape = model.shape
    if any(source != "table" for source, _ in shape.embeddings):
        raise UserError(f"{shape.name}: DHE vectors are measured on the CPU only")
    place = "cuda" if device == "cuda" else "cpu"

    def tensor(values: NDArray[Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(values)).to(place)

    def layers(part: Any) -> list[tuple[Any, Any, str]]:
        return [(tensor(x.weight), tensor(x.bias), str(x.function)) for x in part]

    bottom, top = layers(model.bottom), layers(model.top)
    tables = [tensor(table) for table in model.tables]
    inputs, rows = tensor(dense), tensor(ids.astype(np.int64))
    pairs = torch.from_numpy(np.stack(lower_triangle(shape.vectors))).to(place)

    def mlp(x: Any, part: list[tuple[Any, Any, str]]) -> Any:
        for weight, bias, function in part:
            x = torch.nn.functional.linear(x, weight, bias)
            x = x if function == _NONE else getattr(torch, function)(x)
        return x

    def forward(items: int) -> Any:
        x = mlp(inputs[:items], bottom)
        vectors = [x, *(table[rows[:items, f]] for f, table in enumerate(tables))]
        stacked = torch.stack(vectors, dim=1)
        if shape.interaction == "dot":
            dots = torch.bmm(stacked, stacked.transpose(1, 2))[:, pairs[0], pairs[1]]
            return mlp(torch.cat([x, dots], dim=1), top)
        return mlp(stacked.flatten(1), top)

    def score(items: int) -> Any:
        with torch.no_grad():
            whole, rest = divmod(items, len(dense))
            parts = [forward(n) for n in [len(dense)] * whole + ([rest] if rest else [])]
            if place == "cuda":
                torch.cuda.synchronize()
        return [part[:, 0].cpu().numpy() for part in parts]

    return score
