"""AMD/Xilinx devices: estimates with yosys, projects for Vivado, the accelerator on PYNQ."""
