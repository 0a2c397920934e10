"""The Gradio page. Only this package imports gradio."""

from scamo.ui.proxies import check_proxies

check_proxies()  # before gradio is imported, which would fail without words for users

from scamo.ui.page import build, launch  # noqa: E402

__all__ = ["build", "launch"]
