"""``python -m unalike``: the command line."""

from __future__ import annotations

from unalike.cli import main

main()
