"""Synthesis of the RTL with Yosys: how much of a part a kernel takes."""
