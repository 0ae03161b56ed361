"""Training of DLRM and NeuMF with PyTorch (extra `torch`); only checkpoints leave this folder."""
