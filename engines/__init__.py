"""Engines: one module or package each. They stand on the studio's contracts and never import each other."""
