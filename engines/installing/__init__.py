"""Programs of others, got onto this computer and looked after there. ComfyUI and AI-Toolkit both stand on it."""
