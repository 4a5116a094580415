"""What the RTL tests share: configurations, tensors, and the comparison with the golden model."""
