"""Tables larger than memory: folders of files and Arrow datasets, read a batch at a time.

`ArrowRows` counts and takes rows as other collections do, but holds only the batch that was read last. Rows that
are asked for in their order are read in one pass; whoever goes back starts a new pass.
"""

from unalike.scanning.rows import ArrowRows, is_dataset, of_dataset, open_tables

__all__ = ["ArrowRows", "is_dataset", "of_dataset", "open_tables"]
