"""A training loop that can be stopped and resumed: the result is the same either way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["Batch", "train"]

Batch = tuple[tuple[torch.Tensor, ...], torch.Tensor]
"""Inputs of the module, labels."""


def train(
    module: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    blocks: Callable[[int], Iterator[list[Batch]]],
    *,
    passes: int,
    out: Path,
    resume: bool,
    save_every: int = 20,
    stop_after: int | None = None,
    progress: Callable[[str], None] = print,
) -> None:
    """Train on blocks of batches; write the checkpoint now and then, and at the end.

    Parameters
    ----------
    blocks
        Blocks of a pass by its number, always the same ones in the same order.
    out
        Checkpoint: `state_dict`, state of the optimisers and the place reached.
    resume
        Go on from `out` where it exists.
    save_every
        Blocks between two checkpoints.
    stop_after
        Stop after so many blocks of this call, as if interrupted (for tests).
    """
    loss_of = nn.BCEWithLogitsLoss()
    first_pass = first_block = 0
    if resume and out.exists():
        saved = torch.load(out, weights_only=True)
        module.load_state_dict(saved["state_dict"])
        for optimiser, state in zip(optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        first_pass, first_block = saved["pass"], saved["block"]
        progress(f"resumed at pass {first_pass}, block {first_block}")
    done = 0
    for number in range(first_pass, passes):
        block = 0
        for block, batches in enumerate(blocks(number)):
            if number == first_pass and block < first_block:
                continue
            total = 0.0
            for inputs, labels in batches:
                loss = loss_of(module(*inputs), labels)
                for optimiser in optimisers:
                    optimiser.zero_grad()
                loss.backward()
                for optimiser in optimisers:
                    optimiser.step()
                total += float(loss.detach())
            progress(f"pass {number}, block {block}: loss {total / max(1, len(batches)):.4f}")
            done += 1
            if done % save_every == 0 or done == stop_after:
                _save(out, module, optimisers, number, block + 1)
            if done == stop_after:
                return
    _save(out, module, optimisers, passes, 0)


def _save(
    out: Path, module: nn.Module, optimisers: list[torch.optim.Optimizer], number: int, block: int
) -> None:
    saved: dict[str, Any] = {
        "state_dict": module.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "pass": number,
        "block": block,
    }
    part = out.with_name(out.name + ".part")
    torch.save(saved, part)
    os.replace(part, out)
