"""Records of time series: steps in order, from one machine or many, regular in time, with gaps marked."""

from unalike.records.collection import Records, Segment

__all__ = ["Records", "Segment"]
