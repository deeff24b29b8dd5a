"""A source of JSON lines whose records arrive when its options say so."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow as pa

from elspeth_dagster.plugins.base import ReadRequest, SourceChunk
from elspeth_dagster.plugins.sources.json import JsonOptions, JsonSource


class ArrivingOptions(JsonOptions):
    """When each record arrives (µs), in order; the last of the times holds for all behind."""

    arrivals: list[int]


class Arriving(JsonSource):
    """Cuts a file into records, and says when each came."""

    Options = ArrivingOptions
    options: ArrivingOptions

    def chunks(self, request: ReadRequest) -> Iterator[SourceChunk]:
        """The chunks of the `json` source, with other times."""
        first, times = request.first, self.options.arrivals
        for chunk in super().chunks(request):
            records = chunk.records
            places = range(first, first + records.num_records)
            arrived = pa.array([times[min(place, len(times) - 1)] for place in places], pa.int64())
            first += records.num_records
            yield replace(chunk, records=replace(records, arrived_us=arrived))
