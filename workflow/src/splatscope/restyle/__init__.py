"""The restyle stage: rendered frames made realistic by a diffusion model, with their labels kept."""
