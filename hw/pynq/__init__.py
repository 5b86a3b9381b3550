"""What runs on a PYNQ board (`edgebert_board`), and the packer that carries it there."""
