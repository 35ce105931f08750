"""How the starter model is made: pictures, VAE, text encoder, denoiser, reader, figures and the folder that ships. docs/starter-model.md

Nothing of the product imports this package; it stands on torch, diffusers and the studio's small tools (errors, whole files).
"""
