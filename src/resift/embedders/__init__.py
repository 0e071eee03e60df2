"""Bi-encoders: texts to unit vectors that can be compared with each other."""
