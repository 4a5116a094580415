"""The emitted Verilog in Verilator: build, run, compare."""
