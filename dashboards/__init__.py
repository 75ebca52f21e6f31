"""Figures and pages over the analysis. The only package that imports plotly."""
