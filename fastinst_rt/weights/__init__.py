"""Weights: released checkpoints by their published names, our own safetensors files, downloads; safe loading only."""
