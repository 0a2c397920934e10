"""The page starts behind any proxy, or says in one sentence why not."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.request import proxy_bypass

import pytest

pytest.importorskip("gradio")

from scamo.ui import proxies
from scamo.ui.proxies import reach_this_machine


@pytest.mark.parametrize(("given", "host"), [("", "127.0.0.1"), ("corp.example,::1", "192.168.0.7")])
def test_this_machine_is_reached_around_proxies(monkeypatch, given, host):
    for name in ("ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", given)
    monkeypatch.setenv("GRADIO_SERVER_NAME", host)
    reach_this_machine()
    places = ["localhost", "127.0.0.1", host, *([given.split(",")[0]] if given else [])]
    assert all(proxy_bypass(place) for place in places)
    assert not proxy_bypass("example.org")
    assert os.environ["NO_PROXY"].split(",")[: len(given.split(","))] == given.split(",") or not given


def test_a_socks_proxy_is_one_sentence(monkeypatch):
    monkeypatch.setattr(proxies, "find_spec", lambda name: None)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(ValueError, match=r"ALL_PROXY is socks5://127\.0\.0\.1:1080, which needs .*httpx\[socks\]"):
        proxies.check_proxies()


def test_the_command_says_it_in_one_line():
    blocked = "import sys; sys.modules['socksio'] = None; from scamo.cli import main; sys.exit(main(['app']))"
    environment = os.environ | {"ALL_PROXY": "socks5://127.0.0.1:9"}
    ended = subprocess.run(
        [sys.executable, "-c", blocked], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("scamo app: ") and ended.stderr.count("\n") == 1
