"""What we rely on inside Faust and aiokafka: an upgrade that moves it fails here first."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import faust.streams
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver

from stream.transport.chunks import ChunkConsumer, ChunkTransport
from stream.transport.fetches import _FetchResult
from stream.transport.raw_records import _RawRecords


def test_versions_are_the_ones_the_hooks_were_written_for() -> None:
    assert (version("faust-streaming"), version("aiokafka"), version("mode-streaming")) == ("0.15.3", "0.14.0", "0.7.1")


def test_the_compiled_stream_loop_is_there() -> None:
    assert getattr(faust.streams, "_CStreamIterator", None) is not None


def test_a_fetch_goes_through_the_hooks_of_the_chunk_consumer() -> None:
    assert ChunkTransport.Consumer is ChunkConsumer
    source = inspect.getsource(faust_consumer.Consumer.getmany)
    assert "self._wait_next_records" in source
    assert "to_message(tp, record)" in source
    assert "self._getmany(" in inspect.getsource(faust_consumer.Consumer._wait_next_records)
    assert list(inspect.signature(driver.Consumer._to_message).parameters) == ["self", "tp", "record"]


def test_the_longest_fetch_is_fausts_own_number_until_it_is_changed_before_the_start() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms=1500" in source
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)
    made = inspect.getsource(driver.Consumer._new_consumer_thread)
    assert "AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)" in made


def test_the_isolation_level_is_read_when_the_consumer_starts() -> None:
    assert "isolation_level=self._isolation_level" in inspect.getsource(AIOKafkaConsumer.start)


def test_a_fetch_is_buffered_in_one_class_that_can_be_replaced() -> None:
    source = inspect.getsource(fetcher)
    assert (source.count("= FetchResult("), source.count("type(res_or_error) is FetchResult")) == (1, 2)
    (original,) = _FetchResult.__bases__
    assert "for msg in self._partition_records:" in inspect.getsource(original.getall)


def test_aiokafka_makes_its_records_in_one_method_that_can_be_overridden() -> None:
    (original,) = _RawRecords.__bases__  # whoever replaced it in the module meanwhile
    source = inspect.getsource(original._unpack_records)
    assert "consumer_record = self._consumer_record(tp, record)" in source
    assert "return next(self._records_iterator)" in inspect.getsource(original.__next__)
    source = inspect.getsource(fetcher)  # both are made by name in this module, nowhere else
    assert (source.count("PartitionRecords("), source.count("MemoryRecords(")) == (1, 1)
