"""The RTL kernels seen from Python: parameters and their checks, memory files, cycle counts."""
