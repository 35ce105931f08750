"""The page: one module per tab, named as the user sees it. The only package that imports Gradio."""
