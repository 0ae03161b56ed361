"""The report of a run as one page: timeline, floor plan, roofline, tables; nothing from outside."""

from .facts import PageFacts
from .page import page_text, write_page

__all__ = ["PageFacts", "page_text", "write_page"]
