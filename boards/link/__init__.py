"""Gateware that every FPGA board shares: its memory, and the serial bridge that the host is connected to."""
