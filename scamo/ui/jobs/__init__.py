"""The work behind the tabs. It knows nothing of Gradio, so tests and other programs can run it."""
