"""Builds for real boards: flow, report and host code, one folder a board."""
