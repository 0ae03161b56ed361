"""Write held-out items of the demo's generator as a click log in Criteo's text format.

python -m examples.tutorial.write_log log.txt --lines 4096
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from examples.demo.evaluate import Stream
from examples.demo.generate import Teacher


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a click log")
    parser.add_argument("path", type=Path)
    parser.add_argument("--lines", type=int, default=4096)
    arguments = parser.parse_args(words)
    data, _ = Teacher().items(arguments.lines, stream=Stream.VALIDATION)
    with arguments.path.open("w") as stream:
        for label, counts, ids in zip(data.labels, data.counts, data.ids, strict=True):
            fields = [str(label), *map(str, counts), *(f"{value:08x}" for value in ids)]
            stream.write("\t".join(fields) + "\n")


if __name__ == "__main__":
    main()
