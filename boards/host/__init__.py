"""The host's side of a board: the link to it, the accelerator's driver, and attention with both."""
