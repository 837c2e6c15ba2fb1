"""Records of time series: steps in order, from one machine or many, regular in time, with gaps marked."""

from unalike.records.collection import Clock, Records, Segment
from unalike.records.intake import collected
from unalike.records.naming import entities, names
from unalike.records.raw import Learned

__all__ = ["Clock", "Learned", "Records", "Segment", "collected", "entities", "names"]
