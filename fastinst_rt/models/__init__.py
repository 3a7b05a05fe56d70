"""The networks: eager, exportable PyTorch modules and nothing else (no files, no command line, no OpenCV)."""
