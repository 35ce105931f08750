"""What the studio can do, knows and remembers. Imports neither Gradio nor torch."""
