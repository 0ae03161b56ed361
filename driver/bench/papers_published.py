"""What the papers publish: figures in numbers, read off text, tables and plots (RecPipe, MICRO
2021; MP-Rec, ASPLOS 2023). Seconds unless a name says otherwise."""

from __future__ import annotations

__all__ = [
    "ABLATION", "AREA_MM2", "CPU_TAIL_MS", "DATA_SETS", "FIGURE_12", "MODEL_SCALING", "MP_REC",
    "NDCG", "PARTITIONS", "SPLIT_ACCESS", "UTILIZATION", "WORK_SAVED",
]  # fmt: skip

WORK_SAVED = {"compute": 7.5, "memory": 4.0}
"""Fig. 1c: two stages against one, at equal quality."""

NDCG = {
    "RMsmall": {256: 59.85, 512: 71.25, 1024: 79.95, 2048: 86.75, 4096: 91.27},
    "RMlarge": {256: 60.84, 1024: 81.6, 2048: 88.0, 4096: 92.46},
    "RMsmall > RMlarge:512": {4096: 92.46},
    "RMsmall > RMmed:512 > RMlarge:128": {4096: 92.51},
}
"""Fig. 3: NDCG@64 in percent by items of the first stage, ideal of 64 positive items."""

ABLATION = {
    "baseline, one stage": 114.4,
    "two stages in software": 44.3,
    "filter on chip": 35.8,
    "cut array": 35.8,
    "all": 31.3,
}
"""Fig. 5: lengths of the bars as drawn; "cut array" does two queries at once."""

CPU_TAIL_MS = {1: {200: 73.3, 500: 222.2}, 2: {200: 49.7, 500: 56.0}, 3: {200: 54.4, 500: 83.4}}
"""Fig. 7: p99 by stages and queries/s, 64 cores of Cascade Lake."""

UTILIZATION = {
    128: (12.3, 26.2, 73.1), 64: (39.2, 71.9, 83.8), 32: (60.0, 86.9, 98.1), 16: (78.1, 95.8, 98.1),
}  # fmt: skip
"""Fig. 10a: percent by edge of the engines, RMsmall, RMmed, RMlarge."""

SPLIT_ACCESS = {0.0: 75.23, 0.5: 56.04, 0.7: 56.83, 1.0: 75.21}
"""Fig. 10c: cycles of an access by the front end's share of 12 MB, one item in eight kept."""

AREA_MM2 = {
    "array, crossbars, accumulators": (8.124, 8.627),
    "filter": (0.0, 0.464),
    "activation banks": (3.730, 4.796),
    "weight banks": (2.933, 2.933),
    "embedding rows": (11.731, 11.731),
}
"""Fig. 11: baseline and whole device, by part."""

FIGURE_12 = {
    "baseline": {200: 5.03, 250: 5.89, 333: 9.31, 400: 20.94},
    "one stage": {200: 4.02, 400: 9.36, 500: 18.30},
    "two stages": {250: 2.53, 400: 3.26, 1000: 4.45, 1333: 6.31, 2000: 37.85},
    "three stages": {200: 2.19, 333: 2.83, 1000: 4.27, 2000: 8.88, 2500: 32.58},
}
"""Fig. 12: p99 in ms by queries/s."""
PUBLISHED_200_MS = 2.1
"""RPAccel at 200 queries/s, in the text."""

PARTITIONS = {
    "8,2": {250: 3.02, 1000: 5.60, 1333: 19.32},
    "8,8": {250: 4.51, 1000: 6.67, 1333: 6.89},
    "8,16": {250: 6.52, 1000: 7.40, 1333: 8.46},
}
"""Fig. 12, lower half: p99 in ms by queries/s, two stages."""

MODEL_SCALING = {
    "1/1": (3.55, 3.32), "2/1.5": (4.19, 3.60), "4/2": (5.50, 3.82), "8/2.5": (6.29, 4.13),
    "32/3": (8.65, 4.44),
}  # fmt: skip
"""Fig. 13: p99 in ms at 500 queries/s of one stage and of several, by memory and items."""

DATA_SETS: dict[str, dict[int, dict[str, tuple[float | None, ...]]]] = {
    "criteo": {
        100: {"cpu": (67.5, 43.1, 46.8), "rpaccel": (4.0, 2.5, 2.1)},
        500: {"cpu": (222.0, 56.0, 83.4), "rpaccel": (18.3, 3.3, 3.7)},
        2000: {"cpu": (None, None, None), "rpaccel": (None, 37.8, 8.9)},
    },
    "movielens1m": {
        100: {"cpu": (54.0, 21.3, 25.5), "rpaccel": (1.6, 1.7, 3.5)},
        500: {"cpu": (112.0, 29.0, 31.9), "rpaccel": (5.4, 3.9, 8.4)},
        2000: {"cpu": (None, None, None), "rpaccel": (398.0, 187.0, 498.0)},
    },
    "movielens20m": {
        100: {"cpu": (371.0, 44.4, 42.1), "rpaccel": (10.1, 3.0, 7.1)},
        500: {"cpu": (None, 652.0, 342.0), "rpaccel": (None, 19.8, 10.1)},
        2000: {"cpu": (None, None, None), "rpaccel": (None, None, 795.0)},
    },
}
"""Fig. 14: p99 in ms of one, two, three stages; None: the load is not met."""

MP_REC = {"kaggle": 2.49, "terabyte": 3.76}
"""Throughput of correct predictions, multi-path over a baseline that the abstract does not name."""
