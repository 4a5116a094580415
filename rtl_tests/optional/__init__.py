"""Tests that need packages which hwgen does not: `make test-torch`."""
