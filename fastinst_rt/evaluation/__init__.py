"""Accuracy: instance AP, panoptic PQ, semantic mIoU, Cityscapes instance AP, each by its own definition."""
