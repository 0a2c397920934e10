"""Motion files: any in, one writer per format out."""
