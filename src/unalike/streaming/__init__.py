"""Steps judged as they come: a provisional score at once, the batch's score when all windows of a step are complete.

`intake` reads what is pushed, `ticks` numbers the steps by their times, `judging` scores the window that ends at each,
`joining` gives earlier steps their final scores, `alarms` makes events of the provisional decisions, and `keeping`
brings the state of a stream to a file and back.
"""

from unalike.streaming.opening import open_stream
from unalike.streaming.stream import Pushed, Stream

__all__ = ["Pushed", "Stream", "open_stream"]
