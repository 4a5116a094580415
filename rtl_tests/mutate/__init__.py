"""Mutation of the emitted Verilog and of the integer model: does a test notice when something is wrong?"""
