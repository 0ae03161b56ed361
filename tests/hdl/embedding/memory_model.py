"""A device memory behind one read port: latency, back-pressure, answers mixed across tags."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hdl.bus.interleave import channel_number
from hdl.config import Config


@dataclass
class MemoryModel:
    """Serves a read port; checks that requests obey the rules.

    ``ordered``: one tag only, answers in order of the requests. ``tags_are_channels``: the tag is
    the AXI channel, answers of a tag in the order of its requests. Otherwise beats of different
    tags are mixed at random. ``error_at``: an address whose beat carries an error.
    """

    config: Config
    contents: bytearray
    latency: int = 20
    stall: float = 0.2
    ordered: bool = False
    tags_are_channels: bool = False
    seed: int = 1
    error_at: int | None = None
    beats: int = 0
    most_outstanding: int = 0
    requests: list[tuple[int, int]] = field(default_factory=list)

    def server(self, port: Any) -> Callable[[Any], Any]:
        """The background bench that serves ``port``."""

        async def bench(ctx: Any) -> None:
            await self.serve(ctx, port)

        return bench

    async def serve(self, ctx: Any, port: Any) -> None:
        rng = random.Random(self.seed)
        width = self.config.axi_bytes
        open_bursts: list[dict[str, int]] = []
        answer: dict[str, int] | None = None
        cycle = 0
        while True:
            ctx.set(port.request.ready, rng.random() >= self.stall)
            ready = [b for b in open_bursts if b["start"] <= cycle]
            if self.ordered:
                ready = ready[:1]
            if self.tags_are_channels:
                ready = list({b["tag"]: b for b in reversed(ready)}.values())
            if answer is None and ready and rng.random() >= self.stall:
                answer = rng.choice(ready)
                address = answer["address"]
                ctx.set(
                    port.response.payload,
                    {
                        "data": int.from_bytes(self.contents[address : address + width], "little"),
                        "tag": answer["tag"],
                        "last": answer["beats"] == 1,
                        "error": self.error_at == address,
                    },
                )
                ctx.set(port.response.valid, 1)
            sample = await ctx.tick().sample(
                port.request.valid,
                port.request.ready,
                port.request.payload,
                port.response.valid,
                port.response.ready,
            )
            asked, granted, request, held, taken = sample[2:]
            cycle += 1
            if held and taken:
                assert answer is not None
                self.beats += 1
                answer["address"] += width
                answer["beats"] -= 1
                if answer["beats"] == 0:
                    open_bursts.remove(answer)
                answer = None
                ctx.set(port.response.valid, 0)
            if asked and granted:
                address, beats = request.address, request.beats + 1
                assert address % width == 0
                assert address // 4096 == (address + beats * width - 1) // 4096, "crosses 4 KB"
                if self.ordered:
                    assert request.tag == 0
                elif self.tags_are_channels:
                    assert request.tag == channel_number(self.config, address)
                else:
                    assert all(b["tag"] != request.tag for b in open_bursts), "tag in use"
                self.requests.append((address, beats))
                open_bursts.append(
                    {
                        "address": address,
                        "beats": beats,
                        "tag": request.tag,
                        "start": cycle + self.latency,
                    }
                )
                self.most_outstanding = max(self.most_outstanding, len(open_bursts))
