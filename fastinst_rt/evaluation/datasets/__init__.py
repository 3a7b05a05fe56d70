"""Readers of labelled data sets, shared by evaluation and training: NumPy, JSON and OpenCV only, no torch."""
