#!/usr/bin/env python3
"""One door for people who work on Danlu: `python dev.py env | demo | train | test | bench | runs | check | schemas`.

Each of them has --help.

Needs nothing but Python: the first call makes a ComfyUI of its own in a per-user cache folder.
"""
import sys

if sys.version_info < (3, 10):
    sys.exit("dev.py: Python 3.10 to 3.13 is needed, this is %d.%d. Run it with another one, e.g. "
             "`python3.12 dev.py`." % sys.version_info[:2])

from devtools.cli import main  # after the check: an older Python must reach its message

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
