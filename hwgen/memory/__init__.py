"""From streams of float rows to converted rows that wait for the arrays."""
