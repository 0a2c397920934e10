"""The work behind the tabs, without layout and HTML, so that tests can run it without a page."""
