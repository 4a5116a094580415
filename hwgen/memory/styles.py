"""What synthesis is told of memories."""

from typing import Any

APART: dict[str, Any] = {"no_rw_check": 1}
"""A word is never read and written in one cycle, or what is read then is not used: no logic has to see to it."""

BLOCK: dict[str, Any] = {"ram_style": "block"}
"""Too few words for a tool to think of it by itself, but wide ones: choosing one of them would take much logic."""
