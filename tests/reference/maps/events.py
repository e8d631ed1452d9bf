"""Reference event file. Needs TensorBoard 2.21.

usage: events.py > events.out.tfevents
"""
import io
import sys

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Kept(io.BytesIO):
    """A file whose bytes stay when it is closed."""

    def close(self):
        pass


file = Kept()
writer = RecordWriter(file)
writer.write(Event(file_version="brain.Event:2").SerializeToString())
for step, tag, value in [(0, "loss", 0.69325), (300, "BA", 0.5), (5_000_000_000, "a longer tag with spaces", -1.5e-7)]:
    event = Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))
    writer.write(event.SerializeToString())
writer.flush()
sys.stdout.buffer.write(file.getvalue())
