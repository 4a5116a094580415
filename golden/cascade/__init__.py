"""Cascades of Extended Einsums: what attention (or anything else) computes, apart from where and when.

A cascade is written as YAML (`read`, `write`) or made of objects (`cascade`, `einsum`), computed on arrays
(`evaluate`), and analysed: how often a rank has to be gone through (`passes`), what must be kept in between
(`footprint`), how many operations it takes (`count`). docs/cascades.md explains the language and the analysis.
"""
