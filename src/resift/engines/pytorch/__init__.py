"""Engines that run on PyTorch. Each file imports its library at the top and names the extra to install."""
