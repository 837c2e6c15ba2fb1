"""Measurements on real data: ours and peers in one harness. See README.md."""
