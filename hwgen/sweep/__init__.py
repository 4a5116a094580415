"""Exploration: many configurations through the model, and those that no other beats."""
