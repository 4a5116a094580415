"""What happens when: query blocks, query loading, visits, drain, counters."""
