"""Schedules: when and where the Einsums of a cascade are computed, as data, and what follows from them."""
