"""Ablation studies of PyTorch training runs."""

__version__ = "0.1.0"
