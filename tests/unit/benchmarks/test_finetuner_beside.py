"""Clicks beside the fine-tuner: measured by the functions of `bench-click`, from arguments of its own."""

from __future__ import annotations

import inspect
import re

from benchmarks import click_to_answer, finetuner_beside


def test_all_that_the_click_benchmark_reads_of_its_arguments_is_there() -> None:
    functions = (click_to_answer.everything, click_to_answer.measure)
    read = {name for function in functions for name in re.findall(r"arguments\.(\w+)", inspect.getsource(function))}
    source = inspect.getsource(finetuner_beside)
    options = {name.replace("-", "_") for name in re.findall(r'add_argument\("--([\w-]+)"', source)}
    set_here = set(re.findall(r"arguments\.(\w+)(?=[^=\n]*[^=]= )", source))
    assert len(read) > 5
    assert read <= options | set_here
