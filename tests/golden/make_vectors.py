"""Float vectors computed by PyTorch, for the float reference to be held against.

    python -m tests.golden.make_vectors           writes tests/golden/vectors/
    python -m tests.golden.make_vectors --check   recomputes and compares with the committed files

Written with PyTorch's own operators (linear, embedding_bag, bmm); no arithmetic of `golden`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from golden.files import read_archive, write_archive

VECTORS = Path(__file__).parent / "vectors"
KIND = "torch-vectors"
ITEMS = 24
CASES: dict[str, dict[str, Any]] = {
    "dot": {
        "width": 4, "bottom": [13, 64, 4], "top": [64, 1], "rows": list(range(3, 29)),
        "interaction": "dot", "bags": False,
    },
    "cat": {
        "width": 16, "bottom": [13, 64, 16], "top": [64, 1], "rows": list(range(3, 29)),
        "interaction": "cat", "bags": False,
    },
    "bags": {
        "width": 8, "bottom": [5, 12, 8], "top": [20, 6, 1], "rows": [1, 7, 40, 13],
        "interaction": "dot", "bags": True,
    },
}  # fmt: skip


def compute(name: str, case: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Weights, inputs and every output of one case."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))
    arrays: dict[str, torch.Tensor] = {}

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    dense = torch.log1p(torch.randint(0, 1000, (ITEMS, case["bottom"][0]), generator=generator))
    arrays["dense"] = x = dense.float()

    def mlp(part: str, x: torch.Tensor, sizes: list[int], relu_last: bool) -> torch.Tensor:
        for i in range(len(sizes) - 1):
            weight = normal(sizes[i + 1], sizes[i]) / sizes[i] ** 0.5
            bias = normal(sizes[i + 1]) * 0.3
            x = functional.linear(x, weight, bias)
            if relu_last or i < len(sizes) - 2:
                x = functional.relu(x)
            arrays[f"{part}.{i}.weight"], arrays[f"{part}.{i}.bias"] = weight, bias
            arrays[f"{part}.{i}"] = x
        return x

    x = mlp("bottom", x, case["bottom"], relu_last=True)
    vectors = [x]
    for t, rows in enumerate(case["rows"]):
        arrays[f"tables.{t}"] = table = normal(rows, case["width"])
        # Lengths 0..3, so that empty bags occur; one id each otherwise.
        low, high = (0, 4) if case["bags"] else (1, 2)
        lengths = torch.randint(low, high, (ITEMS,), generator=generator)
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        ids = torch.randint(0, rows, (int(offsets[-1]),), generator=generator)
        arrays[f"ids.{t}"], arrays[f"offsets.{t}"] = ids, offsets
        vectors.append(functional.embedding_bag(ids, table, offsets[:-1], mode="sum"))
    arrays["embedding"] = torch.stack(vectors[1:], dim=1)
    stacked = torch.stack(vectors, dim=1)
    if case["interaction"] == "dot":
        products = torch.bmm(stacked, stacked.transpose(1, 2))
        pairs = [products[:, i, j] for i in range(len(vectors)) for j in range(i)]
        x = torch.cat([x, torch.stack(pairs, dim=1)], dim=1)
    else:
        x = stacked.flatten(1)
    arrays["interaction"] = x
    arrays["score"] = mlp("top", x, [x.shape[1], *case["top"]], relu_last=False)[:, 0]
    return {key: value.numpy() for key, value in arrays.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Make or check the PyTorch vectors")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check = parser.parse_args().check
    VECTORS.mkdir(exist_ok=True)
    for name, case in CASES.items():
        arrays = compute(name, case)
        path = VECTORS / f"{name}.npz"
        if not check:
            write_archive(path, KIND, {"case": case}, arrays)
            print(f"{path.name}: {path.stat().st_size} bytes")
            continue
        _, committed = read_archive(path, KIND)
        for key, value in arrays.items():
            # Another CPU or PyTorch may add in another order.
            np.testing.assert_allclose(
                committed[key], value, rtol=1e-5, atol=1e-5, err_msg=f"{name} {key}"
            )
        print(f"{path.name}: equal")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
