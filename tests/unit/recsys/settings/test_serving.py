"""Where the API is reached, and whom it believes about that."""

from __future__ import annotations

import pytest

from recsys.errors import ConfigurationError
from recsys.settings import load_settings


@pytest.mark.parametrize("root_path", ["", "/recsys", "/learning/recsys", "/~team/v2.0"])
def test_a_root_path_begins_with_a_slash_and_ends_without(root_path: str) -> None:
    assert load_settings(serving_root_path=root_path).serving_root_path == root_path


@pytest.mark.parametrize("root_path", ["recsys", "/", "/recsys/", "//", "/a b", "https://api.example/recsys", "/a?b"])
def test_another_root_path_is_refused_by_name(root_path: str) -> None:
    with pytest.raises(ConfigurationError, match=r"RECSYS_SERVING_ROOT_PATH: .*expected a path such as /recsys"):
        load_settings(serving_root_path=root_path)


@pytest.mark.parametrize(
    ("proxies", "means"), [("", ""), ("*", "*"), (" 10.0.0.5 , 10.1.0.0/16,", "10.0.0.5,10.1.0.0/16"), ("::1", "::1")]
)
def test_proxies_are_addresses_and_networks(proxies: str, means: str) -> None:
    assert load_settings(serving_trusted_proxies=proxies).serving_trusted_proxies == means


@pytest.mark.parametrize("proxies", ["proxy.example", "10.0.0.5/8", "10.0.0", "10.0.0.5;10.0.0.6", "127.0.0.1:80"])
def test_what_is_no_address_is_refused_by_name(proxies: str) -> None:
    with pytest.raises(ConfigurationError, match=r"RECSYS_SERVING_TRUSTED_PROXIES: .*expected addresses and networks"):
        load_settings(serving_trusted_proxies=proxies)
