"""Rows of the embedding tables of the Criteo data sets."""

from __future__ import annotations

__all__ = ["CRITEO_KAGGLE_ROWS", "CRITEO_TERABYTE_ROWS"]

CRITEO_KAGGLE_ROWS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992,
    5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
"""Rows of the 26 tables of the Criteo Kaggle data set."""

CRITEO_TERABYTE_ROWS = (
    9980333, 36084, 17217, 7378, 20134, 3, 7112, 1442, 61, 9758201, 1333352, 313829, 10, 2208,
    11156, 122, 4, 970, 14, 9994222, 7267859, 9946608, 415421, 12420, 101, 36,
)  # fmt: skip
"""Rows of the 26 tables of Criteo Terabyte, ids taken modulo 10 000 000."""
