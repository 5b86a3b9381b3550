"""edgebert on a PYNQ board: text to logits with the accelerator, checked integer by integer.

Needs Python 3.10 or later and numpy 1.21 or later; on a board also pynq.
"""

__version__ = "0.1.0"
