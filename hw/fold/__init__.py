"""Folding: how much hardware each kernel gets (docs/folding.md)."""
