"""`python -m benchmarks` in a checkout is `fastinst-rt bench`."""

import sys

from fastinst_rt.cli import app

if __name__ == "__main__":
    app(["bench", *sys.argv[1:]], prog_name="fastinst-rt")
