"""Proxies of the environment: Gradio asks its own page whether it is up, which no proxy can answer."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from importlib.util import find_spec
from urllib.request import getproxies


def reach_this_machine() -> None:
    """Let requests to this machine go around the proxies that HTTP_PROXY and the like name, by NO_PROXY."""
    local = ["localhost", "127.0.0.1", "::1"]
    name = os.environ.get("GRADIO_SERVER_NAME", "")
    with contextlib.suppress(ValueError):
        if not ipaddress.ip_address(name).is_unspecified:
            local.append(name)
    for variable in ("NO_PROXY", "no_proxy"):
        given = [place.strip() for place in os.environ.get(variable, "").split(",") if place.strip()]
        if given or variable == "NO_PROXY":
            os.environ[variable] = ",".join(dict.fromkeys([*given, *local]))


def check_proxies() -> None:
    """Raise ValueError where a SOCKS proxy is set that cannot be used: Gradio could not even be imported."""
    for scheme, proxy in getproxies().items():
        if proxy.lower().startswith("socks") and find_spec("socksio") is None:
            raise ValueError(
                f"{scheme.upper()}_PROXY is {proxy}, which needs a package that is not here; "
                f'pip install "httpx[socks]", or start with {scheme.upper()}_PROXY unset'
            )
