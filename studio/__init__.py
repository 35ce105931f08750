"""What the studio can do, knows and remembers. Imports neither Gradio nor torch."""

VERSION = "0.1.0"
