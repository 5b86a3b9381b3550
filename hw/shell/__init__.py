"""The shell around an accelerator: its parameters, its memory format, the tops that hold both."""
