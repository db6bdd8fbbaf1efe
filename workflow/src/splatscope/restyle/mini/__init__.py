"""The embedded small latent diffusion model: what it is made of, what teaches it, how it is trained."""
