"""What we rely on inside Faust and aiokafka: an upgrade that moves it fails here first."""

from __future__ import annotations

import inspect
from importlib.metadata import version

import faust.streams
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver

from stream.chunks import ChunkConsumer, ChunkTransport


def test_versions_are_the_ones_the_hooks_were_written_for() -> None:
    assert (version("faust-streaming"), version("aiokafka"), version("mode-streaming")) == ("0.15.3", "0.14.0", "0.7.1")


def test_the_compiled_stream_loop_is_there() -> None:
    assert faust.streams._CStreamIterator is not None


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
    assert "AIOKafkaConsumerThread(self, loop=self.loop, beacon=self.beacon)" in inspect.getsource(
        driver.Consumer._new_consumer_thread
    )


def test_every_seek_of_faust_itself_goes_through_perform_seek_or_seek() -> None:
    assert "self._seek(" in inspect.getsource(faust_consumer.Consumer.seek)
    assert "seek_to_committed" in inspect.getsource(faust_consumer.Consumer.perform_seek)


def test_aiokafka_makes_its_records_in_one_method_that_can_be_overridden() -> None:
    source = inspect.getsource(fetcher.PartitionRecords._unpack_records)
    assert "consumer_record = self._consumer_record(tp, record)" in source
    source = inspect.getsource(fetcher)  # both are made by name in this module, nowhere else
    assert (source.count("PartitionRecords("), source.count("MemoryRecords(")) == (1, 1)
