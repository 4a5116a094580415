"""Pages and traces that tell of one run."""
