"""The score functions of the generator's tests."""

from hwgen.tests.score_mods import MASK_MODS, MODS, SCORE_MODS, combined, is_mask, roles

__all__ = ["MASK_MODS", "MODS", "SCORE_MODS", "combined", "is_mask", "roles"]
