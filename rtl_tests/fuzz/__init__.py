"""Random cases on simulated accelerators: what is asked is right in every bit; whatever goes wrong, the next job is."""
