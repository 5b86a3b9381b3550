"""The encoder as a FINN dataflow accelerator."""
