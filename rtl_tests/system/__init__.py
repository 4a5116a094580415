"""The whole core against the golden model."""
