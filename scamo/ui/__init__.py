"""The Gradio page. Only this package imports gradio."""

from scamo.ui.page import build, launch

__all__ = ["build", "launch"]
