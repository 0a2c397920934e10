"""The version of this project, stated here alone."""

VERSION = "0.2.0"
