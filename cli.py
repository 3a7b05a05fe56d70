"""Launcher of a checkout: `python cli.py live` is `fastinst-rt live`."""

from fastinst_rt.cli import main

if __name__ == "__main__":
    main()
