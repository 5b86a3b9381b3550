"""Train BERT down to one bit: command line, configuration, model, distillation, data."""

__version__ = "0.1.0"
