"""From the built RTL to a bitstream: an open tool chain for the xc7z020, Vivado for every board."""
