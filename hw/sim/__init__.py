"""Cycle-accurate simulation of the RTL in Verilator."""
