"""cocotb tests of the emitted Verilog in Verilator."""
