"""Random cases on simulated accelerators: whatever is asked, every bit is right; whatever goes wrong, the next job is."""
